"""What the template shows, gathered; bounded, so that the page is sent by mail and read on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.model import ALL
from rollbackd.core.notation import about, span
from rollbackd.core.sla import CONSEQUENCES
from rollbackd.core.state import AUTOMATIC, BAD_ENDS
from rollbackd.core.wording import moment, named
from rollbackd.core.wording import value as reading
from rollbackd.report.accuracy import accuracy
from rollbackd.report.document import IMPACT, record, sla_met
from rollbackd.report.escape import MOST_LINES, visible
from rollbackd.report.execution import interventions
from rollbackd.report.failure import failure
from rollbackd.report.page import picture
from rollbackd.report.parts import faster, parts
from rollbackd.report.regions import regions
from rollbackd.report.runs import never_ordered, runs, unsettled
from rollbackd.report.timeline import timeline
from rollbackd.report.words import elapsed, plain, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life
    from rollbackd.report.parts import Earlier
    from rollbackd.report.timeline import Entry

MOST_FIRINGS = 100
MOST_WINDOW_TABLES = 6
MOST_WINDOWS = 64
MOST_ENTRIES = 300
MOST_OUTPUTS = 12
LONGEST = 400
"""Characters of any one text."""
LONGEST_OUTPUT = 6_000


class Row(Struct, frozen=True):
    """A step, as the table shows it."""

    phase: str
    step: str
    result: str
    by: str = ""
    began: Ms | None = None
    took: str = ""
    attempts: int = 0
    detail: str = ""


class Output(Struct, frozen=True):
    step: str
    execution: int
    text: str
    left_out: int


def page(life: Life, events: Sequence[Recorded], before: Iterable[Earlier] = ()) -> str:
    """A whole HTML document; arguments as of `document`. Labels, comments, outputs and names in it are text,
    whatever they hold."""
    entries = timeline(life.id, events)
    of = picture.story(life, events, entries)
    found = failure(life, events)
    shown: Mapping[str, object] = {
        "life": life,
        "plan": life.plan,
        "keys": list(_keys(life, events)),
        "outcome": _outcome(life),
        "timeline": picture.timeline(of),
        "series": picture.fired(of),
        "trigger": life.triggers.get(life.trigger),
        "firings": life.firings[:MOST_FIRINGS],
        "windows": life.firings[:MOST_WINDOW_TABLES],
        "accuracy": accuracy(life, events),
        "steps": list(_steps(life, events)),
        "outputs": list(_outputs(life, events)),
        "regions": regions(life),
        "parts": parts(life, before),
        "failure": found,
        "levels": picture.escalation(found, of.until) if found is not None else None,
        "matters": list(_matters(life, events)),
        "people": [one for one in entries if one.channel and one.actor not in ("", AUTOMATIC)],
        "impact": list(_impact(life)),
        "follow_up": list(_follow_up(life)),
        "entries": entries[:MOST_ENTRIES],
        "left_out": max(len(entries) - MOST_ENTRIES, 0),
        "record": record(events),
    }
    return _environment().get_template("page.html.j2").render(shown)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        moment=moment,
        visible=_visible,
        about=about,
        plain=plain,
        faster=faster,
        labels=lambda firing: _visible(named(firing.labels)),
        reading=lambda text: _visible(reading(text)),
    )
    environment.globals.update(ALL=ALL, AUTOMATIC=AUTOMATIC, most_windows=MOST_WINDOWS, answer=_answer)
    return environment


def _visible(text: str) -> str:
    """As one harmless line; `|e` is Jinja's own."""
    return visible(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _answer(life: Life, name: str) -> str:
    found = life.checks.get(f"verify/{name}")
    return "not asked" if found is None else f"{plain(found.answer)} {_visible(found.detail)}".strip()


# The head


def _outcome(life: Life) -> tuple[str, str]:
    """Its class, and what is said."""
    if life.ended is None:
        return "open", f"under way: {plain(life.shown())}"
    if life.verified is not None:
        return "good", "successful: verified by the metrics"
    if life.state == "unverified":
        return "bad", "UNVERIFIED: it ran, recovery is not proven"
    return ("bad" if life.state in BAD_ENDS else "none"), plain(life.state)


def _keys(life: Life, events: Sequence[Recorded]) -> Iterator[tuple[str, str, str]]:
    """Value, name, class."""
    took, plan = elapsed(life), life.plan
    yield (about(took) if took is not None else "–"), "from the decision", ""
    met = sla_met(life)
    said = {True: ("met", "good"), False: ("NOT met", "bad"), None: ("–", "")}[met]
    yield said[0], f"SLA of {span(plan.allowed())}, target {span(target(plan))}", said[1]
    done = accuracy(life, events)
    if done is not None and done.share is not None:
        text = f"{done.planned - len(done.changed)} of {done.planned}"
        yield text, "steps done as planned", "" if not done.changed else "warn"
    acts = interventions(life, events)
    yield str(len(acts)) if acts else "none", "manual interventions", ""
    yield str(len(life.firings)) if life.firings else "–", "subjects fired", ""


# What ran


def _steps(life: Life, events: Sequence[Recorded]) -> Iterator[Row]:
    if life.began is None:
        return
    known = runs(life.id, events)
    loose = unsettled(life, known)
    behind = {record.step: record for record in life.steps}
    for phase, step in life.plan.steps():
        settled, run = behind.get(step.name), loose.get(step.name)
        current = life.at_hand(step.name)
        if settled is not None:
            took = about(settled.ended - settled.began)
            result, by = settled.result, settled.by
            yield Row(
                phase.name, step.name, result, by, settled.began, took, settled.attempts, settled.detail
            )
        elif current is not None:
            yield Row(
                phase.name, step.name, plain(current.stage), "", current.began, "", current.attempt,
                current.detail,
            )  # fmt: skip
        elif run is not None:
            yield Row(phase.name, step.name, plain(run.fate()), "", run.began, "", run.attempts, run.detail)
        else:
            yield Row(phase.name, step.name, plain(never_ordered(life, step.name)))


def _outputs(life: Life, events: Sequence[Recorded]) -> Iterator[Output]:
    """The last lines of what did not end well, the newest first."""
    found = [
        row.event
        for row in events
        if isinstance(row.event, e.StepEnded) and row.event.life == life.id and row.event.output.strip()
    ]
    odd = [one for one in found if one.status != 0 or not one.expect_matched]
    for one in odd[: -MOST_OUTPUTS - 1 : -1]:
        lines = one.output.replace("\r\n", "\n").rstrip().split("\n")
        text = "\n".join(visible(line, keep="\t") for line in lines[-MOST_LINES:])[-LONGEST_OUTPUT:]
        yield Output(one.step, one.execution, text, max(len(lines) - MOST_LINES, 0))


# Who was told, what it cost


def _matters(life: Life, events: Sequence[Recorded]) -> Iterator[tuple[str, str, list[Entry]]]:
    """What people had to be told of: title, how it ended, its lines."""
    of: dict[str, str] = {}
    titles: dict[str, str] = {}
    closed: dict[str, str] = {}
    lines: dict[str, list[Entry]] = {}
    by_seq = {entry.seq: entry for entry in timeline(life.id, events)}
    for row in events:
        match row.event:
            case e.MatterOpened() as opened if opened.life == life.id:
                titles[opened.matter], lines[opened.matter] = opened.title, []
            case e.PagePromised() as promised if promised.matter in lines:
                of[promised.page] = promised.matter or ""
            case e.MatterResolved() as resolved if resolved.matter in lines:
                closed[resolved.matter] = resolved.why
        matter = getattr(row.event, "matter", None) or of.get(getattr(row.event, "page", ""))
        if matter in lines and row.seq in by_seq:
            lines[matter].append(by_seq[row.seq])
    for matter, title in titles.items():
        yield title, closed.get(matter, "open"), lines[matter][:MOST_WINDOWS]


def _impact(life: Life) -> Iterator[tuple[str, str, str]]:
    """Name, value, why it is unknown; what the plan does not ask is unknown too."""
    known = {one.name: one for one in life.impact or ()}
    asked = {query.name for query in life.plan.impact}
    for name in dict.fromkeys((*IMPACT, *known)):
        one = known.get(name)
        if one is not None and one.value is not None:
            yield plain(name), one.word or f"{one.value:,.10g}", f"{one.value:g}" if one.word else ""
        else:
            why = one.detail if one is not None else "not measured yet" if name in asked else "not asked"
            yield plain(name), "unknown", why


def _follow_up(life: Life) -> Iterator[str]:
    if life.sla_breached or life.regions_breached:
        yield f"SLA breached: {CONSEQUENCES[life.plan.level]}"
    if life.cleanup_failed is not None:
        yield f"Finish the clean-up by hand: {life.cleanup_failed}"
