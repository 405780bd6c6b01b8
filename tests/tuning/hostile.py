"""Names and notes that want more than to be read."""

from __future__ import annotations

from tests.tuning.month import shown
from tests.tuning.plainly import INTERVAL, START, Story, outcome, score, trigger

from rollbackd.core.model import Verdict, subject_key
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.tuning.backtest import Backtest, Tested
from rollbackd.tuning.scoring import Incident
from rollbackd.tuning.sweep import Axis, Cell, Sweep

WORDS = (
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    "</style><style>body{display:none}",
    "</title></svg><a href='javascript:alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "[red]markup[/red] :bomb:",
    "\x1b[2J\x1b]0;owned\x07",
    "right\u202eto left\u2066",
    "zero\u200bwidth",
    "nul\x00 and \r\n lines \u2028",
    "lone \ud800 surrogate",
    "long " + "w" * 10_000,
)


_VERDICTS: list[Verdict] = [
    "breach",
    "breach",
    "breach",
    "ok",
    "no_data",
    "breach",
    "breach",
    "ok",
    "unknown",
]


def backtest() -> Backtest:
    """A subject, an incident, a remark, an annotation, a sweep of each word."""
    of = trigger(
        name="Quote\"<b>'&",
        plan="<plan>",
        annotations={"summary": WORDS[0], "runbook_url": "javascript:alert(1)"},
    )
    stories = [Story(of, subject_key((word,)), _VERDICTS) for word in WORDS]
    found = outcome(of, stories, {one.key: {2: WORDS[0]} for one in stories})
    known = [
        Incident(START + at * INTERVAL, START + (at + 3) * INTERVAL, word) for at, word in enumerate(WORDS)
    ]
    scored = score(found, known)
    swept = _sweep(found)
    return shown(Tested(found, (), scored, swept), remarks=WORDS)


def _sweep(found: Outcome) -> Sweep:
    cells = tuple(Cell((word,), at, 0, 3, None, None) for at, word in enumerate(WORDS))
    return Sweep((Axis("breach", WORDS),), cells, 0, 1, found)
