"""Checks configuration, and has the daemon read it again."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options, where
from rollbackd.cli.errors import Exit, complain, logs_as_complaints
from rollbackd.cli.output import annotation, named
from rollbackd.cli.text import count, visible

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon
    from rollbackd.config import Checked, Problem, lints
    from rollbackd.config.bundle import Bundle
    from rollbackd.config.loading import Ask
    from rollbackd.config.promises import Promise


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Exit 3 where there are warnings.")
@options.annotated
@click.option("--plans", is_flag=True, help="Say how long each plan takes, and what is to be shown of it.")
@click.option("--online", is_flag=True, help="Ask Prometheus what it says of the triggers now.")
@click.option(
    "--prometheus", type=options.Server(), help="Ask that one, without credentials; implies --online."
)
@click.option("--explain", metavar="ID", help="Say what a lint means, and do nothing else; `list`: all IDs.")
def check(
    paths: Sequence[Path],
    strict: bool,
    form: str,
    plans: bool,
    online: bool,
    prometheus: str | None,
    explain: str | None,
) -> int:
    """Every error and every doubt of every file, as FILE:LINE:COL: KEY: what; what to do."""
    if explain is not None:
        click.echo(_explained(explain))
        return Exit.YES
    from rollbackd.config import examine

    named = paths or [_default()]
    untold: list[str] = []
    ask = _asker(prometheus, untold) if online or prometheus is not None else None
    checked = examine(named, datetime.now(UTC).date(), ask)
    problems = [*checked.problems, *_nothing_watched(checked, str(named[0]))]
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    if form == "json":
        found = {"errors": errors, "warnings": warnings, "problems": [_document(each) for each in problems]}
        found["disabled"] = [_disabled(each) for each in checked.disabled]
        found["untold"] = untold
        found["plans"] = [_promise(each) for each in checked.promises]
        click.echo(json.dumps(found, indent=2))
    else:
        for problem in problems:
            click.echo(annotation(problem) if form == "github" else _text(problem))
        for promise in checked.promises if plans and form == "text" else ():
            click.echo(visible(_promised(promise)))
        click.echo(summary(errors, warnings, len({problem.file for problem in problems}), checked))
    for why in untold:
        complain(f"cannot tell: {why}")
    if errors or untold:
        return Exit.NO if errors else Exit.CANNOT_TELL
    return Exit.WARNINGS if warnings and strict else Exit.YES


def _asker(url: str | None, untold: list[str]) -> Ask:
    """Asks the Prometheus of each configuration, or that of the URL; what it cannot tell is added."""
    from rollbackd.config.instance import prometheus
    from rollbackd.settings import PrometheusSettings
    from rollbackd.tuning.online import examine

    def ask(bundle: Bundle) -> list[Problem]:
        if not bundle.triggers:
            return []
        if url is not None:
            settings = PrometheusSettings((url,))
        elif bundle.instance is not None and bundle.settings is not None:
            settings = prometheus(bundle.settings, bundle.instance.path.absolute().parent)
        else:
            untold.append("there is no rollbackd.yml to say which Prometheus; name it with --prometheus URL")
            return []
        with logs_as_complaints():
            looked = examine(bundle.triggers, settings)
        untold.extend(looked.untold)
        return looked.problems

    return ask


def _explained(name: str) -> str:
    from rollbackd.config import lints
    from rollbackd.config.validate import nearest

    if name == "list":
        width = max(map(len, lints.LINTS))
        return "\n".join(f"{lint.id:{width}}  {lint.means}" for lint in lints.LINTS.values())
    lint = lints.named(name)
    if lint is None:
        close = nearest(name, lints.LINTS)
        remedy = f"did you mean {close}?" if close else "`--explain list` names them"
        raise click.BadParameter(f"there is no lint {visible(name)}; {remedy}", param_hint="--explain")
    return lints.explanation(lint)


def _default() -> Path:
    for candidate in (Path("rollbackd.yml"), where.CONFIG):
        if candidate.exists():
            return candidate
    raise click.UsageError(f"there is no rollbackd.yml here and no {where.CONFIG}; name a PATH")


def _nothing_watched(checked: Checked, path: str) -> list[Problem]:
    """A daemon without triggers looks well and guards nothing."""
    from rollbackd.config import Problem

    if checked.triggers or not checked.whole or any(each.severity == "error" for each in checked.problems):
        return []
    what, remedy = (
        "NO TRIGGER was read: nothing is watched",
        "name the files of triggers, or correct the PATH",
    )
    return [Problem(path, 1, 1, "triggers", what, remedy, "warning")]


def summary(errors: int, warnings: int, files: int, checked: Checked) -> str:
    """`files`: those with problems. What was read is said where all of it could be."""
    read = f"{count(checked.triggers, 'trigger')} and {count(checked.plans, 'plan')} in "
    read += count(checked.files, "file")
    if not files:
        return f"no errors, no warnings: {read}"
    found = f"{count(errors, 'error')}, {count(warnings, 'warning')} in {count(files, 'file')}"
    return found if errors else f"{found}; read: {read}"


def _text(problem: Problem) -> str:
    warning = " (warning)" if problem.severity == "warning" else ""
    return visible(f"{problem}{warning}{named(problem)}")


def _promised(promise: Promise) -> str:
    plan = promise.plan
    shown = ", ".join(promise.evidence)
    return f"{promise.file}: {plan.name}: level {plan.level}, {promise.totals}; to be shown: {shown}"


def _promise(promise: Promise) -> dict[str, object]:
    plan, sums = promise.plan, promise.totals
    return {
        "file": promise.file,
        "plan": plan.name,
        "level": plan.level,
        "work_seconds": sums.work / 1000,
        "verification_seconds": sums.verification / 1000,
        "sla_seconds": sums.sla / 1000,
        "buffer_seconds": sums.buffer / 1000,
        "evidence": list(promise.evidence),
        "exceptions": plan.exceptions,
    }


def _document(problem: Problem) -> dict[str, object]:
    names = ("file", "line", "column", "key", "what", "remedy", "severity")
    document = {name: getattr(problem, name) for name in names}
    from rollbackd.config import lints

    lint = lints.named(problem.lint)
    known = {"lint": lint.id, "reason": lint.reason, "docs": f"docs/lints.md#{lint.id}"} if lint else {}
    return document | known


def _disabled(disabled: lints.Disabled) -> dict[str, object]:
    said = {"until": disabled.until.isoformat(), "because": disabled.because}
    return _document(disabled.problem) | said


@click.command()
@options.acts
def reload(daemon: Daemon) -> int:
    """Have the daemon read its files again; prints the configuration's hash."""
    answer = daemon.ask("POST", "-", "reload")
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    data = document.get("data", document) if isinstance(document, dict) else None
    if answer.status == 200 and isinstance(data, dict) and "hash" in data:
        name = visible(data["hash"])
        click.echo(f"configuration {name} is in force" if sys.stdout.isatty() else name)
        return Exit.YES
    refusal = daemon.refusal(answer)
    if answer.status != 400:
        raise refusal
    for line in refusal.message.splitlines():
        complain(line)
    return Exit.NO
