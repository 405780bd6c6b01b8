"""What an attempt's directory proves, read without disturbing it (rule X3)."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from rollbackd.core.model import Ms
from rollbackd.world.runner import attempt
from rollbackd.world.runner.attempt import Exit
from rollbackd.world.runner.process import boottime
from rollbackd.world.runner.tree import Tree, read_process, step_cgroup

Found: TypeAlias = Exit | Literal["unclaimed", "running", "gone"]
"""The outcome; nobody has started it; it runs, or something of it does; it is in doubt."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,200}")  # STEP@REGION, of a hundred letters each


def valid_name(name: str) -> str:
    """The name, if it can be a file's and nothing else. ValueError otherwise."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name: letters, digits, '_', '.', '@', '-', at most 201")
    return name


def look(directory: Path, boot: str) -> Found:
    """In X3's order. FileNotFoundError where there is no such attempt. Reads files: off the loop."""
    folder = attempt.open_folder(os.fspath(directory))
    try:
        exit = attempt.read_exit(folder)
        if exit is not None:
            return exit
        claim = attempt.read_claim(folder)
        if claim is None:
            return "unclaimed"
        another_boot = bool(claim.boot) and claim.boot != boot
        if not another_boot and (attempt.locked(folder) or left_behind(folder).members()):
            return "running"
        # The wrapper may have recorded the outcome and let go since it was first read.
        return attempt.read_exit(folder) or "gone"
    finally:
        os.close(folder)


def left_behind(folder: int) -> Tree:
    """What can be found of the step without its wrapper."""
    request = attempt.read_request(folder)
    cgroup = step_cgroup(request["cgroup"], request["token"]) if request["cgroup"] else None
    lock = os.stat("lock", dir_fd=folder)
    return Tree(mark=f"{attempt.TOKEN}={request['token']}", lock=(lock.st_dev, lock.st_ino), cgroup=cgroup)


def overdue(directory: Path) -> bool:
    """Whether its timeout has passed, for a step whose wrapper cannot see to it any more (rule X9)."""
    folder = attempt.open_folder(os.fspath(directory))
    try:
        request, claim = attempt.read_request(folder), attempt.read_claim(folder)
        if not request["interruptible"] or claim is None or not claim.boot:
            return False
        return boottime() > claim.at + int(request["timeout"])
    finally:
        os.close(folder)


def stop_left_behind(directory: Path, grace: Ms) -> bool:
    """Stop a step whose wrapper is gone (rule X5): True where nothing of it is left. Blocks."""
    folder = attempt.open_folder(os.fspath(directory))
    try:
        return left_behind(folder).stop(grace / 1000) and not attempt.locked(folder)
    finally:
        os.close(folder)


def wrapper_alive(directory: Path) -> bool:
    folder = attempt.open_folder(os.fspath(directory))
    try:
        claim = attempt.read_claim(folder)
    finally:
        os.close(folder)
    process = read_process(claim.pid) if claim else None
    return process is not None and claim is not None and process.started == claim.started


def settle(directory: Path, exit: Exit) -> bool:
    """Take the claim, so that nobody ever starts it, and record why. False: it is taken."""
    folder = attempt.open_folder(os.fspath(directory))
    try:
        record = attempt.open_exit(folder)
        try:
            with suppress(OSError):  # an unwritable claim is taken all the same
                if not attempt.win_claim(folder, pid=os.getpid(), started=0, at=boottime()):
                    return False
            attempt.write_exit(record, exit)
            return True
        finally:
            os.close(record)
    finally:
        os.close(folder)


def find(attempts: Path, life: str, execution: int) -> Path | None:
    """The directory of an execution whose step we do not know by name."""
    return next(iter(sorted((attempts / valid_name(life)).glob(f"{execution:04d}-*"))), None)
