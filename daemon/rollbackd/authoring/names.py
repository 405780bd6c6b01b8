"""Names of ours from whatever others call things."""

from __future__ import annotations

import re

MOST = 100


def name_from(text: str, otherwise: str = "imported") -> str:
    """Letters, digits, `-`, `_` and `.`, a letter or digit first; what is none of them is a dash."""
    found = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-").lstrip("._-")[:MOST].rstrip("-")
    return found or otherwise


class Names:
    """Names that were given, so that none is given twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, text: str, otherwise: str = "imported") -> str:
        """The text as a name; numbered where it was taken."""
        name = first = name_from(text, otherwise)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{first[: MOST - len(str(number)) - 1]}-{number}"
        self._taken.add(name)
        return name
