"""The live engine over what Prometheus remembers: when a trigger would have fired (rules W4–W8, W10)."""
