"""Defects that the power cuts must find (standard library alone: the runner's helper reads this too).

Not among them, since no power cut can tell: the claim's own fsync (even empty, it is taken), the
directory's after the journal was created (SQLite does that for its log), a snapshot's checksum (it is
replaced whole).
"""

from __future__ import annotations

from tests.crashes.planting import Plant

_SQLITE = "rollbackd.journal.sqlite"
_FILES = "rollbackd.journal.files"
_STATEDIR = "rollbackd.journal.statedir"
_ATTEMPT = "rollbackd.world.runner.attempt"
_WRAPPER = "rollbackd.world.runner.wrapper"

PLANTS = (
    Plant("commits are not synced", _SQLITE, "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),
    Plant("nothing is synced", _SQLITE, "PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"),
    Plant("the rollback journal is in memory", _SQLITE, "journal_mode=WAL", "journal_mode=MEMORY"),
    Plant(
        "the table is made in several transactions",
        _SQLITE,
        'f"BEGIN IMMEDIATE; {CREATE} PRAGMA user_version={FORMAT}; COMMIT;"',
        'f"{CREATE} PRAGMA user_version={FORMAT};"',
    ),
    Plant(
        "each row is a transaction",
        _SQLITE,
        """            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(INSERT, rows)
            self._db.execute("COMMIT")
""",
        """            self._db.executemany(INSERT, rows)
""",
    ),
    Plant(
        "every other batch is acknowledged before its COMMIT",
        _SQLITE,
        """            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(INSERT, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._settle(error, rows[-1])
        finally:
            self._roll_back()
""",
        """            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(INSERT, rows)
            if rows[-1].batch % 2:
                self._db.execute("COMMIT")
        finally:
            pass
""",
    ),
    Plant("a start leaves the log as it is", _SQLITE, 'self._put_back("TRUNCATE")', "pass"),
    Plant("a start takes what it reads for written", _SQLITE, "files.write_again(log)", "pass"),
    Plant("a torn tail is damage", "rollbackd.journal.wal", "if lost > 1:", "if lost > 0:"),
    Plant("a file is renamed before it is synced", _FILES, "os.fsync(file.fileno())", "pass"),
    Plant("a file is replaced in place", _FILES, 'path.with_name(f".{path.name}.new")', "path"),
    Plant(
        "the UUID is simply written",
        _STATEDIR,
        'files.replace(path / "uuid", f"{uuid4()}\\n".encode())',
        '(path / "uuid").write_text(f"{uuid4()}\\n")',
    ),
    Plant(
        "the state directory's name is not synced", _STATEDIR, "files.sync_directory(folder.parent)", "pass"
    ),
    Plant(
        "the names in an attempt are not synced",
        _ATTEMPT,
        "(draft, os.path.dirname(life_folder))",
        "(os.path.dirname(life_folder),)",
    ),
    Plant(
        "an attempt's name is not synced",
        _ATTEMPT,
        "    os.rename(draft, final)\n    sync_folder(life_folder)\n",
        "    os.rename(draft, final)\n",
    ),
    Plant(
        "an attempt that is found is taken for durable",
        _ATTEMPT,
        "        for _ in at_once(sync_folder, (life_folder, os.path.dirname(life_folder))):",
        "        for _ in ():",
    ),
    Plant(
        "a life's name is not synced",
        _ATTEMPT,
        "(draft, os.path.dirname(life_folder))",
        "(draft,)",
    ),
    Plant(
        "an attempt is made under its own name",
        _ATTEMPT,
        'os.path.join(life_folder, f".{name}.new")',
        "final",
    ),
    Plant(
        "the request is not synced",
        _ATTEMPT,
        "        os.fsync(fd)\n        for _ in synced:",
        "        for _ in synced:",
    ),
    Plant("the claim's name is not synced", _ATTEMPT, "    os.fsync(folder)\n", ""),
    Plant("a torn claim is none", _ATTEMPT, "return Claim()", "return None"),
    Plant("the outcome is not synced", _ATTEMPT, "+ body, 0)\n    os.fsync(fd)", "+ body, 0)"),
    Plant(
        "a torn outcome is one",
        _ATTEMPT,
        "if len(body) != length or zlib.crc32(body) != checksum:",
        "if len(body) != length:",
    ),
    Plant(
        "the step starts before the claim",
        _WRAPPER,
        """    try:
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
""",
        """    _wait_lock(folder, lock)
    started = _start(request, folder, lock, line)
    attempt.win_claim(folder, pid=os.getpid(), started=own.started if own else 0, at=boottime())
""",
    ),
    Plant(
        "an outcome is recorded when the step begins",
        _WRAPPER,
        '    line.tell(b"began")\n    _record(',
        '    _record(record, Exit("exited", 0))\n    line.tell(b"began")\n    _record(',
    ),
    Plant(
        "doubt is taken for never started",
        "rollbackd.world.runner.recovery",
        'attempt.read_exit(folder) or "gone"',
        'attempt.read_exit(folder) or "unclaimed"',
    ),
    Plant(
        "the name of all attempts is not synced",
        "rollbackd.world.runner.steps",
        "    attempt.sync_folder(os.fspath(folder.parent))\n",
        "",
    ),
)
