"""`python -m tests.fuzz --seconds N [TARGET …]`: coverage-guided fuzzing (atheris), a process a target.

It begins from the kept corpus and from what earlier runs left in build/fuzz/TARGET/. A finding is made
small, joins the kept corpus, and the exit status is 1. `--keep` adds what reaches further, within bounds.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from tests.fuzz.smaller import smaller
from tests.fuzz.targets import CORPUS, HERE, TARGETS, target

ROOT = HERE.parents[1]
FOUND = ROOT / "build/fuzz"

LONGEST = 4096  # bytes of an input
HANG = 2  # s: libFuzzer counts whole seconds, and one can be the machine's
MEMORY = 1024  # MiB
KEPT = 60  # files of a target's corpus


def main() -> int:
    arguments = _arguments()
    found = []
    for name in arguments.targets or TARGETS:
        (FOUND / name).mkdir(parents=True, exist_ok=True)
        print(f"== {name}", flush=True)
        found += _run(name, arguments.seconds)
        if arguments.keep:
            _keep(name)
    for path in found:
        print(f"found: {path.relative_to(ROOT)}")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="add to the kept corpus what reaches further")
    return parser.parse_args()


def _run(name: str, seconds: int) -> list[Path]:
    """Fuzz once; what was found, small."""
    crash = FOUND / f"{name}.crash"
    crash.unlink(missing_ok=True)
    ended = _fuzz(
        name, f"-max_total_time={seconds}", f"-exact_artifact_path={crash}", _folder(name), _kept(name)
    )
    if ended == 0:
        return []
    if not crash.exists():
        raise SystemExit(f"{name}: the fuzzer itself failed, status {ended}")
    return [_join(name, smaller(target(name), crash.read_bytes(), seconds))]


def _fuzz(name: str, *options: str) -> int:
    bounds = (f"-timeout={HANG}", f"-rss_limit_mb={MEMORY}", f"-max_len={LONGEST}", "-print_final_stats=1")
    command = [sys.executable, "-m", "tests.fuzz.guided", name, *bounds, *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _folder(name: str) -> str:
    return str(FOUND / name)


def _kept(name: str) -> str:
    return str(CORPUS / name)


def _join(name: str, raw: bytes) -> Path:
    kept = CORPUS / name / f"found-{hashlib.sha256(raw).hexdigest()[:12]}"
    kept.write_bytes(raw)
    return kept


def _keep(name: str) -> None:
    """The smallest inputs that reach all there is to reach, as far as there is room."""
    merged = FOUND / f"{name}.merged"
    merged.mkdir(exist_ok=True)
    for path in merged.iterdir():
        path.unlink()
    _fuzz(name, "-merge=1", str(merged), _kept(name), _folder(name))
    known = {path.read_bytes() for path in (CORPUS / name).iterdir()}
    further = sorted(
        {path.read_bytes() for path in merged.iterdir()} - known, key=lambda raw: (len(raw), raw)
    )
    for raw in further[: max(0, KEPT - len(known))]:
        (CORPUS / name / hashlib.sha256(raw).hexdigest()[:12]).write_bytes(raw)


if __name__ == "__main__":
    sys.exit(main())
