"""A systemd of one's own as PID 1, with rollbackd installed as `systemd/README.md` says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from tests.servers import wait_for

ROOT = Path(__file__).parents[2]
HIERARCHIES = [Path("/sys/fs/cgroup") / name for name in ("", "unified", "systemd", "pids")]
NAMESPACES = ["--mount", "--pid", "--uts", "--ipc", "--cgroup"]


class CannotBoot(Exception):
    """This machine does not let us; the message says why."""


class Machine:
    """Shares the kernel, the network and, read-only, the files; what is written there is gone with it.

    Use it as a context manager. CannotBoot.
    """

    DROP_INS = "/etc/systemd/system/rollbackd.service.d"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "boot.log"
        self._cgroups = [hierarchy / f"rollbackd-tests-{os.getpid()}" for hierarchy in _hierarchies()]
        self._boot: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        why = _missing()
        if why:
            raise CannotBoot(why)
        try:
            self._start()
            self._install()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._boot is not None:
            self._boot.kill()  # unshare takes its child along, and that was PID 1
            self._boot.wait(30)
        for cgroup in self._cgroups:
            wait_for(partial(_removed, cgroup), what=f"{cgroup} empty")

    def _start(self) -> None:
        base = self._folder / "machine"
        base.mkdir(parents=True)
        try:
            for cgroup in self._cgroups:
                cgroup.mkdir()
        except OSError as error:
            raise CannotBoot(f"no cgroup of our own: {error}") from error
        unshare = ["unshare", *NAMESPACES, "--fork", "--kill-child"]
        visible = [str(ROOT), sys.prefix, sys.base_prefix]
        command = [*unshare, str(ROOT / "tests/systemd/boot.sh"), str(base), *visible]
        # The shell enters the cgroups first, so that they are the roots of its cgroup namespace.
        enter = "".join(f"echo 0 >'{cgroup}/cgroup.procs'; " for cgroup in self._cgroups)
        with self._log.open("wb") as log:
            self._boot = subprocess.Popen(
                ["sh", "-ec", f'{enter}exec "$@"', "boot", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._has_booted, 120, f"systemd up: {self._log}")

    def _has_booted(self) -> bool:
        assert self._boot is not None
        if self._boot.poll() is not None:
            raise CannotBoot(f"systemd does not boot here: {self._log.read_text(errors='replace')[-500:]}")
        children = Path(f"/proc/{self._boot.pid}/task/{self._boot.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
            return False
        self._init = int(children[0])
        return self.run("systemctl", "is-active", "machine.target", ok=False) == "active"

    # What is done in it

    def run(self, *command: str, ok: bool = True) -> str:
        """What it prints, errors included."""
        done = subprocess.run(
            ["nsenter", f"--target={self._init}", "--all", "--wdns=/", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            check=False,
        )
        assert not ok or done.returncode == 0, (command, done.returncode, done.stdout, self.journal())
        return done.stdout.strip()

    def path(self, inside: str) -> Path:
        """A file of it, from here."""
        return Path(f"/proc/{self._init}/root{inside}")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def show(self, key: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={key}", "rollbackd.service")

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", "--unit=rollbackd", *arguments, ok=False)

    def pids(self) -> list[int]:
        """The processes in the service's cgroup and below it, by their numbers in there, whether it is
        active or not."""
        found: list[int] = []
        for mount in ("", "/unified"):
            group = self.path(f"/sys/fs/cgroup{mount}/system.slice/rollbackd.service")
            for folder, _, _ in os.walk(group):
                with suppress(FileNotFoundError):  # removed meanwhile
                    found += map(int, Path(folder, "cgroup.procs").read_text().split())
        return found

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, 60, what)

    # rollbackd

    def _install(self) -> None:
        """As `systemd/README.md` has it; what pip would install is this very tree."""
        for source, target in (
            ("rollbackd.sysusers.conf", "/etc/sysusers.d/rollbackd.conf"),
            ("rollbackd.tmpfiles.conf", "/etc/tmpfiles.d/rollbackd.conf"),
            ("rollbackd.service", "/etc/systemd/system/rollbackd.service"),
        ):
            self.write(target, (ROOT / "systemd" / source).read_text())
        self.run("systemd-sysusers")
        self.run("systemd-tmpfiles", "--create")
        for folder in (ROOT, Path(sys.prefix), Path(sys.base_prefix)):
            # A folder closed to others is opened in there alone; what is only visible there is read-only.
            self.run("chmod", "o+x", *map(str, [folder, *folder.parents]), ok=False)
        self.run("ln", "-sf", f"{sys.prefix}/bin/rollbackd", "/usr/bin/rollbackd")
        said = self.run("runuser", "-u", "rollbackd", "--", "rollbackd", "version", ok=False)
        if not said.startswith("rollbackd "):
            raise CannotBoot(f"user rollbackd cannot run {sys.prefix}/bin/rollbackd: {said}")
        self.run("systemctl", "daemon-reload")

    def drop_in(self, name: str, text: str) -> None:
        self.write(f"{self.DROP_INS}/{name}.conf", text)
        self.run("systemctl", "daemon-reload")

    def configure(self, files: Mapping[str, str]) -> None:
        """Files under /etc/rollbackd; scripts are executable."""
        for name, text in files.items():
            self.write(f"/etc/rollbackd/{name}", text, 0o755 if name.endswith(".sh") else 0o644)


def _hierarchies() -> list[Path]:
    """Where systemd's processes are counted: the second version's one hierarchy, or the hybrid's three."""
    whole = (HIERARCHIES[0] / "cgroup.procs").exists()
    return HIERARCHIES[:1] if whole else HIERARCHIES[1:]


def _missing() -> str:
    if os.geteuid() != 0:
        return "only root may make namespaces with a systemd in them"
    for program in ("unshare", "nsenter", "/lib/systemd/systemd", "systemctl", "journalctl"):
        if shutil.which(program) is None:
            return f"{program} is missing (Debian: packages util-linux, systemd)"
    gone = [
        str(hierarchy) for hierarchy in _hierarchies() if not os.access(hierarchy / "cgroup.procs", os.W_OK)
    ]
    return f"no cgroup hierarchy to write to: {', '.join(gone)}" if gone else ""


def _removed(cgroup: Path) -> bool:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return True
