"""What the web needs of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rollbackd.core.engine import Reply
    from rollbackd.core.record import Head, Recorded
    from rollbackd.core.signals import Verb
    from rollbackd.core.soft import Soft
    from rollbackd.core.state import State
    from rollbackd.report.scorecard import Scorecard


class ReloadRefused(Exception):
    """The files cannot be used; nothing changed. `problems` are `file:line:col: …`, all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Daemon(Protocol):
    """Reads the state, submits signals; called on the event loop."""

    @property
    def state(self) -> State: ...

    @property
    def soft(self) -> Soft: ...

    @property
    def instance(self) -> str: ...

    @property
    def halted(self) -> str | None:
        """Why nothing is done: the journal cannot be written (E5)."""
        ...

    @property
    def build(self) -> dict[str, str]: ...

    def config_text(self) -> str:
        """The configuration in force, without secrets (see `redacted`). Any thread may ask."""
        ...

    def ready(self) -> list[str]:
        """Why not, one reason an entry; empty: ready."""
        ...

    async def speak(self, verb: Verb, actor: str, channel: str) -> Reply:
        """A reply whose `request` is 0 was never taken: the journal halts, or too much is waiting."""
        ...

    async def life(self, life: str) -> list[Recorded]:
        """All rows of a life, its matters and its pages, in order; empty for an unknown one."""
        ...

    async def recent(self, kind: str, limit: int, before: int | None = None) -> list[Recorded]:
        """The newest rows of one kind, newest first; with `before`, of those with a lower seq."""
        ...

    async def events(self, after: int, limit: int) -> list[Recorded]:
        """Rows with a higher seq than `after`, in order."""
        ...

    async def scorecard(self, days: int, service: str | None) -> Scorecard:
        """How rollbacks have gone, of today and the days before it; of all services, or of one."""
        ...

    async def head(self) -> Head:
        """Where the journal ends."""
        ...

    async def reload(self, actor: str = "", channel: str = "") -> str:
        """Read the files anew and return the configuration's hash; raises ReloadRefused."""
        ...
