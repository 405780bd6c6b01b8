"""Text from elsewhere (labels, outputs, comments) made harmless for Markdown and terminals (fault 68)."""

from __future__ import annotations

import re
import unicodedata

_SPECIAL = re.compile(r"([\\`*\[\]<>|&~#]|(?<![^\W_])_|_(?![^\W_]))")
_LEADING = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")

MOST_LINES = 20
"""Lines of a step's output that are shown: the last ones."""


def visible(text: str, *, keep: str = "") -> str:
    """Control, format and surrogate characters as escapes that are seen: ESC is `\\x1b`."""
    return "".join(_shown(char) if char not in keep and _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _shown(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def prose(text: str) -> str:
    """One line of running text, with nothing in it that Markdown would read."""
    escaped = _SPECIAL.sub(r"\\\1", visible(" ".join(text.split("\n"))))
    return _LEADING.sub(r"\1\\\2", escaped)


def code(text: str) -> str:
    """A code span."""
    shown = visible(text)
    if not shown.strip():
        return "``` ```" if shown else "–"
    fence = "`" * (_longest_run(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """A code span inside a table, where a bar would end the cell whatever stands around it."""
    return code(text).replace("|", "\\|")


def block(text: str) -> str:
    """A fenced block with the last lines of an output."""
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    left_out = len(lines) - MOST_LINES
    shown = "\n".join(visible(line, keep="\t") for line in lines[-MOST_LINES:])
    fence = "`" * max(_longest_run(shown) + 1, 3)
    head = f"({left_out} lines above are left out)\n\n" if left_out > 0 else ""
    return f"{head}{fence}text\n{shown}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
