"""What stories tell, to the letter: events, pages and replies, beside the kept ones in told/.

Where a change is meant: `ROLLBACKD_GOLDEN=write pytest tests/stories/test_told.py`, and read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.fakes.made import START
from tests.fakes.story import Story
from tests.stories.told import states, stories, verbs

from rollbackd.core import events as e
from rollbackd.core.effects import Effect
from rollbackd.core.engine import Reply
from rollbackd.core.state import MatterKind

KEPT = Path(__file__).parent / "told"
STORIES = stories()
STATES = states()
GIVEN = {"config", "plan", "triggers", "ladder"}
"""What stands in the story itself, as structs: copies of the configuration."""


@pytest.mark.parametrize("name", STORIES)
def test_a_story_tells_what_it_told(name: str) -> None:
    _compare(name, _lines(STORIES[name]()))


@pytest.mark.parametrize("state", STATES)
def test_each_verb_in_each_state(state: str) -> None:
    """E3, D7, X8: what it answers, and what becomes true."""
    _compare(f"verbs/{state}", _answers(STATES[state]))


def _compare(name: str, lines: Iterator[str]) -> None:
    told = "".join(f"{line}\n" for line in lines)
    kept = KEPT / f"{name}.txt"
    if os.environ.get("ROLLBACKD_GOLDEN") == "write":
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(told)
    assert told == kept.read_text()


def _answers(make: Callable[[], Story]) -> Iterator[str]:
    for words, verb in verbs().items():
        one = make()
        before = len(one.events)
        yield f"{words} → {_reply(one.say(verb))}"
        yield from (f"    {event.kind()} {_fields(event)}" for event in one.events[before:])


def test_no_kept_telling_is_left_over() -> None:
    assert {path.stem for path in KEPT.glob("*.txt")} == set(STORIES)
    assert {path.stem for path in KEPT.glob("verbs/*.txt")} == set(STATES)


def test_every_kind_of_matter_is_told() -> None:
    told = "".join(path.read_text() for path in KEPT.glob("*.txt"))
    assert [kind for kind in get_args(MatterKind) if f'"matter_kind":"{kind}"' not in told] == []


def _lines(one: Story) -> Iterator[str]:
    for event in one.events:
        yield f"{_moment(event.at)} {event.kind()} {_fields(event)}"
    yield ""
    effects: list[tuple[int, Effect]] = [*one.world.orders, *one.world.questions]
    for at, effect in sorted(effects, key=lambda each: each[0]):
        yield f"{_moment(at)} {effect.key} {_json(effect)}"
    yield ""
    for at, page in one.world.pages:
        yield f"{_moment(at)} {page.receiver} {_json(page)}"
    yield ""
    for reply in one.replies:
        yield _reply(reply)
    yield ""
    state = msgspec.to_builtins(one.state)
    for name, value in _without(state).items():
        yield f"{name}: {msgspec.json.encode(value).decode()}"


def _reply(reply: Reply) -> str:
    return f"{'yes' if reply.accepted else 'conflict' if reply.conflict else 'no'}: {reply.text}"


def _moment(at: int) -> str:
    return f"{(at - START) / 1000:+.3f}"


def _fields(event: e.Event) -> str:
    return _json({k: v for k, v in msgspec.to_builtins(event).items() if k not in ("at", "kind")})


def _without(value: Any) -> Any:
    """The value less what is given (mappings and lists of the names in `GIVEN`) and less what is nothing,
    at any depth: a new field with a default changes no telling."""
    if isinstance(value, dict):
        given = {name for name in GIVEN & value.keys() if isinstance(value[name], dict | list)}
        kept = {name: _without(inner) for name, inner in value.items() if name not in given}
        return {name: inner for name, inner in kept.items() if inner}
    return [_without(each) for each in value] if isinstance(value, list | tuple) else value


def _json(value: Any) -> str:
    return msgspec.json.encode(_without(msgspec.to_builtins(value))).decode()
