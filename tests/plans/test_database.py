"""plans/database on a real PostgreSQL: dumped, migrated, damaged, rolled back by the real daemon, counted."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.plans.life import Life
from tests.plans.postgres import OWNER, Postgres, postgres
from tests.plans.stage import ROOT, Answer, Said, Stage
from tests.servers import wait_for

NUMBERS = count(1)
OLD, NEW = "20251201120000", "20251209000011"
SCHEMA = f"""
SET ROLE {OWNER};
CREATE TABLE schema_migrations (version bigint PRIMARY KEY);
INSERT INTO schema_migrations VALUES ({OLD});
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n;
CREATE SCHEMA sales CREATE TABLE orders (id serial PRIMARY KEY, of int REFERENCES public.users);
INSERT INTO sales.orders (of) SELECT n FROM generate_series(1, 200) n;
GRANT USAGE ON SCHEMA sales TO web;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, sales TO web;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA sales TO web;
"""
DAMAGE = f"""
SET ROLE {OWNER};
ALTER TABLE users DROP COLUMN name;
CREATE TABLE sessions (of int REFERENCES users);
DELETE FROM sales.orders WHERE id > 50;
INSERT INTO schema_migrations VALUES ({NEW});
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        made.sql("postgres", "CREATE ROLE web LOGIN; CREATE ROLE other LOGIN")
        yield made


class Database:
    """One of the server's, with an application's tables and its dump."""

    def __init__(self, server: Postgres, folder: Path, name: str) -> None:
        self.server, self.name = server, name
        server.sql("postgres", f"CREATE DATABASE {name} OWNER {OWNER}")
        server.sql("postgres", f'ALTER DATABASE {name} SET search_path TO "$user", public, sales')
        server.sql("postgres", f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
        server.sql("postgres", f"GRANT CONNECT ON DATABASE {name} TO web")
        server.sql(name, SCHEMA)
        self.env = {**server.environment(name), "PGPASSFILE": ""}
        self.stage = Stage(folder / "stage", "database", **self.env, ROLLBACK_ID=f"{name}-1")

    def run(self, script: str, **env: str) -> Said:
        return self.stage.run(script, **env)

    def sql(self, text: str, user: str = "web") -> str:
        return self.server.sql(self.name, text, user)

    def sum_up(self) -> None:
        """The hashes are those of what is there."""
        files = ("database.dump", "counts.tsv", "schema-version")
        sums = [
            f"{hashlib.sha256((self.stage.capture / file).read_bytes()).hexdigest()}  {file}\n"
            for file in files
        ]
        (self.stage.capture / "SHA256SUMS").write_text("".join(sums))

    def interrupted(self, number: int) -> None:
        """restore.sh, signalled in the middle of pg_restore."""
        slow = self.stage.folder / "bin" / "pg_restore"
        slow.write_text(
            '#!/bin/sh\ncase "$*" in *--list*) exit 0 ;; esac\ntouch "$HOME/restoring"\nexec sleep 300\n'
        )
        slow.chmod(0o755)
        script = ROOT / "plans/database/scripts/restore.sh"
        step = subprocess.Popen(
            [script], env=self.stage.env, stdout=subprocess.DEVNULL, start_new_session=True
        )
        wait_for((self.stage.folder / "restoring").exists, what="pg_restore")
        assert not self.is_open()
        os.killpg(step.pid, number)
        assert step.wait(60) != 0
        slow.unlink()

    def lets_in(self, role: str) -> str:
        return self.server.sql(
            "postgres", f"SELECT has_database_privilege('{role}', '{self.name}', 'CONNECT')"
        )

    def is_open(self) -> bool:
        """New sessions may write."""
        return self.sql("SHOW transaction_read_only") == "off"

    def rows(self) -> list[int]:
        return [int(self.sql(f"SELECT count(*) FROM {table}")) for table in ("users", "sales.orders")]

    def databases(self) -> list[str]:
        found = self.server.sql(
            "postgres", f"SELECT datname FROM pg_database WHERE datname ~ '^{self.name}(_|$)' ORDER BY 1"
        )
        return found.splitlines()


@pytest.fixture
def good(server: Postgres, tmp_path: Path) -> Database:
    return Database(server, tmp_path, f"app{next(NUMBERS)}")


@pytest.fixture
def database(good: Database) -> Database:
    """Captured, migrated, and damaged."""
    assert good.run("capture.sh").status == 0
    good.server.sql(good.name, DAMAGE)
    return good


def test_captured_migrated_damaged_rolled_back(good: Database, tmp_path: Path) -> None:
    """The whole plan, in the daemon: the rows, the schema, what may be done, and nothing of the damage."""
    with Life(tmp_path / "life", "database", good.env) as life:
        life.release(OLD, NEW)
        good.server.sql(good.name, DAMAGE)
        assert good.rows() == [500, 50]
        assert life.roll_back() == "verified", life.told()
        assert "check data-consistency: pass" in life.told()
        assert life.life("database-1")["validation"]["stage"] == "immediate"
        said = {step["step"]: step["said"] for step in life.life("database-1")["steps"]}
    damaged = f"{good.name}_before_database_1"
    assert said["restore-dump"] == f"restored: the damaged database is {damaged}, closed"
    assert good.rows() == [500, 200]
    assert good.sql("SELECT max(version) FROM schema_migrations") == OLD
    assert good.sql("SELECT name FROM users WHERE id = 7") == "user 7"
    assert good.sql("SELECT to_regclass('sessions')") == ""
    assert good.sql("SHOW search_path") == '"$user", public, sales'
    assert good.sql("INSERT INTO orders (of) VALUES (1) RETURNING id") == "201"
    assert good.databases() == [good.name, damaged]
    assert (good.lets_in("web"), good.lets_in("other")) == ("t", "f")
    assert "not currently accepting connections" in good.server.run(damaged, "SELECT 1").stderr


def test_a_corrupt_dump_is_not_restored(good: Database, tmp_path: Path) -> None:
    """Its hash is wrong: the daemon asks; where a person insists, the plan stops before touching anything."""
    with Life(tmp_path / "life", "database", good.env) as life:
        life.release(OLD, NEW)
        good.server.sql(good.name, DAMAGE)
        dump = life.state_dir / "captures/database-c1/dump/database.dump"
        content = bytearray(dump.read_bytes())
        content[len(content) // 2] ^= 1
        dump.write_bytes(content)
        assert life.roll_back() == "waiting_approval", life.told()
        assert "dump/database.dump" in life.told()
        life.cli("approve", "database-1")
        life.wait_state("database-1", "failed")
        failed, *others = life.life("database-1")["steps"]
    assert (failed["step"], failed["state"]) == ("verify-backup", "failed")
    assert failed["said"].endswith("is not the one that was made: do not restore it")
    assert {step["state"] for step in others} == {"not_run"}
    assert good.rows() == [500, 50]
    assert good.databases() == [good.name]


def test_a_dump_that_was_captured_broken_changes_nothing(database: Database) -> None:
    """Its hash is right; pg_restore fails in the middle, and the database is as it was, open, and alone."""
    dump = database.stage.capture / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-200])
    database.sum_up()
    said = database.run("restore.sh")
    assert said.last == f"failed while restoring the dump: {database.name} is as it was, and can be written"
    assert said.status != 0
    assert (database.rows(), database.databases()) == ([500, 50], [database.name])
    assert database.is_open()


def test_rows_that_are_not_those_that_were_counted_are_not_taken(database: Database) -> None:
    capture = database.stage.capture
    counts = (capture / "counts.tsv").read_text().replace("users\t500", "users\t501")
    (capture / "counts.tsv").write_text(counts)
    database.sum_up()
    said = database.run("restore.sh")
    assert said == Said(
        1,
        f"failed while comparing it with what was captured: {database.name} is as it was, and can be written",
    )
    assert (database.rows(), database.databases()) == ([500, 50], [database.name])
    assert database.is_open()


class Application(threading.Thread):
    """Writes on one connection for as long as it can, like a pool: a new one where it lost the old."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._over = threading.Event()
        self.refused: list[str] = []
        self.written = 0

    def run(self) -> None:
        while not self._over.is_set():
            done = self._database.server.run(self._database.name, "INSERT INTO orders (of) VALUES (1)", "web")
            if done.returncode:
                self.refused.append(done.stderr)
            else:
                self.written += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_whoever_is_connected_meanwhile(database: Database) -> None:
    """A session in the middle of a transaction loses it; new ones read, and are refused their writes;
    afterwards all of them write to the restored database."""
    holder = subprocess.Popen(
        ["psql", "-Xqw"],
        env={**os.environ, **database.server.environment(database.name, "web")},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdin is not None
    holder.stdin.write(b"BEGIN; UPDATE users SET id = 1000 WHERE id = 400;\n")
    holder.stdin.flush()
    held = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND state LIKE 'idle in %'"
    )
    wait_for(lambda: database.server.sql("postgres", held) == "1", what="the held lock")
    application = Application(database)
    application.start()
    try:
        wait_for(lambda: application.written > 0, what="a write before")
        assert database.run("restore.sh").status == 0
        so_far = application.written
        wait_for(lambda: application.written > so_far, what="a write after")
    finally:
        application.stop()
        holder.communicate(b"COMMIT;\n", timeout=30)
    assert holder.returncode != 0
    known = (
        "read-only transaction",
        "terminating connection",
        "server closed the connection",
        "not currently accepting",
        "just been dropped or renamed",
    )
    assert [text for text in application.refused if not any(part in text for part in known)] == []
    assert database.sql("SELECT count(*) FROM users WHERE id > 500") == "0"
    assert database.rows()[1] >= 201


def test_killed_in_the_middle_and_run_again(database: Database) -> None:
    """KILL leaves no time for anything: read-only, with half a copy. The probe says that it is not done; the
    second run is whole, and whoever gives up instead opens the database again."""
    database.interrupted(signal.SIGKILL)
    assert not database.is_open()
    assert database.run("is-restored.sh").status == 20
    assert database.run("writable.sh").status == 0
    assert database.is_open()
    assert database.run("restore.sh").status == 0
    assert database.run("is-restored.sh").status == 0
    assert database.rows() == [500, 200]
    assert database.run("restore.sh").last.startswith("restored already")


def test_terminated_in_the_middle_it_opens_the_database_again(database: Database) -> None:
    database.interrupted(signal.SIGTERM)
    assert database.is_open()
    assert database.databases() == [database.name]


ANSWERS: list[tuple[str, str, dict[str, str], Said]] = [
    ("it may go back", "reversible.sh", {"IRREVERSIBLE_FROM": "20251210000000"}, Said(0, "")),
    (
        "a migration that cannot be undone",
        "reversible.sh",
        {"IRREVERSIBLE_FROM": "20251209000008"},
        Said(20, f"migration 20251209000008 ran (the schema is at {NEW}), and it cannot be undone"),
    ),
    ("not restored", "is-restored.sh", {}, Said(20, "")),
    (
        "no server",
        "is-restored.sh",
        {"PGHOST": "/nonexistent"},
        Said(1, "the server does not answer: /nonexistent, database postgres"),
    ),
    ("another schema", "schema-is-previous.sh", {}, Said(1, f"the schema is at {NEW}, wanted {OLD}")),
    ("lost rows", "rows-are-there.sh", {}, Said(1, "sales.orders: 50 rows, 200 captured")),
    ("it takes writes", "takes-writes.sh", {}, Said(0, "")),
    (
        "it refuses what the application does",
        "takes-writes.sh",
        {"FUNCTIONAL_SQL": "INSERT INTO users (name) VALUES ('n')"},
        Said(1, "it takes no writes, or not this one: INSERT INTO users (name) VALUES ('n')"),
    ),
    (
        "nothing was captured",
        "verify-backup.sh",
        {"ROLLBACK_CAPTURE_DIR": "/nonexistent"},
        Said(1, "there is no dump: /nonexistent holds no SHA256SUMS"),
    ),
    (
        "somebody else's database",
        "restore.sh",
        {"PGUSER": "web"},
        Said(3, "failed while making it read-only, and it may still be READ-ONLY: run ./scripts/writable.sh"),
    ),
    (
        "a backup of one's own",
        "verify-backup.sh",
        {"ROLLBACK_CAPTURE_DIR": "", "BACKUP_DIR": "CAPTURE"},
        Said(0, "schema 20251201120000"),
    ),
    ("nothing to note", "archive.sh", {}, Said(0, "nothing was restored")),
    ("the release", "release.sh", {}, Said(0, NEW)),
]


def test_what_the_scripts_answer(database: Database) -> None:
    named: dict[str, Said] = {}
    for what, script, env, _ in ANSWERS:
        there = {name: value.replace("CAPTURE", str(database.stage.capture)) for name, value in env.items()}
        said = database.run(script, **there)
        named[what] = Said(said.status, said.last.replace(database.name, "it").partition(", taken")[0])
    assert named == {what: said for what, _, _, said in ANSWERS}
    os.utime(database.stage.capture / "database.dump", (0, 0))
    assert database.run("reversible.sh").status == 20
    assert database.rows() == [500, 50]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("-h cache -p 6379 -n 0 FLUSHDB", "OK\n"), Said(0, "OK")),
        (
            Answer("*", "NOAUTH Authentication required.\n"),
            Said(1, "redis at cache did not flush: NOAUTH Authentication required."),
        ),
        (Answer("*", "Could not connect to Redis\n", 1), Said(1, "redis at cache does not answer")),
    ],
)
def test_the_cache(tmp_path: Path, answer: Answer, said: Said) -> None:
    stage = Stage(tmp_path, "database", REDIS_HOST="cache")
    stage.plays("redis-cli", answer)
    assert stage.run("flush-cache.sh") == said
