"""Attention scores and costs: functions that do not change a model."""
