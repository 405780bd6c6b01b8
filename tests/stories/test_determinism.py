"""One tape, two hash seeds, the same bytes; and a second live run of the same process."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.fakes.story import Story
from tests.stories.catalog import plots

ROOT = Path(__file__).parents[2]


def digests() -> str:
    """A hash of the journal of every story."""
    lines = []
    for name, make in plots().items():
        plot = make()
        one = Story(plot.config, plot.world())
        plot.play(one)
        lines.append(f"{name} {sha256(one.journal.dump()).hexdigest()}")
    return "\n".join(lines)


def test_two_hash_seeds_write_the_same_journal() -> None:
    script = "from tests.stories.test_determinism import digests; print(digests())"
    path = os.pathsep.join((str(ROOT), str(ROOT / "daemon")))
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.strip()
        for seed in ("1", "4242")
    ]
    assert printed[0] == printed[1] == digests()
