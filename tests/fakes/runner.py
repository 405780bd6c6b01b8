"""A runner without processes, for stories: it keeps the real one's promises (test_contract.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rollbackd.core.effects import RunStep, StopStep
from rollbackd.core.model import Command
from rollbackd.core.signals import StepBegan, StepExited
from rollbackd.world.runner.commands import CommandResult

Post = Callable[[StepBegan | StepExited], None]


@dataclass
class Machine:
    """What outlives a runner: the executions that were started, and how they ended."""

    started: list[RunStep] = field(default_factory=list)
    exits: dict[tuple[str, int], StepExited] = field(default_factory=dict)

    def knows(self, life: str, execution: int) -> bool:
        return any((step.life, step.execution) == (life, execution) for step in self.started)


class FakeRunner:
    """Steps begin at once and end when told: by `exit`, or at once where `outcomes` has their name.

    `outcomes` maps a step's name to the fields of its `StepExited` other than whose it is;
    `answers` maps a command's argv to its result (default: exit 0). A second runner on the same
    `Machine` is the daemon after a restart.
    """

    def __init__(self, post: Post, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.answers: dict[tuple[str, ...], CommandResult] = {}
        self.asked: list[Command] = []
        self._post = post

    @property
    def started(self) -> list[RunStep]:
        return self.machine.started

    def start(self, effect: RunStep) -> None:
        life, execution = effect.life, effect.execution
        if over := self.machine.exits.get((life, execution)):
            self._post(over)
            return
        if not self.machine.knows(life, execution):
            self.machine.started.append(effect)
        self._post(StepBegan(life, execution))
        if effect.step in self.outcomes:
            self.exit(life, execution, **self.outcomes[effect.step])

    def stop_step(self, effect: StopStep) -> None:
        if over := self.machine.exits.get((effect.life, effect.execution)):
            self._post(over)
        else:
            self.exit(effect.life, effect.execution, outcome="stopped")

    def exit(self, life: str, execution: int, **fields: Any) -> None:
        """The step is over: by default exited with 0."""
        fields.setdefault("outcome", "exited")
        fields.setdefault("status", 0 if fields["outcome"] == "exited" else None)
        over = self.machine.exits[life, execution] = StepExited(life, execution, **fields)
        self._post(over)

    async def run_command(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult:
        self.asked.append(command)
        return self.answers.get(command.argv, CommandResult("exited", 0))
