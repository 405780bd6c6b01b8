"""One turn of the engine: the signal's time and speaker, and the events it brings about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core.fold import Own, apply
from rollbackd.core.state import AUTOMATIC

if TYPE_CHECKING:
    from rollbackd.core.effects import Ask, AskScrapes
    from rollbackd.core.events import Event
    from rollbackd.core.model import Config, Ms
    from rollbackd.core.soft import Soft
    from rollbackd.core.state import Life, State


class Refused(Exception):
    """What a person asked for cannot be done; `conflict`: something moved on, or it is too late."""

    def __init__(self, reason: str, *, conflict: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.conflict = conflict


class Turn:
    """Works on a copy: until the batch is durable, the engine's own state is the old one."""

    def __init__(self, state: State, soft: Soft, now: Ms) -> None:
        self.state = state
        self.soft = soft
        self.now = now
        self.events: list[Event] = []
        self.asks: list[Ask | AskScrapes] = []
        self.decided = 0  # plans
        self.actor = AUTOMATIC
        self.capture: str | None = None  # which a person's word began
        self.channel = ""
        self._own = Own()

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.state = apply(self.state, event, self._own)
        self.soft.follow(event, self.state)

    @property
    def config(self) -> Config:
        if self.state.config is None:
            raise RuntimeError("no configuration has been loaded")
        return self.state.config

    @property
    def prom(self) -> Ms:
        """Prometheus' clock, as last read (T2)."""
        return self.now + self.soft.skew

    def life(self, life: str) -> Life | None:
        return self.state.lives.get(life)
