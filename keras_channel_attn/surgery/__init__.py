"""What changes a model: attention in it, and the number of its channels."""
