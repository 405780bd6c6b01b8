"""Judges a tape by the rules alone; shares no line with the engine."""
