"""Keeps the record: what became true, in order, durably, and so that an edit shows (J1–J3)."""
