"""Asking checks: a command, an HTTP GET, a query; each answers pass, fail or cannot tell.

| | pass | fail | cannot tell |
|---|---|---|---|
| command | exit 0, the wanted output | any other (its status is given) | timed out, could not be started |
| HTTP | the wanted status and fields | any other; no answer in time | not HTTP, not JSON, too large |
| query | one number within the limit | one number beyond it | no number, several, Prometheus silent |
| measure | one number | – | no number, several, Prometheus silent |

A service that cannot be reached by a health check is not well: that is a fail. What answers nonsense
says nothing about the service.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec.structs import replace

from rollbackd.core.effects import RunCheck
from rollbackd.core.model import Baseline, Check, Command, HttpGet, Measure, Ms, Query
from rollbackd.core.signals import CheckAnswered
from rollbackd.settings import HttpSettings
from rollbackd.world.client import Answer, Client, Closed, Malformed, TooLarge, Unanswered, one_line, place
from rollbackd.world.prometheus import NoValue

if TYPE_CHECKING:
    from rollbackd.world.runner.commands import CommandResult

AGAIN: Final[Ms] = 1_000
"""How often a check with `until` is asked."""

_NAP: Final[Ms] = 5_000  # the loop's clock stands still while the machine is suspended; steady UTC does not
_BODY: Final = 1024 * 1024
_MISSING: Final = object()


class RunCommand(Protocol):
    """Runs a command that only looks. Never raises for what the command does."""

    async def __call__(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult:
        """`capture`: the result's output is standard output alone."""


class Checks:
    """Answers `RunCheck`. `query` is `Source.check_query`, `now` steady UTC."""

    def __init__(
        self, run_command: RunCommand, query: Callable[..., Awaitable[float]], now: Callable[[], Ms]
    ) -> None:
        self._run_command = run_command
        self._query = query
        self._now = now
        self._client = Client(HttpSettings())

    async def answer(self, effect: RunCheck) -> CheckAnswered:
        """Ask once `not_before` has come; with `until`, again each second until it passes or that moment
        has come. Never raises."""
        await self._wait(effect.not_before)
        while True:
            next_time = self._now() + AGAIN
            answered = await self._ask(effect)
            if effect.until is None or answered.answer == "pass" or next_time > effect.until:
                return answered
            await self._wait(next_time)

    async def close(self) -> None:
        await self._client.close()

    async def _wait(self, moment: Ms) -> None:
        while True:
            rest = moment - self._now()
            if rest <= 0:
                return
            await asyncio.sleep(min(rest, _NAP) / 1000)

    async def _ask(self, effect: RunCheck) -> CheckAnswered:
        match effect.check:
            case Check(unknown=why) if why:
                return CheckAnswered(effect.key, "cannot_tell", detail=one_line(why))
            case Check(run=Command() as command):
                result = await self._run_command(command, effect.plan_hash, effect.env, capture=True)
                return _printed(effect.check, _commanded(effect.key, command, result))
            case Check(http=HttpGet() as get):
                return await self._get(effect.key, get)
            case Check(query=Query() as query):
                return await self._ask_prometheus(effect.key, query, effect.check.baseline)
            case Check(measure=Measure() as measure):
                return await self._measure(effect.key, measure)
        return CheckAnswered(effect.key, "cannot_tell", detail="the check asks nothing")

    async def _get(self, key: str, get: HttpGet) -> CheckAnswered:
        where = place(get.url)
        try:
            answer = await self._client.send("GET", get.url, budget=get.timeout, cap=_BODY, safe=True)
        except (Closed, Malformed, TooLarge) as error:
            return CheckAnswered(key, "cannot_tell", detail=f"{where}: {error}")
        except Unanswered as error:
            return CheckAnswered(key, "fail", detail=f"{where}: {error}")
        if answer.status != get.status:
            return CheckAnswered(key, "fail", detail=f"{where}: status {answer.status}, wanted {get.status}")
        if not get.json:
            return CheckAnswered(key, "pass", detail=f"{where}: status {answer.status}")
        return _fields(key, where, get, answer)

    async def _ask_prometheus(self, key: str, query: Query, baseline: Baseline | None) -> CheckAnswered:
        try:
            value = await self._query(query.expr)
        except NoValue as error:
            return CheckAnswered(key, "cannot_tell", detail=one_line(str(error)))
        holds = query.passes.holds(value)
        detail = f"{value:g}, wanted {query.passes}" + (f" ({baseline})" if baseline is not None else "")
        return CheckAnswered(key, "pass" if holds else "fail", detail=detail)

    async def _measure(self, key: str, measure: Measure) -> CheckAnswered:
        try:
            value = await self._query(measure.expr, measure.at)
        except NoValue as error:
            return CheckAnswered(key, "cannot_tell", detail=one_line(str(error)))
        return CheckAnswered(key, "pass", output=repr(value))


def _commanded(key: str, command: Command, result: CommandResult) -> CheckAnswered:
    name = one_line(command.argv[0], 80)
    if result.outcome == "timed_out":
        detail = f"{name}: timed out after {command.timeout / 1000:g} s"
        return CheckAnswered(key, "cannot_tell", detail=detail, output=result.output)
    if result.outcome == "unstarted" or result.status is None:
        return CheckAnswered(key, "cannot_tell", detail=one_line(f"{name}: {result.detail}"))
    said = result.errors or result.output
    last = one_line(said.splitlines()[-1], 200) if said and result.status else ""
    detail = f"{name}: exit {result.status}" + (f": {last}" if last else "")
    return CheckAnswered(
        key, "fail" if result.status else "pass", status=result.status, detail=detail, output=result.output
    )


def _printed(check: Check, answered: CheckAnswered) -> CheckAnswered:
    """Exit 0 with another output than it must have is a failure."""
    if check.prints is None or answered.answer != "pass" or answered.output == check.prints.strip():
        return answered
    seen, wanted = one_line(answered.output, 120), one_line(check.prints.strip(), 120)
    return replace(answered, answer="fail", detail=f'printed "{seen}", wanted "{wanted}"')


def _fields(key: str, where: str, get: HttpGet, answer: Answer) -> CheckAnswered:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return CheckAnswered(key, "cannot_tell", detail=f"{where}: the answer is not JSON")
    for path, wanted in get.json.items():
        found = _at(document, path)
        if not _equal(found, wanted):
            seen = "missing" if found is _MISSING else one_line(json.dumps(found), 120)
            detail = f"{where}: {one_line(path, 80)} is {seen}, wanted {one_line(json.dumps(wanted), 120)}"
            return CheckAnswered(key, "fail", detail=detail)
    return CheckAnswered(key, "pass", detail=f"{where}: status {answer.status}, the fields are as wanted")


def _at(document: Any, path: str) -> Any:
    """What is at a dotted path; numbers count into lists from 0."""
    for part in path.split("."):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return _MISSING
    return document


def _equal(found: Any, wanted: str | int | float | bool | None) -> bool:
    """Equal as JSON has it: 1 is 1.0, but neither is true or "1"."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted)
