"""A real PostgreSQL of one's own, on a socket in its own folder, with durability off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import wait_for

DAEMON = "rollbackd"
"""As plans/database/README.md wants it: no superuser, may create databases, end sessions, is in OWNER."""

OWNER = "app_owner"
"""Owns the databases."""


class Postgres:
    """`folder` holds its socket. Statements are run as the superuser, unless said otherwise."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """initdb and postgres refuse root: both run as user postgres then."""
        data, log = self.folder / "data", self.folder / "log"
        as_postgres: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        make = [self._binaries / "initdb", "--no-sync", "--auth=trust", "--username=postgres", "-D", data]
        subprocess.run([*as_postgres, *map(str, make)], check=True, capture_output=True, cwd="/")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "8MB",
            "max_connections": "30",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*as_postgres, str(self._binaries / "postgres"), "-D", str(data), *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
            )
        wait_for(self._is_ready, 60, f"PostgreSQL, see {log}")
        self.sql("postgres", f"CREATE ROLE {OWNER}")
        self.sql("postgres", f"CREATE ROLE {DAEMON} LOGIN CREATEDB IN ROLE pg_signal_backend, {OWNER}")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return self.run("postgres", "SELECT 1").returncode == 0

    def stop(self) -> None:
        """Immediately: nothing of it is needed any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    def environment(self, database: str, user: str = DAEMON) -> dict[str, str]:
        return {"PGHOST": str(self.folder), "PGPORT": "5432", "PGUSER": user, "PGDATABASE": database}

    def run(self, database: str, text: str, user: str = "postgres") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", "-XqAtw", "-v", "ON_ERROR_STOP=1", "-c", text],
            env={**os.environ, **self.environment(database, user)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def sql(self, database: str, text: str, user: str = "postgres") -> str:
        done = self.run(database, text, user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Skips where it is not installed. Its folder is none of pytest's: user postgres could not enter it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found or shutil.which("psql") is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="rollbackd-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(found[-1].parent, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
