"""Attention inserted into models, replaced, removed, fused and expanded."""
