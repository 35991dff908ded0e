"""What tests share: the reference, configurations, small networks."""
