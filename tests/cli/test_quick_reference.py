"""The page that is printed: its commands are those that there are, and it fits."""

from __future__ import annotations

import shlex

import click
import pytest

from rollbackd.authoring.quick import COMMANDS, quick_reference
from rollbackd.cli.program import SECTIONS, program
from rollbackd.config.instance import default_ladder
from rollbackd.core.evidence import KINDS
from rollbackd.core.levels import WANTED
from rollbackd.core.notation import span

SAID = [command for commands in COMMANDS.values() for command, _ in commands]


def parsed(args: list[str]) -> click.Command:
    """The command that takes these arguments. UsageError: none does."""
    command: click.Command = program
    context = click.Context(program)
    while isinstance(command, click.Group):
        _, found, args = command.resolve_command(context, args)
        assert found is not None
        command = found
    command.make_context(command.name, args)
    return command


@pytest.mark.parametrize("said", SAID)
def test_every_command_is_one_that_there_is(said: str) -> None:
    first, *args = shlex.split(said)
    assert first == "rollbackd"
    assert parsed(args).callback is not None


@pytest.mark.parametrize(
    "said", ["rollbackd starts PLAN", "rollbackd start PLAN --scop x", "rollbackd start"]
)
def test_a_command_that_there_is_not_would_be_seen(said: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(shlex.split(said)[1:])


def test_every_verb_for_a_rollback_is_on_it() -> None:
    verbs = {command.name for command in SECTIONS["Acting on a rollback"]}
    assert verbs <= {said.split()[1] for said in SAID}


def test_it_is_one_page_with_every_requirement_and_every_kind_of_evidence() -> None:
    text = quick_reference()
    assert len(text.splitlines()) < 90
    assert all(f"`{name}`" in text for name in (*WANTED, *KINDS))
    assert text.count("| level 2 | level 3 | level 4 |") == 2
    for rung in default_ladder(("oncall",)):
        assert f"\n| {span(rung.after)} | " in text
