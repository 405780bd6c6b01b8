"""`python -m tests.mutation [MODULE …]`: how many mutants of the core the tests tell from it.

Exit status 1 where one survives that `equivalent.toml` does not explain. What was found stays in
build/mutants/MODULE.json; `--survivors` runs only those that survived last time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.mutants import CORE, ROOT, Key, Mutant, module_of, mutants
from tests.mutation.running import Campaign, prepare, run_imported

FOUND = ROOT / "build/mutants"
EXPLAINED = Path(__file__).with_name("equivalent.toml")

FIELDS = ("module", "function", "was", "now")


@dataclass
class Tally:
    """What became of the mutants of one module."""

    name: str
    killed: set[Key] = field(default_factory=set)
    survived: dict[Key, str] = field(default_factory=dict)  # and the last test that did not see it

    @property
    def file(self) -> Path:
        return FOUND / f"{self.name}.json"

    def load(self) -> None:
        if self.file.exists():
            found = json.loads(self.file.read_text())
            self.killed = {_key(key) for key in found["killed"]}
            self.survived = {_key(key): by for key, by in found["survived"]}

    def save(self) -> None:
        FOUND.mkdir(parents=True, exist_ok=True)
        found = {"killed": sorted(self.killed), "survived": sorted(self.survived.items())}
        self.file.write_text(json.dumps(found, indent=1, ensure_ascii=False))

    def note(self, mutant: Mutant, killed: bool, by: str) -> None:
        self.killed.discard(mutant.key)
        self.survived.pop(mutant.key, None)
        if killed:
            self.killed.add(mutant.key)
        else:
            self.survived[mutant.key] = by

    def forget_but(self, alive: set[Key]) -> None:
        """Earlier sources had other mutants."""
        self.killed &= alive
        self.survived = {key: by for key, by in self.survived.items() if key in alive}


def _key(parts: Sequence[str | int]) -> Key:
    module, function, was, now, nth = parts
    return str(module), str(function), str(was), str(now), int(nth)


class Explained:
    """Survivors that no test can tell, or none should, each with its reason. A field left out fits all."""

    def __init__(self) -> None:
        self.entries = tomllib.loads(EXPLAINED.read_text())["equivalent"]
        self.used: set[int] = set()

    def explains(self, key: Key) -> bool:
        for number, entry in enumerate(self.entries):
            if all(entry.get(name, part) == part for name, part in zip(FIELDS, key, strict=False)):
                self.used.add(number)
                return True
        return False

    def idle(self) -> list[str]:
        """Entries that met no survivor: killed by now, gone, or of a module that did not run."""
        return [
            f"{e.get('module')}: {e.get('was')}" for n, e in enumerate(self.entries) if n not in self.used
        ]


def main() -> int:
    arguments = _arguments()
    prepare()
    found = {module_of(path): path for path in sorted(CORE.rglob("*.py"))}
    names = arguments.modules or list(found)
    tallies = {name: Tally(name) for name in names}
    for tally in tallies.values():
        tally.load()

    def told(mutant: Mutant, killed: bool, by: str) -> None:
        tallies[mutant.module].note(mutant, killed, by)
        tallies[mutant.module].save()

    def chosen(*, imported: bool) -> Iterator[Mutant]:
        for name, tally in tallies.items():
            known = set(tally.survived)
            alive = set()
            for mutant in mutants(found[name], arguments.every):
                alive.add(mutant.key)
                if imported is not bool(mutant.function) and (not arguments.survivors or mutant.key in known):
                    yield mutant
            if arguments.every == 1:
                tally.forget_but(alive)

    campaign = Campaign(chosen(imported=False), arguments.jobs, arguments.enough, told)
    with chdir(ROOT):
        if arguments.imported:
            run_imported(chosen(imported=True), arguments.jobs, told)
        else:
            campaign.run()
    for tally in tallies.values():
        tally.save()
    if campaign.failed:
        print("these fail without any mutant:", *campaign.failed, sep="\n  ")
        return 2
    return _report(tallies.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as windows or fold.life; all of the core")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every", type=int, default=1, help="a sample: only each such mutant")
    parser.add_argument("--enough", type=float, default=10.0, help="CPU seconds of tests for one mutant")
    parser.add_argument("--survivors", action="store_true", help="only those that survived last time")
    parser.add_argument("--imported", action="store_true", help="constants and defaults instead (slow)")
    return parser.parse_args()


def _report(tallies: Iterable[Tally]) -> int:
    explained = Explained()
    unexplained = 0
    print(f"{'module':<16}{'mutants':>8}{'killed':>8}{'explained':>11}{'alive':>7}{'score':>8}")
    killed = known = 0
    for tally in tallies:
        alive = [key for key in sorted(tally.survived) if not explained.explains(key)]
        equal = len(tally.survived) - len(alive)
        killed, known, unexplained = killed + len(tally.killed), known + equal, unexplained + len(alive)
        _line(tally.name, len(tally.killed), equal, len(alive))
        for _, function, was, now, _ in alive:
            print(f"    {function}\n      - {_indented(was)}\n      + {_indented(now)}")
    _line("all", killed, known, unexplained)
    for entry in explained.idle():
        print("explains nothing here:", entry)
    return 1 if unexplained else 0


def _line(name: str, killed: int, explained: int, alive: int) -> None:
    total = killed + explained + alive
    score = f"{100 * killed / (killed + alive):.1f} %" if killed + alive else "–"
    print(f"{name:<16}{total:>8}{killed:>8}{explained:>11}{alive:>7}{score:>8}")


def _indented(text: str) -> str:
    return text.replace("\n", "\n        ")


if __name__ == "__main__":
    sys.exit(main())
