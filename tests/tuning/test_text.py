"""A backtest on a terminal, and off one."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from msgspec.structs import replace
from rich.console import Console
from tests.tuning import hostile
from tests.tuning.month import shown
from tests.tuning.plainly import INTERVAL, START, score, spelled, trigger

from rollbackd.cli.backtested import MOST_CELLS, MOST_ROWS, report
from rollbackd.tuning import backtest
from rollbackd.tuning.backtest import Backtest
from rollbackd.tuning.scoring import Incident
from rollbackd.tuning.sweep import Axis, Cell, Sweep

KNOWN = (
    Incident(START + INTERVAL, START + 6 * INTERVAL, "db down"),
    Incident(START + 20 * INTERVAL, START + 30 * INTERVAL, "cert expired"),
)


def printed(
    found: Backtest, width: int = 300, env: Mapping[str, str] | None = None, tty: bool = False
) -> str:
    out, said = io.StringIO(), env or {}
    Console(
        file=out,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=tty,
        _environ=said,
    ).print(report(found))
    return out.getvalue()


def rows(text: str, title: str) -> list[list[str]]:
    """The cells of a table: two spaces part them."""
    lines = text.splitlines()
    first = next(at for at, line in enumerate(lines) if line.strip() == title) + 1
    found = []
    for line in lines[first:]:
        if not line.strip():
            break
        found.append([cell.strip() for cell in line.split("  ") if cell.strip()])
    return found


def test_what_stands_in_each_table() -> None:
    found = spelled(trigger(), canary="..XXX.XXX..__XX..", stable="................?")
    text = printed(shown(backtest.Tested(found, score=score(found, KNOWN))))
    assert text.splitlines()[0].strip() == (
        "ApiErrorRatioHigh would have fired once in 4m15s: 1 of 2 incidents caught, 0 false."
    )
    assert rows(text, "WOULD HAVE FIRED")[1:] == [
        [
            "2026-11-01 00:01:15",
            "{cohort=canary}",
            "0.02",
            "> 0.01",
            "ask (paused)",
            "caught 1m late: “db down”",
        ]
    ]
    assert rows(text, "HIDDEN FIRES")[1:] == [
        [
            "2026-11-01 00:02:15",
            "{cohort=canary}",
            "2026-11-01 00:01:15",
            "the cooldown of an earlier fire was not over",
        ]
    ]
    assert rows(text, "NEAR MISSES")[1:] == [["2026-11-01 00:03:45", "2 of 3 windows", "{cohort=canary}"]]
    assert rows(text, "INCIDENTS")[1:] == [
        ["2026-11-01 00:00:15", "1m15s", "caught", "1m late", "db down"],
        ["2026-11-01 00:05:00", "2m30s", "MISSED", "nobody was seen", "cert expired"],
        ["precision 100 %, recall 50 %, 0 false fires a week, median lead 1m late"],
    ]
    assert rows(text, "TIME IN EACH VERDICT")[1:] == [
        ["{cohort=canary}", "3", "2m", "1m45s", "30s", "0s", "0s", "30s (11.8 %)"],
        ["{cohort=stable}", "0", "0s", "4m", "0s", "0s", "15s", "15s (5.9 %)"],
    ]
    assert "would have recovered" not in text


def test_what_is_many_is_cut_and_says_so() -> None:
    many = MOST_ROWS + 7
    tapes = {f"c{at:02}": "." * at + "XXX" + "." * (many - at) for at in range(many)}
    text = printed(shown(backtest.Tested(spelled(trigger(), **tapes))))
    assert text.count("… and 7 more (--format json has all)") == 2  # fires, subjects
    assert len(rows(text, "WOULD HAVE FIRED")) == 1 + MOST_ROWS + 1


def swept(many: int, scored: bool) -> Sweep:
    found = spelled(trigger(), canary="XXX.............")
    one = score(found, KNOWN) if scored else None
    cells = tuple(
        Cell((str(at + 1),), at, 0, 3, one, one.lead if one is not None else None) for at in range(many)
    )
    axis = Axis("windows", tuple(cell.values[0] for cell in cells))
    return Sweep((axis,), cells, many - 1, 2, found)


def test_a_sweep_marks_the_current_setting_and_the_knee() -> None:
    sweep = swept(4, scored=True)
    text = printed(shown(backtest.Tested(sweep.outcome, score=score(sweep.outcome, KNOWN), sweep=sweep)))
    assert rows(text, "SWEEP")[3:] == [
        ["3", "2", "0", "1/2", "0", "0", "100 %", "50 %", "30s late", "← knee"],
        ["4", "3", "0", "1/2", "0", "0", "100 %", "50 %", "30s late", "← current"],
    ]


def test_a_long_sweep_is_cut_but_for_what_is_marked() -> None:
    sweep = swept(MOST_CELLS + 40, scored=False)
    found = rows(printed(shown(backtest.Tested(sweep.outcome, sweep=sweep))), "SWEEP")
    assert found[-1] == ["… and 40 more (--format json has all)"]
    assert [row[-1] for row in found if row[-1].startswith("←")] == ["← knee", "← current"]
    assert len(found) == 1 + MOST_CELLS + 1


@pytest.mark.parametrize(
    ("tty", "env", "escapes"),
    [(False, {}, False), (True, {}, True), (True, {"NO_COLOR": "1"}, False)],
)
def test_colours_are_for_terminals_that_want_them(tty: bool, env: Mapping[str, str], escapes: bool) -> None:
    found = spelled(trigger(), canary="XXX.")
    text = printed(
        shown(backtest.Tested(found, score=score(found, ()))), env={"TERM": "xterm", **env}, tty=tty
    )
    assert ("\x1b[31m" in text) is escapes


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_keeps_to_the_width(width: int) -> None:
    text = printed(hostile.backtest(), width)
    assert max(map(len, text.splitlines())) <= width


def test_nothing_from_outside_moves_the_cursor() -> None:
    text = printed(hostile.backtest())
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "[red]markup[/red] :bomb:" in text


def test_windows_without_their_samples_are_told_of() -> None:
    found = replace(spelled(trigger(), canary="...."), partial=2)
    assert "2 windows lacked the samples that decide (W14)." in printed(shown(backtest.Tested(found)))
