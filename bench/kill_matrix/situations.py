"""The nine situations, and one more. Each is written once, against `Peer` and `Cell`, and knows no peer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from judge import STEPS
from peers.base import Peer
from tests.servers import wait_for
from world import ECHO, Cell, Needs, filled

RESTART = 2.0
WATCH = ECHO + 8  # after the last expected step: long enough to act on the echo
DOWN = 60.0
FROZEN = ECHO + 8


@dataclass(frozen=True)
class Situation:
    """`due`: the steps that must end well, whoever runs them."""

    key: str
    title: str
    play: Callable[[Cell, Peer], None]
    due: tuple[str, ...] = STEPS
    needs: Needs = Needs()  # noqa: RUF009 - frozen


def runner_killed(cell: Cell, peer: Peer, mode: str | None = None) -> None:
    cell.step("revert", 6)
    cell.service.fall_ill()
    if cell.began("revert"):
        time.sleep(1.5)
        cell.harm()
        peer.kill_runner(mode)
        time.sleep(RESTART)
        peer.start_runner()
    finish(cell)


def all_killed(cell: Cell, peer: Peer) -> None:
    runner_killed(cell, peer, "mixed")


def slow_step(cell: Cell, peer: Peer) -> None:
    cell.step("revert", 20)
    cell.service.fall_ill()
    finish(cell)


def alerting_killed(cell: Cell, peer: Peer) -> None:
    cell.service.fall_ill()
    if cell.ended("restore"):
        cell.harm()
        peer.kill_alerting()
        time.sleep(RESTART)
        peer.start_alerting()
    finish(cell)


def missed_breach(cell: Cell, peer: Peer) -> None:
    back = time.monotonic() + DOWN
    peer.kill_runner()
    cell.service.fall_ill()
    time.sleep(15)
    cell.service.recover()
    time.sleep(max(0.0, back - time.monotonic()))
    peer.start_runner()
    time.sleep(WATCH + 10)


def failing_step(cell: Cell, peer: Peer) -> None:
    cell.set("fail-revert")
    cell.service.fall_ill()
    if cell.began("revert"):
        cell.harm()
    time.sleep(WATCH + 5)


def hanging_step(cell: Cell, peer: Peer) -> None:
    cell.set("hang-revert")
    cell.service.fall_ill()
    if cell.began("revert"):
        cell.harm()
    time.sleep(cell.needs.step_timeout + WATCH)


def frozen_prometheus(cell: Cell, peer: Peer) -> None:
    server = cell.prometheus
    assert server is not None
    cell.service.fall_ill()
    wait_for(lambda: server.value("sum_over_time(bad[1m])") == 2, what="two breaches of three")
    server.freeze()
    cell.harm()
    time.sleep(1)
    cell.service.recover()
    time.sleep(FROZEN)
    server.thaw()
    time.sleep(WATCH)


def full_disk(cell: Cell, peer: Peer) -> None:
    with filled(cell.state):
        cell.harm()
        cell.service.fall_ill()
        time.sleep(25)
    finish(cell)


def two_runners(cell: Cell, peer: Peer) -> None:
    second = peer.second()
    process = second.process = second.spawn()
    refused = cell.until(lambda: process.poll() is not None, 15)
    cell.notes.append("the second ends at once" if refused else "both run")
    cell.service.fall_ill()
    finish(cell)
    second.stop()


def finish(cell: Cell) -> None:
    """Let the rollback come to its end, and watch whether another begins on the metric's echo."""
    cell.until(lambda: all(cell.marked(step) for step in cell.due), 45)
    time.sleep(WATCH)
    cell.until(lambda: all(run.ended for run in cell.runs()), 30)


SITUATIONS = {
    situation.key: situation
    for situation in (
        Situation("a", "runner killed in mid-step, back after 2 s", runner_killed),
        Situation("b", "step longer than the re-notification interval", slow_step, needs=Needs(renotify=5)),
        Situation("c", "alerting killed after a successful rollback", alerting_killed),
        Situation("d", "runner down for a minute, breach comes and goes", missed_breach, due=()),
        Situation("e", "step exits 1", failing_step, due=STEPS[:1]),
        Situation(
            "f",
            "step hangs, grandchild in its own session",
            hanging_step,
            due=STEPS[:1],
            needs=Needs(step_timeout=6),
        ),
        Situation("g", "Prometheus frozen in mid-streak, breach over meanwhile", frozen_prometheus, due=()),
        Situation("h", "disk full for 25 s", full_disk, needs=Needs(disk=True)),
        Situation("i", "two runners started", two_runners),
        Situation("j", "as (a), the step and all other processes killed too", all_killed, due=STEPS[:1]),
    )
}
