"""Timings, run by hand. They print ratios and decide no test."""
