"""All processes of one execution: found, signalled, shown gone (rule X5).

While the wrapper lives it is the subreaper of all it started, so nothing escapes from among its
descendants. Where a cgroup is delegated, that finds them too, and still does once the wrapper is dead.
Without one, a dead wrapper's processes are known by the token in their environment or the lock among
their descriptors, which a program like sudo drops: best effort.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Process:
    __slots__ = ("group", "parent", "pid", "started")

    def __init__(self, pid: int, parent: int, group: int, started: int) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.started = started


def read_process(pid: int) -> Process | None:
    """What the kernel says of a process; None where it is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[19]))


def processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := read_process(int(entry))):
            yield process


def descendants(root: int) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    parents = [root]
    while parents:
        offspring = children.pop(parents.pop(), [])
        found += offspring
        parents += [process.pid for process in offspring]
    return found


def carriers(mark: str) -> list[Process]:
    """The processes with this `NAME=value` in their environment, as far as we may look."""
    wanted = mark.encode()
    found = []
    for process in processes():
        try:
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue  # gone, or not ours to read
        if wanted in environment.split(b"\0"):
            found.append(process)
    return found


def holders(file: tuple[int, int]) -> list[Process]:
    """The processes that have this file (device, inode) open, as far as we may look."""
    return [process for process in processes() if _has_open(process.pid, file)]


def _has_open(pid: int, file: tuple[int, int]) -> bool:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False  # gone, or not ours to read
    for fd in descriptors:
        try:
            stat = os.stat(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue  # closed meanwhile
        if (stat.st_dev, stat.st_ino) == file:
            return True
    return False


def inhabitants(cgroup: str) -> list[Process]:
    """The processes in a cgroup and below it; none where it does not exist."""
    found = []
    for folder, _, _ in os.walk(cgroup):
        try:
            with open(f"{folder}/cgroup.procs", "rb") as file:
                pids = file.read().split()
        except OSError:
            continue  # removed meanwhile
        found += [process for pid in pids if (process := read_process(int(pid)))]
    return found


def send(process: Process, signum: int) -> None:
    """Signal that very process, never another that has its number by now."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return  # gone
    try:
        now = read_process(process.pid)
        if now is not None and now.started == process.started:
            signal.pidfd_send_signal(fd, signum)
    except OSError:
        return  # gone, or not ours to signal: then the tree is not shown gone
    finally:
        os.close(fd)


class Tree:
    """`root`: the wrapper, itself no part of it. `mark`, `lock`: what its processes carry (see above)."""

    def __init__(
        self,
        *,
        root: int | None = None,
        cgroup: str | None = None,
        mark: str = "",
        lock: tuple[int, int] | None = None,
    ) -> None:
        self.root = root
        self.cgroup = cgroup
        self.mark = mark
        self.lock = lock

    def members(self) -> list[Process]:
        found: list[Process] = []
        if self.root is not None:
            found += descendants(self.root)
        if self.cgroup is not None:
            found += inhabitants(self.cgroup)
        if self.mark:
            found += carriers(self.mark)
        if self.lock is not None:
            found += holders(self.lock)
        return list({process.pid: process for process in found if process.pid != os.getpid()}.values())

    def terminate(self) -> None:
        """TERM, to each process once: many programs take a second one for impatience."""
        for process in self.members():
            send(process, signal.SIGTERM)

    def kill(self) -> None:
        if self.cgroup is not None:
            write_control(self.cgroup, "cgroup.kill", b"1")
        for process in self.members():
            send(process, signal.SIGKILL)

    def stop(self, grace: float, patience: float = 5.0) -> bool:
        """TERM, `grace` seconds, KILL; blocks. False where something is left `patience` seconds later."""
        self.terminate()
        kill_at = time.monotonic() + grace
        while self.members():
            now = time.monotonic()
            if now >= kill_at + patience:
                return False
            if now >= kill_at:
                self.kill()
            time.sleep(0.05)
        return True


def write_control(cgroup: str, file: str, content: bytes) -> bool:
    """Write to one of a cgroup's files; False where that is not to be (older kernel, no right)."""
    try:
        fd = os.open(f"{cgroup}/{file}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, content)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def own_cgroup() -> str | None:
    """Where this process is in the unified hierarchy; None where the machine has none."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [line.split()[4] for line in file if " - cgroup2 " in line]
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        paths = [line.rstrip("\n")[3:] for line in file if line.startswith("0::")]
    if not mounts or not paths:
        return None
    return os.path.normpath(mounts[0] + paths[0])


def delegated_cgroup() -> str | None:
    """This process's cgroup, where systemd (`Delegate=yes`) or its owner lets us divide it."""
    here = own_cgroup()
    if here is None or not os.path.isdir(here):
        return None
    for attribute in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(here, attribute) == b"1":
                return here
        except OSError:
            continue  # not set, or not readable by us
    ours = os.getuid() != 0 and os.stat(here).st_uid == os.getuid()
    return here if ours and os.access(f"{here}/cgroup.procs", os.W_OK) else None


def step_cgroup(parent: str, token: str) -> str:
    return f"{parent}/step-{token}"


def remove_cgroup(cgroup: str) -> None:
    """Remove it, and those the step made in it; one that is not empty stays."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return
