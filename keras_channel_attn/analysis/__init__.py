"""What looks at a model and changes nothing: attention scores and costs."""
