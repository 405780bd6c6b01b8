"""Runs the unit tests of triggers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options, output
from rollbackd.cli.errors import Exit, Failed, logs_as_complaints
from rollbackd.cli.output import annotation
from rollbackd.cli.text import count, visible

if TYPE_CHECKING:
    from rollbackd.config.suites import Case, Instance, Suite
    from rollbackd.tuning.cases import Covered, Result
    from rollbackd.tuning.junit import Ran


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--config", type=options.File(), help="A rollbackd.yml: its `actions` and `max_action` hold.")
@click.option("-k", "pattern", default="", help="Only tests with this in their name.")
@click.option("--junit", type=options.Out(), help="Write results there, as JUnit's XML.")
@click.option(
    "--allow-skips", is_flag=True, help="Do not exit 4 where tests need a Prometheus and have none."
)
@options.annotated
def test(
    files: Sequence[Path], config: Path | None, pattern: str, junit: Path | None, allow_skips: bool, form: str
) -> int:
    """Unit tests of triggers: FILE is a *.test.yml, or a folder of them."""
    from rollbackd.tuning.cases import covered

    instance = _instance(config)
    suites = _suites(files, instance)
    ran = _run(suites, pattern, instance)
    triggers = {name: trigger for suite in suites if suite.sound for name, trigger in suite.triggers.items()}
    results = [result for each in ran for result in each.results]
    coverage = [] if pattern else covered(triggers, results)
    if form == "json":
        output.print_json(_document(ran, coverage))
    else:
        _print(ran, coverage, annotated=form == "github")
    if junit is not None:
        _write(junit, ran)
    if any(each.problems for each in ran) or any(result.mismatches for result in results):
        return Exit.NO
    return Exit.CANNOT_TELL if any(result.skipped for result in results) and not allow_skips else Exit.YES


def _instance(config: Path | None) -> Instance:
    from rollbackd.config import ConfigErrors
    from rollbackd.config.suites import read_instance

    try:
        return read_instance(config)
    except ConfigErrors as errors:
        raise Failed(f"{errors.problems[0]} (`rollbackd check {config}` shows all)", Exit.NO) from None


def _suites(files: Sequence[Path], instance: Instance) -> list[Suite]:
    from rollbackd.config.suites import files_of_tests, read_suite

    named: dict[str, Path] = {}
    for file in files:
        found = files_of_tests(file)
        if not found:
            raise Failed(f"{file} holds no *.test.yml; name files of tests, or their folder", Exit.NO)
        for each in found:
            named.setdefault(os.path.abspath(each), each)
    return [read_suite(file, str(file), instance) for file in named.values()]


def _run(suites: Sequence[Suite], pattern: str, instance: Instance) -> list[Ran]:
    """What each file came to; one with errors is not run."""
    from rollbackd.config.problem import errors
    from rollbackd.tuning.cases import run
    from rollbackd.tuning.junit import Ran

    def wanted(case: Case) -> bool:
        return pattern.lower() in case.name.lower()

    sound = [[case for case in suite.cases if wanted(case)] if suite.sound else [] for suite in suites]
    with logs_as_complaints():
        results = iter(run([case for cases in sound for case in cases], instance))
    ran = [
        Ran(suite.document.shown, errors(suite.problems()), [next(results) for _ in cases])
        for suite, cases in zip(suites, sound, strict=True)
    ]
    if pattern and not any(each.problems or each.results for each in ran):
        raise Failed(f"no test has `{pattern}` in its name; leave out -k to see them all", Exit.NO)
    return ran


# Telling


def _print(ran: Sequence[Ran], coverage: Sequence[Covered], *, annotated: bool) -> None:
    told = set()
    for each in ran:
        for problem in each.problems:
            if problem not in told:  # what is wrong with triggers is so for all who test them
                click.echo(annotation(problem) if annotated else visible(problem))
            told.add(problem)
        for result in each.results:
            for line in _annotations(result) if annotated else _lines(result):
                click.echo(line)
    if coverage:
        click.echo()
        _print_coverage(coverage)
        click.echo()
    click.echo(_summary(ran))


def _lines(result: Result) -> list[str]:
    """`ok`, `skip`, or a line for each thing that is not as expected."""
    name = visible(result.case.name)
    if result.passed:
        return [f"ok    {name}"]
    where = f"{visible(result.case.file)}:{result.case.line()}"
    if result.skipped:
        return [f"skip  {where}: {name}: {visible(result.skipped)}"]
    return [f"FAIL  {visible(result.case.file)}:{line}: {name}: {what}" for line, what in _failures(result)]


def _failures(result: Result) -> list[tuple[int, str]]:
    why = f"; unusable: {result.unusable}" if result.unusable else ""
    return [(each.line, visible(f"{each.key}: {each.what}{why}")) for each in result.mismatches]


def _annotations(result: Result) -> list[str]:
    from rollbackd.config import Problem

    case = result.case
    if result.skipped:
        return [annotation(Problem(case.file, case.line(), 1, case.name, result.skipped, "", "warning"))]
    return [annotation(Problem(case.file, line, 1, case.name, what, "")) for line, what in _failures(result)]


def _print_coverage(coverage: Sequence[Covered]) -> None:
    from rollbackd.tuning.cases import ASPECTS

    table = output.table("coverage", "trigger", "tests", *ASPECTS)
    for each in coverage:
        cells = [
            "yes" if aspect in each.seen else "NO TEST" if aspect in each.wanted else "–"
            for aspect in ASPECTS
        ]
        output.row(table, [visible(each.trigger), str(each.tests), *cells])
    output.show(table)


def _summary(ran: Sequence[Ran]) -> str:
    results = [result for each in ran for result in each.results]
    failed = sum(bool(result.mismatches) for result in results)
    skipped = sum(bool(result.skipped) for result in results)
    parts = [f"{len(results) - failed - skipped} passed"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{skipped} skipped"] if skipped else []
    problems = {problem for each in ran for problem in each.problems}
    if problems:
        files = count(sum(bool(each.problems) for each in ran), "file")
        parts += [count(len(problems), "error"), f"{files} not run"]
    return f"{count(len(results), 'test')}: {', '.join(parts)}"


def _document(ran: Sequence[Ran], coverage: Sequence[Covered]) -> dict[str, object]:
    return {
        "problems": [str(problem) for each in ran for problem in each.problems],
        "tests": [_told(result) for each in ran for result in each.results],
        "coverage": [
            {"trigger": each.trigger, "tests": each.tests, "seen": sorted(each.seen), "gaps": each.gaps}
            for each in coverage
        ],
    }


def _told(result: Result) -> dict[str, object]:
    return {
        "file": result.case.file,
        "line": result.case.line(),
        "name": result.case.name,
        "trigger": result.case.model.trigger,
        "result": "passed" if result.passed else "skipped" if result.skipped else "failed",
        "reason": result.skipped,
        "mismatches": [{"key": each.key, "line": each.line, "what": each.what} for each in result.mismatches],
        "unusable": result.unusable,
    }


def _write(path: Path, ran: Sequence[Ran]) -> None:
    from rollbackd.outputs import whole
    from rollbackd.tuning.junit import document

    try:
        with whole(path) as file:
            file.write(document(ran))
    except OSError as error:
        raise Failed(f"{path}: cannot be written ({error.strerror}); name another file", Exit.NO) from None
