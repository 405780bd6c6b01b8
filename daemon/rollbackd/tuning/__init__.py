"""The tuning bench: what a trigger would have done, and whether it does what it should."""
