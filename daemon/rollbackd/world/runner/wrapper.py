"""What a fork of the helper becomes: the keeper of one execution, or of one command (rules X3, X5).

It outlives the daemon and answers to nobody but its control socket. On it, a message a packet:
`began`, `exited` (the record is durable), `taken` (another wrapper has the claim), `error WHY` (it
could not try); towards it, `stop`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import re
import signal
import socket
import time

from rollbackd.world.runner import attempt
from rollbackd.world.runner.attempt import OUTPUT_BYTES, Exit
from rollbackd.world.runner.process import Program, Stream, boottime, refusal
from rollbackd.world.runner.tree import read_process, remove_cgroup, step_cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

PR_SET_CHILD_SUBREAPER = 36
ANSWER_BYTES = 4 * 1024
ERRORS_BYTES = 1024
LOCK_WAIT_MS = 2_000
EXPECT_SECONDS = 2.0
RETRY_MS = (100, 5_000)

_libc = ctypes.CDLL(None, use_errno=True)


def become(request: bytes, connection: socket.socket) -> None:
    """The life of a wrapper, right after the fork. Returns when nothing is left to keep."""
    _settle(connection.fileno())
    message = json.loads(request)
    try:
        if "attempt" in message:
            run_step(message["attempt"], connection)
        else:
            run_command(message, connection)
    except Exception as error:
        with contextlib.suppress(OSError):
            connection.send(f"error {type(error).__name__}: {error}".encode("utf-8", "replace"))
        raise


def _settle(connection: int) -> None:
    """A session of its own, no descriptor but the connection, deaf to signals meant for the daemon."""
    os.setsid()
    gc.disable()  # the heap is shared with the helper; collecting would copy it
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.set_inheritable(
        connection, False
    )  # received, it is: the step would keep the daemon waiting for its end
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd != connection:
            with contextlib.suppress(OSError):  # the listing's own is closed already
                os.close(fd)
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


class Line:
    """The daemons that listen: the one that asked, and after a restart those that connect.

    `owner` set: the work is done for that connection alone, and its end is an order to stop.
    """

    def __init__(self, connection: socket.socket, *, owner: bool = False) -> None:
        self.stop = False
        self.owner = owner
        self.listener: socket.socket | None = None
        self.connections = {connection.fileno(): connection}
        connection.setblocking(False)

    def listen(self, folder: int) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self.listener.bind(f"/proc/self/fd/{folder}/control")  # the path itself may be too long for a socket
        self.listener.listen(8)

    def descriptors(self) -> list[int]:
        return [*self.connections, *([self.listener.fileno()] if self.listener else [])]

    def serve(self, fd: int) -> None:
        if fd not in self.connections:
            self._accept()
            return
        try:
            message = self.connections[fd].recv(64)
        except BlockingIOError:
            return
        except ConnectionError:
            message = b""
        if message == b"stop" or (not message and self.owner):
            self.stop = True
        if not message:
            self.connections.pop(fd).close()

    def _accept(self) -> None:
        if self.listener:
            with contextlib.suppress(OSError):  # whoever called is gone already
                connection, _ = self.listener.accept()
                connection.setblocking(False)
                self.connections[connection.fileno()] = connection
                connection.send(b"began")

    def tell(self, message: bytes) -> None:
        for connection in self.connections.values():
            with contextlib.suppress(OSError):  # a daemon that is gone finds the outcome in the directory
                connection.send(message)

    def close(self, folder: int) -> None:
        if self.listener:
            self.listener.close()
            with contextlib.suppress(OSError):
                os.unlink("control", dir_fd=folder)
        for connection in self.connections.values():
            connection.close()
        self.listener, self.connections = None, {}


def run_step(directory: str, connection: socket.socket) -> None:
    """Run the attempt's step if nobody ever has, and see to it that its outcome is recorded."""
    folder = attempt.open_folder(directory)
    request = attempt.read_request(folder)
    record = attempt.open_exit(folder)
    lock = attempt.open_lock(folder)
    line = Line(connection)
    own = read_process(os.getpid())
    try:
        won = _wait_lock(folder, lock) and attempt.win_claim(
            folder, pid=os.getpid(), started=own.started if own else 0, at=boottime()
        )
    except OSError as error:
        _record(record, Exit("unstarted", detail=f"the claim could not be written: {error.strerror}"))
        won = False
    if not won:
        line.tell(b"taken")
        return
    started = _start(request, folder, lock, line)
    if isinstance(started, Exit):
        _record(record, started)
        line.tell(b"exited")
        line.close(folder)
        return
    line.tell(b"began")
    _record(record, _keep(started, request, line), started)
    line.tell(b"exited")
    line.close(folder)
    started.linger()
    _clear(started)


def _wait_lock(folder: int, lock: int) -> bool:
    """False where another has the claim, or is about to."""
    give_up = boottime() + LOCK_WAIT_MS
    while not attempt.try_lock(lock):
        if attempt.read_claim(folder) is not None or boottime() > give_up:
            return False
        time.sleep(0.002)
    return True


def _start(request: dict[str, Any], folder: int, lock: int, line: Line) -> Program | Exit:
    """The claim is won: start the step, or say why nothing ran."""
    late = _too_late(request)
    if late:
        return Exit("refused", detail=late)
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        return Exit("unstarted", detail=f"{request['cwd']}: {error.strerror}; reload the plan's folder")
    cgroup = _make_cgroup(request)
    try:
        line.listen(folder)
        output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder)
        stream = Stream(OUTPUT_BYTES, output)
        return Program(
            request["argv"], request["env"], stdout=stream, stderr=stream, keep_open=[lock], cgroup=cgroup
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        if cgroup:
            remove_cgroup(cgroup)
        why = refusal(request["argv"][0], error) if isinstance(error, OSError) else str(error)
        return Exit("unstarted", detail=why)


def _too_late(request: dict[str, Any]) -> str:
    """Why the step may start no more (rule W7), or nothing."""
    limit = request["not_after"]
    if limit is None:
        return ""
    if limit["boot"] != attempt.boot_id():
        return "the machine was restarted since the decision"
    late = boottime() - int(limit["boottime"])
    return f"the decision was too old by {late} ms" if late > 0 else ""


def _make_cgroup(request: dict[str, Any]) -> str | None:
    if not request.get("cgroup"):
        return None
    path = step_cgroup(request["cgroup"], request["token"])
    try:
        os.mkdir(path)
    except FileExistsError:
        return path
    except OSError:
        return None
    return path


def _keep(program: Program, request: dict[str, Any], line: Line) -> Exit:
    """Watch it to its end: the outcome is known at its own exit, whoever still holds its output."""
    outcome: Any = program.watch(
        line,
        timeout=request["timeout"],
        grace=request["grace"],
        interruptible=request["interruptible"],
    )
    program.drain()
    stream = program.streams[0]
    matched, problem = True, stream.problem
    if request["expect"] is not None:
        matched, trouble = matches(request["expect"], bytes(stream.head), stream.tail)
        problem = problem or trouble
    return Exit(
        outcome,
        program.status,
        problem,
        tail=attempt.printable(stream.tail.decode("utf-8", "replace")),
        output_bytes=stream.total,
        expect_matched=matched,
        tree_gone=program.gone(),
    )


def matches(pattern: str, head: bytes, tail: bytes) -> tuple[bool, str]:
    """Whether the regular expression is found in what was kept, or in the last lines (rule X6).

    One that takes more than two seconds has not matched: the outcome waits for it.
    """

    def give_up(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, EXPECT_SECONDS)
    try:
        search = re.compile(pattern, re.MULTILINE).search
        return any(search(part.decode("utf-8", "replace")) for part in (head, tail)), ""
    except TimeoutError:
        return False, f"expect: {pattern} took over {EXPECT_SECONDS:g} s to look for; simplify it"
    except (re.error, RecursionError, OverflowError) as error:
        return False, f"expect: {pattern}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _record(fd: int, exit: Exit, program: Program | None = None) -> None:
    """Make the outcome durable, however long the disk takes to let us."""
    pause = RETRY_MS[0]
    while True:
        try:
            attempt.write_exit(fd, exit)
            return
        except OSError:
            if program:
                program.pump(pause)
            else:
                time.sleep(pause / 1000)
            pause = min(2 * pause, RETRY_MS[1])


def _clear(program: Program) -> None:
    if program.tree.cgroup:
        remove_cgroup(program.tree.cgroup)


def run_command(request: dict[str, Any], connection: socket.socket) -> None:
    """Run a command that only looks: answered in one packet, and nothing of it left behind.

    It is the daemon's: when that lets go of the connection, the command is stopped.
    """
    line = Line(connection, owner=True)
    try:
        os.chdir(request["cwd"])
        stdout = Stream(ANSWER_BYTES)
        stderr = Stream(0) if request["capture"] else stdout
        cgroup = _make_cgroup(request)
        program = Program(request["argv"], request["env"], stdout=stdout, stderr=stderr, cgroup=cgroup)
    except (OSError, ValueError) as error:
        why = refusal(request["argv"][0], error) if isinstance(error, OSError) else str(error)
        line.tell(_answer("unstarted", None, detail=why))
        return
    outcome: Any = program.watch(line, timeout=request["timeout"], grace=request["grace"], interruptible=True)
    program.drain()
    errors = stderr.tail[-ERRORS_BYTES:] if stderr is not stdout else b""
    if outcome == "exited":
        line.tell(_answer(outcome, program.status, output=bytes(stdout.head), errors=errors))
        if not program.gone():
            program.end(0)
    else:
        line.tell(_answer(outcome, None, output=bytes(stdout.head), errors=errors, tree_gone=program.gone()))
    _clear(program)


def _answer(
    outcome: Literal["exited", "timed_out", "stopped", "unstarted"],
    status: int | None,
    *,
    output: bytes = b"",
    errors: bytes = b"",
    detail: str = "",
    tree_gone: bool = True,
) -> bytes:
    answer = {
        "outcome": outcome,
        "status": status,
        "output": output.decode("utf-8", "replace").strip(),
        "errors": errors.decode("utf-8", "replace").strip(),
        "detail": attempt.printable(detail)[: attempt.DETAIL_CHARACTERS],
        "tree_gone": tree_gone,
    }
    return json.dumps(answer).encode()
