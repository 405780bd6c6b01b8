"""Tries triggers out on what Prometheus remembers."""

from __future__ import annotations

import os
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
from rollbackd.cli.errors import Exit, Failed, complain
from rollbackd.cli.text import count, moment, visible

if TYPE_CHECKING:
    from rollbackd.config import Candidates
    from rollbackd.core.events import AlignmentLearned
    from rollbackd.core.model import Action, Ms, Trigger
    from rollbackd.tuning.backtest import Backtest, Tested
    from rollbackd.tuning.data import Material, Moment, Order


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


class Out(click.Path):
    """A file to be written, in a folder that is there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}", param, ctx)
        return path


class Given(NamedTuple):
    """What the command line says."""

    config: Path | None
    prometheus: str | None
    trigger: tuple[str, ...]
    start: Moment | None
    end: Moment | None
    data: Path | None
    save: Path | None
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
@click.option("--prometheus", metavar="URL", help="Ask this server, without credentials.")
@click.option("--trigger", metavar="NAME", multiple=True, help="This one alone; may be repeated.")
@click.option("--start", type=When(), help="-14d, RFC 3339, or Unix seconds. [14 days before the end]")
@click.option("--end", type=When(), help="As --start, or now: by Prometheus' clock. [now]")
@click.option("--data", type=options.File(), help="Of --save, or a query_range response, or OpenMetrics.")
@click.option("--save", type=Out(), help="Keep the answers for --data; gzipped if it ends in .gz.")
@click.option("--html", type=Out(), help="Write one self-contained page.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def backtest(words: Sequence[str], **said: Any) -> int:
    """When each trigger of FILE would have fired, over what Prometheus remembers."""
    from rollbackd.tuning.backtest import Backtest

    given = Given(**said)
    file = _file(words)
    read = _read(file, given.settings)
    order = _order(read, given, file)
    with _progress() as tell:
        material = _gather(order, partial(tell, "asking"))
        if given.save is not None:
            _save(given.save, material)
        tested = _test(material, read.max_action, partial(tell, "replaying"))
    for remark in material.remarks:
        complain(remark)
    found = Backtest(
        str(file), material.source, material.begin, material.end, _now(), tested, "", material.remarks
    )
    _print(found, given.form)
    return Exit.YES


def _now() -> Ms:
    return time.time_ns() // 1_000_000


def _file(words: Sequence[str]) -> Path:
    if len(words) != 1:
        raise click.UsageError(f"one FILE of triggers at a time, not {len(words)}")
    return Path(words[0])


def _read(file: Path, config: Path | None) -> Candidates:
    """Its errors are shown as `check` shows them."""
    from rollbackd.config import ConfigErrors, read_candidates

    try:
        read = read_candidates(file, config)
    except ConfigErrors as error:
        for problem in error.problems:
            click.echo(visible(problem), err=True)
        errors = count(len(error.problems), "error")
        raise Failed(f"{errors}: nothing was replayed; correct them first", Exit.NO) from None
    if not read.triggers:
        raise Failed(f"{file}: it holds no trigger", Exit.NO)
    return read


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
        settings = PrometheusSettings((_url(given.prometheus),))
    return Order(
        triggers=named,
        times=Times(given.start, given.end),
        alignments=_alignments(read, named),
        prometheus=settings,
        file=given.data,
    )


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port):
            return text
    except ValueError:
        pass
    raise click.BadParameter("write it as http://HOST:9090", param_hint="--prometheus")


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
        return gather(order, tell)
    except BadTimes as error:
        raise click.UsageError(str(error)) from None
    except (NoHistory, BadFile, NoData, Unavailable) as error:
        raise Failed(str(error), Exit.CANNOT_TELL) from None


def _test(material: Material, ceiling: Action, tell: Callable[[int, int], None]) -> tuple[Tested, ...]:
    from rollbackd.sim.replay.replaying import replay
    from rollbackd.tuning.backtest import Tested

    sizes = [sum(len(history.ends) for history in one.stretches) for one in material.gathered]
    tested, before = [], 0
    for one, size in zip(material.gathered, sizes, strict=True):
        outcome = replay(
            one.trigger,
            one.stretches,
            alignments=material.alignments,
            max_action=ceiling,
            progress=lambda done, before=before: tell(before + done, sum(sizes)),  # type: ignore[misc]
        )
        tested.append(Tested(outcome, one.stretches))
        before += size
    return tuple(tested)


def _save(path: Path, material: Material) -> None:
    from rollbackd.tuning.answers import write

    try:
        write(path, material.saved(_now()))
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}: the answers are not saved", Exit.NO) from None


def _print(found: Backtest, form: str) -> None:
    from rollbackd.cli.output import print_json, show
    from rollbackd.tuning.document import document
    from rollbackd.tuning.text import report

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
