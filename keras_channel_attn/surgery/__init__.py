"""What changes a model: attention put in, taken out, replaced, rewritten."""
