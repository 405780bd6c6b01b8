"""What the windows mean, told again from the rules: slow, obvious, and sharing nothing with the core.

A subject's history is a string, one letter a window, and every answer is read off that string:

    b  a breach that counts      k  kept: no_data or low_traffic
    e  ends the streak           n  no_data that counts as a breach (policy `breach`)
    -  of no interest: before `counts_from`, or a subject that is not there
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

VERDICTS = {
    "B": "breach",
    ".": "ok",
    "_": "no_data",  # absent
    "N": "no_data",  # NaN
    "V": "no_data",  # traffic, but no value
    "M": "no_data",  # a value, but no traffic
    "L": "low_traffic",
    "P": "breach",  # its samples come late, but in time (W14)
    "p": "no_data",  # its samples never come
}
"""A window's glyph for one subject → its verdict (W2, W14)."""

ABSENT = "_"


@dataclass(frozen=True)
class Rules:
    windows: int
    no_data: str
    per: bool
    counts_from: int  # the first window that counts (W13)

    @property
    def reach(self) -> int:
        """A streak and its keep budget (W6)."""
        return 2 * self.windows


@dataclass(frozen=True)
class Window:
    """One window as Prometheus would tell it in the end."""

    glyphs: dict[str, str]
    told: str = "answered"  # answered | missed (never told: W6) | unusable (W2)


def verdict(window: Window, subject: str) -> str:
    if window.told == "missed":
        return "no_data"
    if window.told == "unusable":
        return "unknown"
    return VERDICTS[window.glyphs.get(subject, ABSENT)]


def history(
    rules: Rules, tape: Mapping[int, Window], judged: Sequence[int], forgot: Collection[int], subject: str
) -> str:
    """The letters of these windows, in order, from nothing. Before those in `forgot`, more windows were
    lost than a streak can keep: it begins anew (W6)."""
    letters = ""
    known = not rules.per
    for index, following in zip(judged, [*judged[1:], None], strict=True):
        window = tape[index]
        letters = "" if index in forgot else letters
        if following in forgot and window.glyphs.get(subject) == "p":
            continue  # its samples were still awaited when all was forgotten
        absent = window.told != "answered" or window.glyphs.get(subject, ABSENT) == ABSENT
        told = verdict(window, subject)
        if absent and not known:
            letters += "-"
            continue
        known = True
        letters += letter(rules, told, index >= rules.counts_from)
        if rules.per and told == "no_data":
            if rules.no_data == "breach" and letters.endswith("n" * (rules.reach + 1)):
                letters = letters[:-1] + "e"
            if streak(rules, letters) == 0:
                known = False  # gone, and nothing is counting on it: it retires (W5)
    return letters


def letter(rules: Rules, told: str, counts: bool) -> str:
    if told == "ok":
        return "e"
    if told == "low_traffic":
        return "k"
    if told == "breach":
        return "b" if counts else "-"
    if rules.no_data == "breach":
        return ("n" if told == "no_data" else "b") if counts else "-"
    return "k" if rules.no_data == "keep" else "e"


def streak(rules: Rules, letters: str) -> int:
    """How many breaches the streak holds after these windows (W4, W5)."""
    tail = begun(letters.rsplit("e", 1)[-1])
    while tail.count("k") > rules.windows:
        over = [at for at, one in enumerate(tail) if one == "k"][rules.windows]
        tail = begun(tail[over + 1 :])
    return tail.count("b") + tail.count("n")


def begun(letters: str) -> str:
    """A streak begins with a breach: what is kept before it belongs to none."""
    return letters.replace("-", "").lstrip("k")


def fires(rules: Rules, letters: str, age: int, interval: int, delay: int) -> bool:
    """Whether the last window fires: it is a breach, fresh, and the streak is long enough (W4, W5, W7)."""
    return (
        letters[-1:] in ("b", "n") and streak(rules, letters) >= rules.windows and age < 2 * interval + delay
    )
