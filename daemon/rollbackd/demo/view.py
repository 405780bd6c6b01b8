"""How the demo is shown: plain lines anywhere, or a live picture on a terminal."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from rollbackd.demo.scene import GLYPHS, Cohort, Scene, percent, strip

if TYPE_CHECKING:
    from rich.console import RenderableType

LINES = 14
STYLES = {
    "ok": "green",
    "breach": "bold red",
    "no_data": "yellow",
    "low_traffic": "dim",
    "unknown": "blue",
}


class View(Protocol):
    def say(self, text: str) -> None:
        """Something happened."""

    def show(self, scene: Scene) -> None:
        """This is how it stands; called several times a second."""

    def report(self, markdown: str) -> None:
        """The end of the story."""

    def close(self) -> None: ...


class Passed:
    """Seconds since the curtain rose, as `0:07`."""

    def __init__(self) -> None:
        self._began = monotonic()

    def __str__(self) -> str:
        seconds = int(monotonic() - self._began)
        return f"{seconds // 60}:{seconds % 60:02d}"


class Told:
    """What the newest rollback's timeline says that was not shown yet."""

    def __init__(self) -> None:
        self._shown = 0

    def new(self, scene: Scene) -> Iterator[str]:
        timeline = scene.life["timeline"] if scene.life is not None else []
        for entry in timeline[self._shown :]:
            if entry["kind"] != "page_promised":  # the demo shows what arrives
                yield str(entry["text"])
        self._shown = max(self._shown, len(timeline))


class Plain:
    """A line a change: for logs, pipes and people without a terminal."""

    def __init__(self) -> None:
        self._passed = Passed()
        self._told = Told()
        self._window: object = None

    def say(self, text: str) -> None:
        for line in text.splitlines():
            print(f"{self._passed!s:>5}  {line}", flush=True)

    def show(self, scene: Scene) -> None:
        for line in self._told.new(scene):
            self.say(f"  {line}")
        judged = any(cohort.verdicts for cohort in scene.cohorts.values())
        if judged and scene.window != self._window:
            self._window = scene.window
            self.say("  " + "   ".join(_cohort(*each) for each in scene.cohorts.items()).rstrip())

    def report(self, markdown: str) -> None:
        print(f"\n{markdown}\n", flush=True)

    def close(self) -> None:
        """Nothing is open."""


def _cohort(name: str, cohort: Cohort) -> str:
    facts = f"{name} {cohort.release or '…':5} weight {cohort.weight:2} errors {percent(cohort.errors):>3}"
    return f"{facts} {strip(cohort.verdicts[-8:]):8}"


class Live:
    """A picture that is drawn anew: cohorts, windows, the rollback against its SLA, what was said."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Screen

        self._passed = Passed()
        self._told = Told()
        self._console = Console()
        self._said: deque[tuple[str, str]] = deque(maxlen=LINES)
        self._scene = Scene()
        self._screen: Screen | None = Screen(
            get_renderable=self._picture, console=self._console, refresh_per_second=6, transient=True
        )
        self._screen.start()

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._said.append((str(self._passed), line))

    def show(self, scene: Scene) -> None:
        self._scene = scene
        for line in self._told.new(scene):
            self.say(line)

    def report(self, markdown: str) -> None:
        from rich.markdown import Markdown

        self.close()
        self._console.print(Markdown(markdown))

    def close(self) -> None:
        """Leave the last picture standing."""
        if self._screen is not None:
            self._screen.stop()
            self._screen = None
            self._console.print(self._picture())

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        parts: list[RenderableType] = [self._cohorts(), self._legend()]
        if self._scene.life is not None:
            parts += [Text(), *self._rollback(self._scene.life)]
        parts.append(Text())
        parts += [Text.assemble((f"{at:>5}  ", "dim"), line) for at, line in self._said]
        state = "up" if self._scene.up else "down"
        return Panel(
            Group(*parts), title=f"rollbackd demo · {self._passed} · daemon {state}", title_align="left"
        )

    def _cohorts(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for heading in ("cohort", "release", "traffic", "errors", "windows"):
            table.add_column(heading, header_style="dim")
        total = sum(cohort.weight for cohort in self._scene.cohorts.values()) or 1
        for name, cohort in self._scene.cohorts.items():
            share = cohort.weight / total
            glyphs = Text.assemble(*((GLYPHS.get(v, "?"), STYLES.get(v, "")) for v in cohort.verdicts))
            style = "bold red" if cohort.errors else "green"
            bar = Text("█" * round(share * 10) + "░" * (10 - round(share * 10)) + f" {share:4.0%}")
            table.add_row(name, cohort.release or "…", bar, Text(percent(cohort.errors), style), glyphs)
        return table

    def _legend(self) -> RenderableType:
        from rich.text import Text

        legend = "  ".join(f"{glyph} {verdict}" for verdict, glyph in GLYPHS.items())
        return Text(f"{legend}   ({self._scene.windows} breaches in a row fire)", "dim")

    def _rollback(self, life: dict[str, Any]) -> Iterator[RenderableType]:
        from rich.text import Text

        yield Text.assemble((f"{life['id']} {life['state']}", "bold"), f"  {sla(life)}")
        for line in steps(life):
            yield Text(f"  {line}")


def sla(life: dict[str, Any]) -> str:
    """`SLA ████░░ 12 s of 120 s (target 45 s)`: from the decision, until it was verified or ended."""
    limit = life["sla"]
    passed = _seconds(life["decided"], life["verified"] or life["ended"])
    if passed is None:
        return ""
    full = min(round(20 * passed / limit["seconds"]), 20)
    bar = "█" * full + "░" * (20 - full)
    return f"SLA {bar} {passed:.0f} s of {limit['seconds']:.0f} s (target {limit['target_seconds']:.0f} s)"


def steps(life: dict[str, Any]) -> Iterator[str]:
    """A line a step: `✓ stop-traffic    drain             done       3.1 s`."""
    for step in life["steps"]:
        took = _seconds(step["began"], step["ended"])
        glyph = _STEP_GLYPHS.get(step["state"], "▶")
        state = step["state"].replace("_", " ")
        seconds = "" if took is None else f"{took:5.1f} s"
        yield f"{glyph} {step['phase']:14} {step['step']:16} {state:11}{seconds}"


_STEP_GLYPHS = {"done": "✓", "failed": "✗", "skipped": "–", "to_come": "·", "not_run": "·"}


def _seconds(began: str | None, ended: str | None) -> float | None:
    """Between two moments of the API; until now where the second is missing."""
    if began is None:
        return None
    until = datetime.fromisoformat(ended) if ended is not None else datetime.now(UTC)
    return max((until - datetime.fromisoformat(began)).total_seconds(), 0.0)


def make(*, headless: bool) -> View:
    """Live where somebody looks at a terminal."""
    return Plain() if headless or not sys.stdout.isatty() else Live()
