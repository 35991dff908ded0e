"""Timings, started by hand. They print ratios; no test depends on them."""
