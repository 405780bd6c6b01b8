"""Rule T1: steady UTC over wall-clock jumps, reboots and suspend."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rollbackd.core.record import Stamp
from rollbackd.world.clock import Clock

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
NOON = 1_800_000_000_000


@dataclass
class Machine:
    """The readings of a machine; `suspended` time counts in both, as CLOCK_BOOTTIME has it."""

    wall: int = NOON
    boottime: int = 50 * SECOND
    boot: str = "boot-a"

    def passes(self, ms: int) -> None:
        self.wall += ms
        self.boottime += ms

    def reboots(self, boot: str, down: int) -> None:
        self.wall += down
        self.boottime, self.boot = 5 * SECOND, boot

    def clock(self, last: Stamp | None = None) -> Clock:
        return Clock(last, wall=lambda: self.wall, boottime=lambda: self.boottime, boot_id=lambda: self.boot)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 3 * DAY, -3 * DAY, 30 * 365 * DAY])
def test_a_jump_of_the_wall_clock_moves_nothing(jump: int) -> None:
    """Fault 16."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += jump
    assert clock.now() == NOON
    assert clock.wall() == NOON + jump
    machine.passes(15 * SECOND)
    assert clock.now() == NOON + 15 * SECOND


@pytest.mark.parametrize("jump", [0, HOUR, -HOUR, 3 * DAY, -3 * DAY])
def test_a_restart_on_the_same_boot_goes_on_from_the_last_stamp(jump: int) -> None:
    """Fault 16."""
    machine = Machine()
    last = machine.clock().stamp(1, "here")
    machine.wall += jump
    machine.passes(40 * SECOND)
    assert machine.clock(last).now() == NOON + 40 * SECOND


@pytest.mark.parametrize(
    ("wall_after", "starts_at"),
    [
        (20 * SECOND, NOON + 20 * SECOND),
        (3 * DAY, NOON + 3 * DAY),
        (-HOUR, NOON),
        (-3 * DAY, NOON),
    ],
)
def test_after_a_reboot_it_starts_at_the_later_of_both(wall_after: int, starts_at: int) -> None:
    machine = Machine()
    last = machine.clock().stamp(1, "here")
    machine.reboots("boot-b", wall_after)
    clock = machine.clock(last)
    assert clock.now() == starts_at
    machine.passes(SECOND)
    assert clock.now() == starts_at + SECOND


def test_suspended_time_has_passed() -> None:
    """Fault 18."""
    machine = Machine()
    clock = machine.clock()
    machine.passes(8 * HOUR)
    assert clock.now() == NOON + 8 * HOUR


def test_a_boot_clock_that_ran_backwards_counts_as_a_reboot() -> None:
    machine = Machine()
    last = machine.clock().stamp(1, "here")
    machine.boottime -= 20 * SECOND
    assert machine.clock(last).now() == NOON


def test_a_stamp_carries_both_clocks() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall -= HOUR
    machine.passes(2 * SECOND)
    stamp = clock.stamp(7, "host-1")
    assert stamp == Stamp(NOON + 2 * SECOND, NOON - HOUR + 2 * SECOND, 52 * SECOND, "boot-a", 7, "host-1")
    assert clock.boottime_of(stamp.steady + SECOND) == 53 * SECOND


def test_many_restarts_lose_no_time() -> None:
    machine, last = Machine(), None
    for _ in range(1_000):
        clock = machine.clock(last)
        machine.passes(7)
        last = clock.stamp(1, "here")
    assert last is not None
    assert last.steady == NOON + 7_000


def test_the_real_readings() -> None:
    clock = Clock()
    before = clock.now()
    assert clock.now() >= before
    assert len(clock.boot_id) == 36
    assert abs(clock.now() - clock.wall()) < HOUR
