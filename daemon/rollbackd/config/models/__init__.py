"""What YAML may say, with limits, units and descriptions."""
