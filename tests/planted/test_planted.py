"""The bugs can still be planted, and those that are found soonest are found."""

from __future__ import annotations

import pytest
from tests.planted.__main__ import hunted
from tests.planted.bugs import Bug, every_bug

BUGS = every_bug()
SOON = (
    *("forgets-to-disarm", "progress-stops-after-one-round", "cooldown-from-the-breach"),
    *("effects-before-the-append", "bodies-are-not-looked-at", "resolution-not-sent"),
)
SEEDS = 40


def test_there_are_many_and_no_two_have_one_name() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 60


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_its_snippet_stands_there_once_and_what_it_becomes_compiles(bug: Bug) -> None:
    source = bug.path().read_text(encoding="utf-8")
    planted = bug.planted(source)
    assert planted != source
    compile(planted, bug.name, "exec", dont_inherit=True)


@pytest.mark.parametrize("name", SOON)
def test_it_is_found(name: str) -> None:
    """`make planted` hunts all of them."""
    bug = next(bug for bug in BUGS if bug.name == name)
    assert hunted(bug, SEEDS, seconds=60).rule
