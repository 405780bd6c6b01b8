"""`scorecard`: how rollbacks have gone, against what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rollbackd.cli import options
from rollbackd.cli.text import Doc, span, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rollbackd.cli.client import Daemon

MEASURES = {
    "sla_met": "SLA met",
    "success": "verified",
    "automated": "automated",
    "rehearsed": "rehearsed before",
}
_STYLES = {"met": "green", "missed": "bold red", "too_few": "yellow", "unknown": "dim"}


@click.command()
@click.option(
    "--days", type=click.IntRange(1, 366), default=30, show_default=True, help="Today and the days before it."
)
@click.option("--service", default="", help="Of this service alone.")
@options.as_json
@options.reads
def scorecard(daemon: Daemon, days: int, service: str, as_json: bool) -> None:
    """How rollbacks have gone: SLA, success, automation, rehearsal, incidents, by service."""
    from rollbackd.cli import output

    query = {"days": str(days)} | ({"service": service} if service else {})
    card = daemon.get("scorecard", **query)
    if as_json:
        output.print_json(card)
    else:
        output.show(render(card))


def render(card: Doc) -> RenderableType:
    from rich.console import Group

    from rollbackd.cli import output

    score = card["all"]
    whose = f" of {visible(score['service'])}" if score.get("service") else ""
    parts: list[RenderableType] = [_measures(card, f"the last {card['days']} days{whose}")]
    if card["recorded"] < card["days"]:
        parts.append(output.note(f"the record is {card['recorded']} days old"))
    if score["unresolved"]:
        parts.append(output.note(f"not resolved yet: {score['unresolved']}", "bold red"))
    if score["triggers"]:
        named = ", ".join(f"{visible(name)} {count}" for name, count in score["triggers"].items())
        parts.append(output.note(f"most often by: {named}", ""))
    if card["services"]:
        parts += ["", _services(card["services"])]
    return Group(*parts)


def _measures(card: Doc, title: str) -> RenderableType:
    from rollbackd.cli import output

    score, table = card["all"], output.table(title, "measure", "", "target", "")
    for name, share in score["shares"].items():
        said = share["why"] or f"{share['hits']} of {share['of']}: {share['verdict']}"
        cells = [MEASURES.get(name, name), percent(share["share"]), percent(share["target"])]
        output.row(table, [*cells, output.note(visible(said), _STYLES.get(share["verdict"], ""))])
    incidents = score["incidents"]
    said = output.note("missed" if incidents else "met", _STYLES["missed" if incidents else "met"])
    output.row(table, ["incidents from failed rollbacks", str(incidents), "0", said])
    seconds = score["seconds"]
    output.row(table, ["rollbacks", str(score["rollbacks"]), "", f"{score['per_week']:g} a week"])
    slowest = f"95 % within {_time(seconds['p95'])}"
    output.row(table, ["time, on average", _time(seconds["average"]), "", slowest])
    return table


def _services(scores: list[Doc]) -> RenderableType:
    from rollbackd.cli import output

    columns = ("service", "rollbacks", "a week", *MEASURES.values(), "incidents", "average", "95 % within")
    table = output.table("by service", *columns)
    for score in sorted(scores, key=lambda score: -score["rollbacks"]):
        shares = [
            output.note(_short(score["shares"][name]), _STYLES.get(score["shares"][name]["verdict"], ""))
            for name in MEASURES
        ]
        seconds = score["seconds"]
        first = [visible(score["service"]), str(score["rollbacks"]), f"{score['per_week']:g}"]
        last = [str(score["incidents"]), _time(seconds["average"]), _time(seconds["p95"])]
        output.row(table, [*first, *shares, *last])
    return table


def _short(share: Doc) -> str:
    """Of few, their number."""
    return f"{share['hits']} of {share['of']}" if share["verdict"] == "too_few" else percent(share["share"])


def percent(share: float | None) -> str:
    """Never rounded up to what it is not: 99.97 % is not 100 %."""
    return "unknown" if share is None else f"{int(share * 1000 + 1e-9) / 10:g} %"


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else span(seconds)
