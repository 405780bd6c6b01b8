"""Decides. No I/O, no clock, no randomness: the same signals give the same events, byte for byte."""
