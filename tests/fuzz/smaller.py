"""A finding made small: what can be left out is, as long as it fails in the same place."""

from __future__ import annotations

import time
from traceback import extract_tb

from tests.fuzz.targets import Target


def smaller(target: Target, data: bytes, seconds: float) -> bytes:
    """The shortest found within `seconds`; `data` itself where the target does not fail (a hang, growth)."""
    until = time.monotonic() + seconds
    failure = _failure(target, data)
    length = len(data) // 2 if failure else 0
    while length:
        at = 0
        while at < len(data) and time.monotonic() < until:
            less = data[:at] + data[at + length :]
            if _failure(target, less) == failure:
                data = less
            else:
                at += length
        length //= 2
    return data


def _failure(target: Target, data: bytes) -> tuple[str, str, int | None] | None:
    """What is raised, and where."""
    try:
        target(data)
    except Exception as error:
        frame = extract_tb(error.__traceback__)[-1]
        return type(error).__name__, frame.filename, frame.lineno
    return None
