"""Tries triggers out on what Prometheus remembers."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rollbackd.cli import options, where
from rollbackd.cli.errors import Exit, Failed, complain, logs_as_complaints
from rollbackd.cli.text import count, moment, visible

if TYPE_CHECKING:
    from rollbackd.config import Candidates
    from rollbackd.core.events import AlignmentLearned
    from rollbackd.core.history import History
    from rollbackd.core.model import Action, Ms, Trigger
    from rollbackd.tuning.axes import Axis
    from rollbackd.tuning.backtest import Backtest, Tested
    from rollbackd.tuning.data import Material, Moment, Order
    from rollbackd.tuning.scoring import Incident
    from rollbackd.tuning.sweep import Sweep


AXIS = re.compile(r"[a-z_]+=")


class When(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """`-14d`, `now`, RFC 3339, Unix seconds → a `Moment`."""

    name = "time"

    def convert(
        self, value: str | Moment, param: click.Parameter | None, ctx: click.Context | None
    ) -> Moment:
        from rollbackd.core.notation import parse_duration
        from rollbackd.tuning.data import Moment

        if isinstance(value, Moment):
            return value
        try:
            if value == "now":
                return Moment(0, relative=True)
            if value.startswith("-"):
                return Moment(-parse_duration(value[1:]), relative=True)
            if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value):
                return Moment(round(float(value) * 1000))
        except ValueError:
            pass
        found = moment(value)
        if found is None:
            what = "write -14d, now, 2026-01-31T12:00:00Z or Unix seconds"
            self.fail(f"{value!r} is not a time; {what}", param, ctx)
        return Moment(round(found.timestamp() * 1000))


class Given(NamedTuple):
    """What the command line says."""

    config: Path | None
    prometheus: str | None
    trigger: tuple[str, ...]
    start: Moment | None
    end: Moment | None
    data: Path | None
    save: Path | None
    sweep: tuple[str, ...]
    incidents: Path | None
    incidents_from: str | None
    html: Path | None
    form: str

    @property
    def settings(self) -> Path | None:
        """The rollbackd.yml that counts: named, or found where nothing else says whom to ask."""
        if self.config is not None or self.prometheus is not None or self.data is not None:
            return self.config
        for candidate in (Path("rollbackd.yml"), where.CONFIG):
            if candidate.exists():
                return candidate
        raise click.UsageError("whom to ask? name --config, a rollbackd.yml, or --prometheus URL, or --data")


@click.command()
@click.argument("words", metavar="FILE", nargs=-1, required=True)
@click.option(
    "--config",
    type=options.File(),
    help=f"A rollbackd.yml: its Prometheus, actions, journal. [./rollbackd.yml, {where.CONFIG}]",
)
@click.option("--prometheus", type=options.Server(), help="Ask this server, without credentials.")
@click.option("--trigger", metavar="NAME", multiple=True, help="This one alone; may be repeated.")
@click.option("--start", type=When(), help="-14d, RFC 3339, or Unix seconds. [14 days before the end]")
@click.option("--end", type=When(), help="As --start, or now: by Prometheus' clock. [now]")
@click.option("--data", type=options.File(), help="Of --save, or a query_range response, or OpenMetrics.")
@click.option("--save", type=options.Out(), help="Keep the answers for --data; gzipped if it ends in .gz.")
@click.option(
    "--sweep",
    metavar="K=V…",
    multiple=True,
    help="Try each of K=A,B,C or K=FROM:TO:COUNT; several make a grid: windows=2,4,8 breach=0.005:0.05:10.",
)
@click.option(
    "--incidents",
    type=options.File(),
    help="When something was wrong; `rollbackd schema incidents` says how it is written.",
)
@click.option("--incidents-from", metavar="EXPR", help="A series that is on during incidents: ALERTS{…}.")
@click.option("--html", type=options.Out(), help="Write one self-contained page.")
@options.form(type=click.Choice(["text", "json"]), help="json: everything, under stable names.")
def backtest(words: Sequence[str], **said: Any) -> int:
    """When each trigger of FILE would have fired, over what Prometheus remembers."""
    from rollbackd.tuning.backtest import Backtest

    given = Given(**said)
    if given.incidents is not None and given.incidents_from is not None:
        raise click.UsageError("name --incidents or --incidents-from, not both")
    file, sweeps = _file_and_sweeps(words, given.sweep)
    read = _read(file, given.settings)
    order = _order(read, given, file)
    axes = _axes(order.triggers, sweeps)
    known = _read_incidents(given.incidents)
    with _progress() as tell:
        material = _gather(order, partial(tell, "asking"))
        if given.save is not None:
            _save(given.save, material)
        if material.signs is not None:
            known = _incidents_from(material.signs)
        work = Work(material, read.max_action, axes, known)
        tested = tuple(_test(work, number, tell) for number in range(len(material.gathered)))
    for remark in material.remarks if given.form == "json" else ():  # the text has them
        complain(remark)
    found = Backtest(
        file=str(file),
        source=material.source,
        begin=material.begin,
        end=material.end,
        made=_now(),
        tested=tested,
        incidents=str(given.incidents or given.incidents_from or ""),
        remarks=material.remarks,
    )
    if given.html is not None:
        _write_page(given.html, found)
    _print(found, given.form)
    return Exit.YES


def _now() -> Ms:
    return time.time_ns() // 1_000_000


def _file_and_sweeps(words: Sequence[str], sweeps: Sequence[str]) -> tuple[Path, list[str]]:
    """What follows --sweep may be several words: those that are `K=V`."""
    files = [word for word in words if not (sweeps and AXIS.match(word))]
    if len(files) != 1:
        raise click.UsageError(f"name one FILE of triggers, not {len(files)}")
    return Path(files[0]), [*sweeps, *(word for word in words if word not in files)]


def _read(file: Path, config: Path | None) -> Candidates:
    from rollbackd.config import read_candidates

    with _shown():
        read = read_candidates(file, config)
    if not read.triggers:
        raise Failed(f"{file}: it holds no trigger", Exit.NO)
    return read


@contextmanager
def _shown() -> Iterator[None]:
    """Errors of files are shown as `check` shows them."""
    from rollbackd.config import ConfigErrors

    try:
        yield
    except ConfigErrors as error:
        for problem in error.problems:
            click.echo(visible(problem), err=True)
        errors = count(len(error.problems), "error")
        raise Failed(f"{errors}: nothing was replayed; correct them first", Exit.NO) from None


def _read_incidents(path: Path | None) -> tuple[Incident, ...] | None:
    if path is None:
        return None
    from rollbackd.tuning.incidents import read_incidents

    with _shown():
        return read_incidents(path)


def _incidents_from(signs: History) -> tuple[Incident, ...]:
    """The expression is the note of each."""
    from msgspec.structs import replace

    from rollbackd.tuning.incidents import from_series

    expr, columns = signs.queries[0].expr, signs.columns[0].values()
    return from_series(replace(signs, columns=(dict(zip([expr], columns, strict=False)),)))


def _axes(triggers: Sequence[Trigger], sweeps: Sequence[str]) -> tuple[tuple[Axis, ...], ...]:
    """For each trigger."""
    if not sweeps:
        return ((),) * len(triggers)
    from rollbackd.tuning.axes import Refused, parse_axes

    try:
        return tuple(parse_axes(sweeps, trigger) for trigger in triggers)
    except Refused as error:
        raise click.UsageError(str(error)) from None


def _order(read: Candidates, given: Given, file: Path) -> Order:
    from rollbackd.settings import PrometheusSettings
    from rollbackd.tuning.data import Order, Times

    named = read.triggers
    if given.trigger:
        known = {trigger.name: trigger for trigger in read.triggers}
        for name in given.trigger:
            if name not in known:
                raise click.UsageError(f"{file} has no trigger {name!r}; it has {', '.join(known)}")
        named = tuple(known[name] for name in dict.fromkeys(given.trigger))
    settings = read.prometheus
    if given.prometheus is not None:
        settings = PrometheusSettings((given.prometheus,))
    return Order(
        triggers=named,
        times=Times(given.start, given.end),
        alignments=_alignments(read, named),
        signs=_signs(given.incidents_from),
        prometheus=settings,
        file=given.data,
    )


def _signs(expr: str | None) -> str | None:
    from rollbackd.config.promql import analyse

    try:
        if expr is not None:
            analyse(expr)
    except ValueError as error:
        raise click.BadParameter(
            f"{error}; write it like ALERTS{{…}}", param_hint="--incidents-from"
        ) from None
    return expr


def _alignments(read: Candidates, triggers: Sequence[Trigger]) -> tuple[AlignmentLearned, ...]:
    """What the daemon of this configuration learned; nothing, and a word, where that cannot be read."""
    from rollbackd.core.record import JournalBroken
    from rollbackd.tuning.grids import learned

    if read.state_dir is None or not any(trigger.auto_align for trigger in triggers):
        return ()
    journal = read.state_dir / where.DATABASE
    try:
        return learned(journal)
    except FileNotFoundError:
        complain(f"there is no {journal}: where windows ended is not known")
    except OSError as error:
        complain(f"{journal}: {error.strerror}: where windows ended is not known; use sudo")
    except JournalBroken as error:
        complain(f"{error}; where windows ended is not known")
    return ()


def _gather(order: Order, tell: Callable[[int, int], None]) -> Material:
    from rollbackd.tuning.answers import BadFile
    from rollbackd.tuning.data import BadTimes, NoData, gather
    from rollbackd.tuning.temporary import Unavailable
    from rollbackd.world.prometheus import NoHistory

    try:
        with logs_as_complaints():
            return gather(order, tell)
    except BadTimes as error:
        raise click.UsageError(str(error)) from None
    except (NoHistory, BadFile, NoData, Unavailable) as error:
        raise Failed(str(error), Exit.CANNOT_TELL) from None


class Work(NamedTuple):
    """What is to be found out of each trigger."""

    material: Material
    ceiling: Action
    axes: tuple[tuple[Axis, ...], ...]  # of each
    incidents: tuple[Incident, ...] | None


def _test(work: Work, number: int, tell: Callable[[str, int, int], None]) -> Tested:
    from rollbackd.sim.replay.replaying import replay
    from rollbackd.tuning.backtest import Tested
    from rollbackd.tuning.scoring import score

    one = work.material.gathered[number]
    windows = sum(len(history.ends) for history in one.stretches)
    outcome = replay(
        one.trigger,
        one.stretches,
        alignments=work.material.alignments,
        max_action=work.ceiling,
        progress=lambda done: tell(f"replaying {one.trigger.name}", done, windows),
    )
    known = None if work.incidents is None else score(outcome, work.incidents)
    swept = _sweep(work, number, tell) if work.axes[number] else None
    return Tested(outcome, one.stretches, known, swept)


def _sweep(work: Work, number: int, tell: Callable[[str, int, int], None]) -> Sweep:
    from rollbackd.tuning.axes import Refused, cells
    from rollbackd.tuning.sweep import sweep

    one, axes = work.material.gathered[number], work.axes[number]
    try:
        return sweep(
            one.trigger,
            one.stretches,
            axes,
            work.incidents,
            alignments=work.material.alignments,
            progress=lambda done: tell(f"sweeping {one.trigger.name}", done, cells(axes)),
        )
    except Refused as error:
        raise click.UsageError(str(error)) from None


def _save(path: Path, material: Material) -> None:
    from rollbackd.tuning.answers import write

    try:
        write(path, material.saved(_now()))
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}: the answers are not saved", Exit.NO) from None


def _write_page(path: Path, found: Backtest) -> None:
    from rollbackd.outputs import whole
    from rollbackd.tuning.page import page

    try:
        with whole(path) as file:
            file.write(page(found).encode())
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}: the page is not written", Exit.NO) from None


def _print(found: Backtest, form: str) -> None:
    from rollbackd.cli.backtested import report
    from rollbackd.cli.output import print_json, show
    from rollbackd.tuning.document import document

    if form == "json":
        print_json(document(found))
    else:
        show(report(found))


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shown on a terminal, and nowhere else."""
    if not sys.stderr.isatty():
        yield lambda what, done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield tell
