"""What changes a model: attention inserted, removed, replaced, or fused."""
