"""Every lint, by its ID, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.config.lints import acting, judging, levels, online, samples, vectors
from rollbackd.config.lints.lint import Lint

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMMENTS = (
    Lint(
        "disable-malformed",
        "a comment for rollbackd that it does not understand",
        "Whoever wrote it believes that it does something.",
        "write `# rollbackd: disable ID until YYYY-MM-DD because …`",
    ),
    Lint(
        "disable-unknown",
        "a comment that disables what does not exist",
        "It disables nothing, and what was meant goes on.",
        "write the ID as `rollbackd check` prints it",
    ),
    Lint(
        "disable-expired",
        "a comment whose day has passed",
        "It disables nothing any more: somebody meant to look at this by then.",
        "mend what it hid, or give it another day",
    ),
    Lint(
        "disable-unused",
        "a comment that disables what is not found there",
        "It would hide the next one, of which nobody has thought.",
        "remove it",
    ),
)
"""Of comments: they cannot be disabled."""

SECTIONS: dict[str, tuple[Lint, ...]] = {
    "What an expression reads": samples.LINTS,
    "Which series it yields": vectors.LINTS,
    "How readings are judged": judging.LINTS,
    "What a trigger may do": acting.LINTS,
    "What a plan lacks for its level": levels.LINTS,
    "What Prometheus answers (`--online`)": online.LINTS,
    "What comments say": _COMMENTS,
}
LINTS: dict[str, Lint] = {lint.id: lint for lints in SECTIONS.values() for lint in lints}
FIXED = frozenset(lint.id for lint in _COMMENTS)

HEAD = """\
# Lints

Written by `python -m rollbackd.config.lints`. `rollbackd check` warns of what can be used and yet bites, each
time with an ID: `triggers/api.yml:12:15: expr: … (warning) [irate]`. `rollbackd check --explain ID` prints
what stands here. `--strict` exits 3 where there are warnings.

A comment disables lints until a day, that day included; afterwards they are told again, and the comment is,
too. One that disables nothing is told of as well.

```yaml
# rollbackd: disable no-traffic-floor until 2027-01-31 because the floor waits for the new exporter
```

It speaks of its own line or, standing alone, of the next one. In a trigger, or above it, it holds for the
trigger; above a group for the group; above the first line of a file for the file. `# rollbackd: shadow since
2026-11-01` beside `action: shadow` says since when; the file says it because a check in CI sees neither the
journal nor, in a shallow clone, the history.
"""


def named(name: str) -> Lint | None:
    return LINTS.get(name)


def document() -> str:
    """docs/lints.md."""
    parts = [HEAD]
    for title, lints in SECTIONS.items():
        parts.append(f"\n## {title}\n")
        parts += (_section(lint) for lint in lints)
    return "".join(parts)


def _section(lint: Lint) -> str:
    rule = f" ({lint.rule})" if lint.rule else ""
    needs = "\nSeen only where the whole configuration is checked.\n" if lint.needs == "set" else ""
    examples = "".join(
        f"\n{title}:\n\n```yaml\n{text}\n```\n"
        for title, text in (("Bad", lint.bad), ("Good", lint.good))
        if text
    )
    return (
        f"\n### {lint.id}\n\n{_capital(lint.means)}{rule}.\n\n{lint.reason}\n\n"
        f"**Remedy:** {lint.remedy}.\n{needs}{examples}"
    )


def explanation(lint: Lint) -> str:
    """What people read on a terminal."""
    rule = f" (rule {lint.rule})" if lint.rule else ""
    said = [f"{lint.id}: {lint.means}{rule}", "", *_wrapped(lint.reason), "", f"Remedy: {lint.remedy}."]
    for title, text in (("Bad:", lint.bad), ("Good:", lint.good)):
        if text:
            said += ["", title, *(f"  {line}" for line in text.splitlines())]
    if lint.id not in FIXED:
        said += ["", f"Disable: # rollbackd: disable {lint.id} until YYYY-MM-DD because …"]
    return "\n".join(said)


def _wrapped(text: str, width: int = 100) -> Iterable[str]:
    from textwrap import wrap

    return wrap(text, width)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
