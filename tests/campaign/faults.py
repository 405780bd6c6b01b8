"""What befalls a lane, and when: drawn from its seed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Literal, get_args

from tests.campaign.lane import Lane
from tests.campaign.played import MOODS
from tests.disks import fill

TICK = 0.02
AIMED = 0.005
"""s between two looks at a lane; while waiting for the next append, or a victim."""

LURK = 3.0
"""s to wait for a victim before the daemon is taken for it."""

Victim = Literal["daemon", "child", "wrapper"]


class Kills:
    """SIGKILL of the daemon, one of its children or a wrapper: most while a rollback runs, some just after an
    append, a few during the start."""

    def __init__(self, lane: Lane, pace: float, when: tuple[int, int, int] = (1, 2, 7)) -> None:
        """`pace`: s on average from the moment that can be aimed at. `when`: how often during a start, once
        it is up, while a rollback runs."""
        self.lane, self._pace, self._weights = lane, pace, when
        self._aim()

    def _aim(self) -> None:
        lane = self.lane
        self._when = lane.chance.choices(("starting", "up", "rolling"), self._weights)[0]
        self._victim: Victim = lane.chance.choices(get_args(Victim), (4, 1, 2))[0]
        self._pause = lane.chance.uniform(0, 2 * self._pace)
        self._aimed = lane.chance.random() < 0.4
        self._at: float | None = None
        self._seen = 0

    def _written(self) -> int:
        try:
            return os.stat(f"{self.lane.state_dir / 'journal.db'}-wal").st_mtime_ns
        except FileNotFoundError:
            return 0

    def tick(self) -> float:
        """Kill, if it is time; returns the pause until the next look, s."""
        now, lane = time.monotonic(), self.lane
        if self._at is None:
            rolling = lane.up and lane.rolling
            if {"starting": lane.daemon is not None, "up": lane.up, "rolling": rolling}[self._when]:
                self._at = now + self._pause
            return TICK
        if now < self._at:
            self._seen = self._written()
            return TICK
        if self._aimed and self._written() == self._seen and now < self._at + self._pace:
            return AIMED
        if self._aimed:
            time.sleep(lane.chance.uniform(0, 0.02))
        if self._kill(self._victim) or (now > self._at + LURK and self._kill("daemon")):
            self._aim()
        return AIMED

    def _kill(self, victim: Victim) -> bool:
        """False: there is none at the moment."""
        lane = self.lane
        killed = {"child": lane.kill_child, "wrapper": lane.kill_wrapper, "daemon": lane.kill_daemon}[
            victim
        ]()
        lane.counts["kills"] += killed
        lane.counts[f"kills ({victim})"] += killed
        return killed


class Hardship:
    """Faults of all kinds, each for a while, several at once; `relief` ends them."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._kills = Kills(lane, pace=4.0, when=(1, 4, 2))
        self._ballast = lane.state_dir / "ballast"
        self._ends: dict[str, float] = {}
        self._next = 0.0
        self._faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "full disks": (self._fill, self._free),
            "Prometheus": (self._upset, self._soothe),
            "receiver": (self._deafen, self._hear),
            "files": (self._storm, self._mend),
        }

    def tick(self) -> float:
        now, lane = time.monotonic(), self.lane
        for name, end in list(self._ends.items()):
            if now >= end:
                self._end(name)
        if now >= self._next:
            self._next = now + lane.chance.uniform(0.2, 5.0)
            name = lane.chance.choice(list(self._faults))
            self._faults[name][0]()
            self._ends[name] = now + lane.chance.triangular(0.2, 8.0, 1.0)
            lane.counts[f"faults of {name}"] += 1
        return self._kills.tick()

    def relief(self) -> None:
        for name in self._faults:
            self._end(name)
        self.lane.calm_since = time.monotonic()

    def _end(self, name: str) -> None:
        self._ends.pop(name, None)
        self._faults[name][1]()

    def _fill(self) -> None:
        """To the last byte, or all but a little."""
        fill(self.lane.state_dir, self.lane.chance.choice((0, 0, 4096, 65536, 1 << 20)))

    def _free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def _upset(self) -> None:
        self.lane.prometheus.mood = self.lane.chance.choice(MOODS)

    def _soothe(self) -> None:
        self.lane.prometheus.mood = "answers"

    def _deafen(self) -> None:
        self.lane.hook.status = self.lane.chance.choice((400, 429, 503))

    def _hear(self) -> None:
        self.lane.hook.status = 200

    def _storm(self) -> None:
        """SIGHUP, again and again, while the files change under it; the last ones may be broken."""
        for _ in range(self.lane.chance.randrange(1, 12)):
            self.lane.write(broken=self.lane.chance.random() < 0.5)
            self.lane.hang_up()

    def _mend(self) -> None:
        self.lane.write()
        self.lane.hang_up()
