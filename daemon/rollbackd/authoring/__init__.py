"""Writes files for people: imports, first sets, schemas and the reference of every key."""
