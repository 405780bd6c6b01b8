"""One program and its process tree: started, watched, timed, stopped (rules X2, X4, X5).

Runs in a wrapper: a process with one thread that is the subreaper of all it starts.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time

from rollbackd.world.runner.attempt import TAIL_BYTES, write_all
from rollbackd.world.runner.tree import Tree, own_cgroup, write_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Control(Protocol):
        """Where orders come from while a program runs."""

        stop: bool

        def descriptors(self) -> list[int]: ...

        def serve(self, fd: int) -> None: ...


CHUNK = 64 * 1024
PIPE_BYTES = 1024 * 1024
PATIENCE_MS = 5_000  # from KILL until "not shown gone": uninterruptible sleep, or not ours to kill
SCAN_MS = 50
WAKE_MS = 30_000  # a suspended machine stops poll's clock, not the timeout's


def boottime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Stream:
    """The reading end of what a program writes: the first `keep` bytes, the last 2 KiB, and a count.

    `file`: a descriptor the first bytes go to as well, -1 for none.
    """

    def __init__(self, keep: int, file: int = -1) -> None:
        self.keep = keep
        self.file = file
        self.head = bytearray()
        self.tail = b""
        self.total = 0
        self.problem = ""
        self.fd, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)

    def read(self) -> int:
        """Take what is there, at most a chunk: its length, 0 where there is nothing now."""
        try:
            chunk = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return 0
        if not chunk:
            self.close()
            return 0
        self.total += len(chunk)
        self.tail = (self.tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
        if len(self.head) < self.keep:
            self._keep(chunk[: self.keep - len(self.head)])
        return len(chunk)

    def _keep(self, chunk: bytes) -> None:
        self.head += chunk
        if self.file >= 0:
            try:
                write_all(self.file, chunk)
            except OSError as error:  # a full disk takes the output, never the step
                self.problem = f"output not kept: {error.strerror}"
                self.file = -1

    def drain(self) -> None:
        """Take what its writers have left behind, and no more than a pipe holds."""
        taken = 0
        while self.fd >= 0 and taken < PIPE_BYTES and (length := self.read()):
            taken += length

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Program:
    """A program that was started, and everything it started. OSError, with `refusal`, where it could not be.

    `cgroup`: an empty one to start it in, or None. `keep_open`: descriptors it inherits.
    """

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        *,
        stdout: Stream,
        stderr: Stream,
        keep_open: Sequence[int] = (),
        cgroup: str | None = None,
    ) -> None:
        self.streams = [stdout] if stdout is stderr else [stdout, stderr]
        self.status: int | None = None
        self.childless = False
        self.wake = _wake_on_child()
        for fd in keep_open:
            os.set_inheritable(fd, True)
        entered = _enter(cgroup) if cgroup else None
        try:
            self.pid = _spawn(argv, env, stdout.writer, stderr.writer)
        finally:
            left = _leave(entered)
            for stream in self.streams:
                os.close(stream.writer)
        self.tree = Tree(root=os.getpid(), cgroup=cgroup if entered and left else None)

    def gone(self) -> bool:
        """Shown gone: a subreaper without children has no descendants."""
        self._reap()
        return self.status is not None and self.childless and not (self.tree.cgroup and self.tree.members())

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            if pid == 0:
                self.childless = False
                return
            if pid == self.pid and self.status is None:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code

    def pump(self, wait_ms: int, control: Control | None = None) -> None:
        """Wait for anything to happen, at most so long: output, a death, an order."""
        poll = select.poll()
        streams = {stream.fd: stream for stream in self.streams if stream.fd >= 0}
        for fd in (self.wake, *streams, *(control.descriptors() if control else ())):
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(max(0, min(wait_ms, WAKE_MS))):
            if fd in streams:
                streams[fd].read()
            elif fd == self.wake:
                os.read(self.wake, 4096)
            elif control:
                control.serve(fd)
        self._reap()

    def watch(self, control: Control, *, timeout: int, grace: int, interruptible: bool) -> str:
        """Until the program is over (exited), or it and its tree were stopped (timed_out, stopped).

        Milliseconds. Not `interruptible`: only an order stops it, never its timeout (rule X9).
        """
        deadline = boottime() + timeout
        while True:
            if self.status is not None:
                return "exited"
            if control.stop:
                self.end(grace)
                return "stopped"
            if interruptible and boottime() >= deadline:
                self.end(grace)
                return "timed_out"
            self.pump(deadline - boottime() if interruptible else WAKE_MS, control)

    def end(self, grace: int) -> None:
        """TERM, grace, KILL, to all but the wrapper; back once all are gone or KILL did not help."""
        self.tree.terminate()
        kill_at = boottime() + grace
        while not self.gone() and (now := boottime()) < kill_at + PATIENCE_MS:
            if now >= kill_at:
                self.tree.kill()
            self.pump(SCAN_MS)

    def drain(self) -> None:
        for stream in self.streams:
            stream.drain()

    def linger(self) -> None:
        """Read on for those who still hold the output, so that writing does not kill them; keep nothing."""
        for stream in self.streams:
            stream.keep = 0
            stream.head.clear()
        while any(stream.fd >= 0 for stream in self.streams):
            self.pump(WAKE_MS)


def _wake_on_child() -> int:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def _spawn(argv: list[str], env: dict[str, str], stdout: int, stderr: int) -> int:
    return os.posix_spawn(
        locate(argv[0], env.get("PATH", os.defpath)),
        argv,
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ],
        setpgroup=0,
        setsigmask=[],
        # Ignored signals survive exec: Python ignores SIGPIPE, the wrapper ignores SIGTERM.
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )


def locate(name: str, path: str) -> str:
    """The file a command's name means. FileNotFoundError where PATH has none."""
    if "/" in name:
        return name
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(errno.ENOENT, f"not found on PATH ({path})", name)


def refusal(name: str, error: OSError) -> str:
    """Why a program could not be started, and what to do about it."""
    if isinstance(error, FileNotFoundError) and "/" in name and os.path.exists(name):
        return f"{name}: the interpreter on its #! line does not exist; install it or correct the line"
    if isinstance(error, FileNotFoundError) and "/" in name:
        return f"{name}: no such file in the plan's folder; add it and reload"
    if isinstance(error, FileNotFoundError):
        return f"{name}: {error.strerror}; install it, or give the plan's own script as ./{name}"
    if isinstance(error, PermissionError):
        return f"{name}: not executable; chmod +x it and reload"
    if error.errno == errno.ENOEXEC:
        return f"{name}: not a program; begin it with a #! line"
    if error.errno == errno.E2BIG:
        return f"{name}: its arguments and environment are too long for the kernel; pass less"
    return f"{name}: {error.strerror}"


def _enter(cgroup: str) -> str | None:
    """Move this process into the cgroup, so that what it starts is born there: where it came from."""
    home = own_cgroup()
    return home if home and write_control(cgroup, "cgroup.procs", b"0") else None


def _leave(home: str | None) -> bool:
    # cgroup.kill would take the wrapper with it: a cgroup it cannot leave is of no use.
    return home is not None and write_control(home, "cgroup.procs", b"0")
