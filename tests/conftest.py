"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A machine that is busy is no reason to fail (no test asserts a wall time).
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
