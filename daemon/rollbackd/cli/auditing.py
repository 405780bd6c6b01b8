"""`audit`: shows that the record is whole, and gives it away in a form that proves itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from rollbackd.cli import options, where
from rollbackd.cli.errors import Exit, Failed, complain

if TYPE_CHECKING:
    from rollbackd.core.record import Head, VerifyResult
    from rollbackd.journal.anchors import Verdict

MOST_GAPS = 5


@click.group(no_args_is_help=False)
def audit() -> None:
    """Look at the record."""


class Anchor(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """`SEQ:HASH`, as `audit verify` prints it."""

    name = "seq:hash"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        from rollbackd.core.record import Head

        seq, _, digest = value.partition(":")
        try:
            if len(bytes.fromhex(digest)) == 32:
                return Head(int(seq), digest.lower())
        except ValueError:
            pass
        self.fail(f"{value!r} is not SEQ:HASH, as `rollbackd audit verify` printed it", param, ctx)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A date, a date with its time (UTC unless it says otherwise), or `7d`: so long ago. In ms."""

    name = "when"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from rollbackd.core.notation import parse_duration

        if isinstance(value, int):
            return value
        try:
            return int(datetime.now(UTC).timestamp() * 1000) - parse_duration(value)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-30, 2026-11-30T14:00Z or 7d", param, ctx)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


_state_dir = click.option(
    "--state-dir", type=options.File(folder=True), help="Where the journal is; for --config."
)


@audit.command()
@options.config
@_state_dir
@click.option(
    "--anchor",
    type=Anchor(),
    help="A head kept elsewhere, which must be in the chain; else that of the snapshot beside the journal.",
)
@click.option(
    "--anchors",
    "files",
    type=options.File(),
    multiple=True,
    help="A file in which heads are: the anchor file, a log, a page, a report. Each is judged.",
)
@click.option("--export", "exported", type=options.File(), help="Verify this file, and no journal.")
@click.option("--whole", is_flag=True, help="Of an export: no row may be missing between the others.")
def verify(
    config: Path | None,
    state_dir: Path | None,
    anchor: Head | None,
    files: tuple[Path, ...],
    exported: Path | None,
    whole: bool,
) -> int:
    """Show that nothing in the journal was edited, cut or reordered; the daemon may be running."""
    anchors = _anchors_in(files) if files else set()
    if anchor is not None and (files or exported):
        anchors.add(anchor)
    if exported is not None:
        return _verify_export(exported, anchors, whole)
    return _verify_journal(state_dir or where.state_dir(config), None if files else anchor, anchors)


def _anchors_in(names: Iterable[Path]) -> set[Head]:
    """Failed: a file cannot be read, or holds none."""
    from rollbackd.journal.anchors import found_in

    anchors: set[Head] = set()
    for name in names:
        try:
            with name.open(encoding="utf-8", errors="replace") as lines:
                found = set(found_in(lines))
        except OSError as error:
            raise Failed(f"{name}: {error.strerror}; name a file with anchors", Exit.CANNOT_TELL) from error
        if not found:
            raise Failed(f"{name}: no SEQ:HASH is in it; name a file with anchors", Exit.CANNOT_TELL)
        anchors |= found
    return anchors


def _verify_journal(folder: Path, anchor: Head | None, anchors: set[Head]) -> int:
    from rollbackd.journal.audit import judge_anchors, verify_file

    journal = folder / where.DATABASE
    beside, doubt = (None, "") if anchor is not None or anchors else _beside(journal)
    anchor = anchor or beside
    with _reading(journal):
        origin = _uuid(folder)
        result = verify_file(journal, origin, anchor=anchor)
        verdicts = judge_anchors(journal, origin, anchors) if anchors and result.ok else []
    why = _fault(result, beside, doubt)
    if why:
        raise Failed(f"{journal}: {why}; keep the file as it is, compare with a backup", Exit.NO)
    click.echo(f"rows {result.upto - result.after}" + (f" ({result.pruned} pruned)" if result.pruned else ""))
    click.echo(f"head {result.upto}:{result.hash}")
    if anchor is not None:
        whose = ", the snapshot's head," if beside else ""
        click.echo(f"anchor {anchor}{whose} is in the chain")
    if doubt:
        complain(f"no anchor: {doubt}; name one with --anchor")
    return _tell(verdicts, journal)


def _tell(verdicts: list[Verdict], journal: Path) -> int:
    for verdict in verdicts:
        match verdict.what:
            case "matches":
                click.echo(f"anchor {verdict.anchor} matches")
            case "cut_off":
                click.echo(f"anchor {verdict.anchor} CUT OFF: rows {verdict.since} on are missing")
            case "rewritten":
                click.echo(
                    f"anchor {verdict.anchor} REWRITTEN: another row is there; "
                    f"what follows row {verdict.since - 1} may be of another history"
                )
    wrong = sum(verdict.what != "matches" for verdict in verdicts)
    if wrong:
        said = f"{wrong} of {len(verdicts)} anchors are not in the chain"
        raise Failed(f"{journal}: {said}; keep the file as it is, compare with a backup", Exit.NO)
    return Exit.YES


def _verify_export(file: Path, anchors: set[Head], whole: bool) -> int:
    from rollbackd.journal import anchors as kept
    from rollbackd.journal import export as exports

    try:
        with file.open("rb") as lines:
            found = exports.verify(lines, [anchor.seq for anchor in anchors])
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}; name an export", Exit.CANNOT_TELL) from error
    if found.why:
        raise Failed(f"{file}:{found.bad}: {found.why}; compare with the journal", Exit.NO)
    if not found.rows:
        raise Failed(f"{file}: there are no rows in it; name an export", Exit.CANNOT_TELL)
    pruned = f" ({found.pruned} pruned)" if found.pruned else ""
    click.echo(f"rows {found.rows}{pruned}, from {found.first} to {found.last}")
    click.echo(f"head {found.last}:{found.hash}")
    if found.gaps:
        shown = ", ".join(f"{after + 1} to {before - 1}" for after, before in found.gaps[:MOST_GAPS])
        more = f" and {len(found.gaps) - MOST_GAPS} spans more" if len(found.gaps) > MOST_GAPS else ""
        click.echo(f"not in it: rows {shown}{more}")
        if whole:
            raise Failed(f"{file}: rows are missing; export without --life and --kind", Exit.NO)
    # A row that was not exported says nothing about an anchor; one after the end is cut off.
    asked = {each for each in anchors if each.seq in found.held or each.seq > found.last}
    if anchors and not asked:
        raise Failed(f"{file}: none of the anchors' rows is in it; export more", Exit.CANNOT_TELL)
    return _tell(kept.judge(asked, found.held.get, found.last), file)


@audit.command()
@options.config
@_state_dir
@click.option("--since", type=Moment(), help="Only what was recorded then or later.")
@click.option("--until", type=Moment(), help="Only what was recorded before.")
@click.option("--life", help="Only the rows of this rollback.")
@click.option("--kind", help="Only rows of this kind, as life_ended.")
@click.option("-o", "--output", type=options.File(exists=False), help="Into this file. [standard output]")
def export(
    config: Path | None,
    state_dir: Path | None,
    since: int | None,
    until: int | None,
    life: str | None,
    kind: str | None,
    output: Path | None,
) -> int:
    """Print the record as JSON lines, which `audit verify --export` verifies without the journal."""
    from rollbackd.journal.export import Selection
    from rollbackd.journal.export import export as lines

    folder = state_dir or where.state_dir(config)
    journal = folder / where.DATABASE
    rows = 0
    with _reading(journal), _into(output) as file:
        for line in lines(journal, _uuid(folder), Selection(since, until, life, kind)):
            file.write(line + b"\n")
            rows += 1
    if output is not None:
        click.echo(f"rows {rows}")
    if not rows:
        complain("no row is of that time, rollback and kind")
    return Exit.YES if rows else Exit.NO


@contextmanager
def _into(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as file:
            yield file
    except OSError as error:
        raise Failed(f"{output}: {error.strerror}; name another file", Exit.NO) from error


@contextmanager
def _reading(journal: Path) -> Iterator[None]:
    """Failed in place of what reading a journal raises."""
    from rollbackd.core.record import JournalBroken
    from rollbackd.journal.statedir import StateDirError

    try:
        yield
    except StateDirError as error:
        raise Failed(f"{error}", Exit.CANNOT_TELL) from error
    except JournalBroken as error:
        raise Failed(f"{error}", Exit.NO) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        remedy = "name the --state-dir, or use sudo"
        raise Failed(f"{journal}: {error.strerror}; {remedy}", Exit.CANNOT_TELL) from error


def _uuid(folder: Path) -> str:
    from rollbackd.journal.statedir import read_uuid

    return read_uuid(folder)


def _fault(result: VerifyResult, beside: Head | None, doubt: str) -> str:
    """What is wrong with a journal, or nothing."""
    if not result.ok:
        whose = " (the anchor is the snapshot's head)" if beside and "of the anchor" in result.why else ""
        return f"row {result.bad}: {result.why}{whose}"
    return "there are no rows, though a snapshot was made of some" if doubt and not result.upto else ""


def _beside(journal: Path) -> tuple[Head | None, str]:
    """The snapshot's head, and why there is none though there is a snapshot."""
    from rollbackd.core.record import JournalBroken
    from rollbackd.journal.audit import snapshot_head

    try:
        return snapshot_head(journal), ""
    except JournalBroken as error:
        return None, str(error)
