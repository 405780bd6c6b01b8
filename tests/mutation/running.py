"""Tests against mutants: one forked process a mutant.

A mutant of a function is a process that has collected the tests, with that function's code exchanged; only
the tests that ran the changed lines run, the likeliest killer first. What is made at import (constants,
defaults, class bodies) needs a process that imports the mutant instead of the module, and all tests.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType
from typing import Never

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from tests.mutation.mutants import CORE, ROOT, Mutant, code_of

TESTS = ("tests/core", "tests/stories", "tests/journals", "tests/report", "tests/config/test_durations.py")
MEASURED = ROOT / "build/mutants/measured"
LEFT_OUT = "two_hash_seeds"  # a process of its own, which would not see the mutant
QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--no-summary", "-rN")
REWRITTEN = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # hypothesis is imported here already

MEMORY = 4 << 30  # bytes of address space: an end for a mutant that grows for ever
PATIENCE = 20.0  # times the CPU that the test takes of itself
SURVIVED, KILLED = 0, 1

Told = Callable[[Mutant, bool, str], None]
"""What became of a mutant: whether it was killed, and by which test ("" where no test ran it)."""


def prepare() -> None:
    """The same examples for every mutant, and none made smaller."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")


@dataclass
class Pool:
    """At most `jobs` forked processes; each says the number of the test it begins."""

    jobs: int
    _open: dict[int, tuple[int, Callable[[bool, int], None]]] = field(default_factory=dict)

    def submit(self, work: Callable[[Callable[[int], None]], int], done: Callable[[bool, int], None]) -> None:
        while len(self._open) >= self.jobs:
            self._reap()
        said, saying = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(lambda: work(lambda number: _say(saying, number)))
        os.close(saying)
        self._open[pid] = (said, done)

    def drain(self) -> None:
        while self._open:
            self._reap()

    def _reap(self) -> None:
        pid, status = os.wait()
        said, done = self._open.pop(pid)
        with os.fdopen(said, "rb") as pipe:
            last = pipe.read()[-4:]
        done(status != SURVIVED, int.from_bytes(last, "little"))


def _say(pipe: int, number: int) -> None:
    os.write(pipe, number.to_bytes(4, "little"))


def _child(work: Callable[[], int]) -> Never:
    """`work`'s answer as exit status; anything it raises counts as killed."""
    status = KILLED
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        status = work()
    finally:
        os._exit(status)


@dataclass
class _Test:
    item: pytest.Item
    took: float = 0.0  # CPU seconds

    @property
    def strict(self) -> bool:
        """Whether it compares all that is told, so that little escapes it."""
        return "test_told" in self.item.nodeid


@dataclass
class Campaign:
    """A pytest plugin that runs mutants of functions in place of the tests."""

    mutants: Iterable[Mutant]
    jobs: int
    enough: float
    """CPU seconds of tests that one mutant may see, the likeliest killers first: who survives these, counts
    as alive. So the score is a lower bound."""
    told: Told
    failed: list[str] = field(default_factory=list)  # tests that fail without any mutant
    _tests: list[_Test] = field(default_factory=list)
    _ran: dict[tuple[str, int], set[int]] = field(default_factory=dict)  # file, line → tests
    _kills: dict[tuple[str, str], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def run(self) -> None:
        pytest.main([*QUIET, *REWRITTEN, *TESTS], plugins=[self])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._tests = [_Test(item) for item in session.items if LEFT_OUT not in item.nodeid]
        if not self._measured():
            self._measure()
            if self.failed:
                return True
            self._keep_measures()
        functions = _functions()
        gc.collect()
        gc.freeze()
        pool = Pool(self.jobs)
        for mutant in self.mutants:
            self._submit(pool, mutant, functions[mutant.path, mutant.function])
        pool.drain()
        return True

    def _measure(self) -> None:
        """Which test runs which line, and how long each takes."""
        cover = coverage.Coverage(data_file=None, source=[str(CORE)])
        cover.start()
        for number, test in enumerate(self._tests):
            cover.switch_context(str(number))
            began = time.process_time()
            if not _passes(test.item):
                self.failed.append(test.item.nodeid)
            test.took = time.process_time() - began
        cover.stop()
        data = cover.get_data()
        for name in data.measured_files():
            for line, contexts in data.contexts_by_lineno(name).items():
                self._ran[name, line] = {int(number) for number in contexts if number}

    def _measured(self) -> bool:
        """Whether the same tests of the same sources were measured before."""
        if not MEASURED.exists():
            return False
        sources, took, ran = pickle.loads(MEASURED.read_bytes())
        if sources != _sources() or len(took) != len(self._tests):
            return False
        for test, seconds in zip(self._tests, took, strict=True):
            test.took = seconds
        self._ran = ran
        return True

    def _keep_measures(self) -> None:
        MEASURED.parent.mkdir(parents=True, exist_ok=True)
        MEASURED.write_bytes(pickle.dumps((_sources(), [test.took for test in self._tests], self._ran)))

    def _submit(self, pool: Pool, mutant: Mutant, functions: list[FunctionType]) -> None:
        kills = self._kills[mutant.module, mutant.function]
        ran = {number for line in mutant.lines for number in self._ran.get((str(mutant.path), line), ())}
        around = self._kills[mutant.module, ""]
        likely = sorted(
            ran, key=lambda n: (-kills[n], -around[n], not self._tests[n].strict, self._tests[n].took)
        )
        until = accumulate(self._tests[number].took for number in likely)
        chosen = [number for number, took in zip(likely, until, strict=True) if took <= self.enough]

        def done(killed: bool, last: int) -> None:
            if killed:
                kills[last] += 1
                around[last] += 1
            self.told(mutant, killed, self._tests[last].item.nodeid)

        if chosen:
            pool.submit(lambda say: self._try(mutant, functions, chosen, say), done)
        else:
            self.told(mutant, False, "")

    def _try(
        self, mutant: Mutant, functions: list[FunctionType], chosen: list[int], say: Callable[[int], None]
    ) -> int:
        code = code_of(mutant.code, mutant.function)
        for function in functions:
            function.__code__ = code
        for number in chosen:
            say(number)
            test = self._tests[number]
            signal.setitimer(signal.ITIMER_PROF, 1 + PATIENCE * test.took)
            if not _passes(test.item):
                return KILLED
        return SURVIVED


def _sources() -> str:
    files = sorted([*CORE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _passes(item: pytest.Item) -> bool:
    return all(report.passed or report.skipped for report in runtestprotocol(item, log=False, nextitem=None))


def _functions() -> dict[tuple[Path, str], list[FunctionType]]:
    """The functions of the core by file and qualified name, whoever holds them."""
    found: dict[tuple[Path, str], list[FunctionType]] = defaultdict(list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(str(CORE)):
            found[Path(thing.__code__.co_filename), thing.__qualname__].append(thing)
    return found


def run_imported(mutants: Iterable[Mutant], jobs: int, told: Told) -> None:
    """The mutants of what is made at import. The caller has imported nothing of rollbackd."""
    pool = Pool(jobs)
    for mutant in mutants:
        pool.submit(
            lambda say, mutant=mutant: _import_and_test(mutant),  # type: ignore[misc]
            lambda killed, last, mutant=mutant: told(mutant, killed, "at import"),  # type: ignore[misc]
        )
    pool.drain()


def _import_and_test(mutant: Mutant) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
    with _instead(mutant):
        return KILLED if pytest.main([*QUIET, *REWRITTEN, "-x", "--deselect", LEFT_OUT, *TESTS]) else SURVIVED


@contextmanager
def _instead(mutant: Mutant) -> Iterator[None]:
    """While open, importing the mutant's module gives the mutant."""
    get_code = SourceFileLoader.get_code

    def mutated(loader: SourceFileLoader, name: str) -> CodeType | None:
        if Path(loader.path) == mutant.path:
            return compile(mutant.source, loader.path, "exec", dont_inherit=True)
        return get_code(loader, name)

    setattr(SourceFileLoader, "get_code", mutated)  # noqa: B010
    yield
    setattr(SourceFileLoader, "get_code", get_code)  # noqa: B010
