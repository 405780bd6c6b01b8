"""`python -m tests.crashes`: power cuts at the level of bytes; status 1 where one broke a promise."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.crashes import planting

planting.install_ordered()

from tests.crashes.campaign import SCENES, Bounds, Campaign, Scene, environment, memory  # noqa: E402
from tests.crashes.tape import unavailable  # noqa: E402


def main() -> int:
    options = argparse.ArgumentParser(prog="tests.crashes", description=__doc__)
    options.add_argument("--scene", choices=[scene.name for scene in SCENES])
    options.add_argument("--lives", type=int, default=40, help="second lives a scene")
    options.add_argument("--states", type=int, help="of a first life, at most (all)")
    options.add_argument("--seed", type=int, default=1, help="of the random choices")
    options.add_argument("--first", action="store_true", help="enough is known at the first violation")
    chosen = options.parse_args()
    if why := unavailable():
        print(why, file=sys.stderr)
        return 2
    bounds = Bounds(states=chosen.states, lives=chosen.lives)
    if chosen.first:
        bounds = replace(bounds, violations=1, states=1_500, states_of_a_life=150)
    scenes = [scene for scene in SCENES if chosen.scene in (None, scene.name)]
    return 1 if sum(play(scene, bounds, chosen.seed) for scene in scenes) else 0


def play(scene: Scene, bounds: Bounds, seed: int) -> int:
    """Print what was tried and what broke; how much broke."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crashes-", dir=memory()) as place:
        tally = Campaign(scene, Path(place), environment(), seed).run(bounds)
    lines = [
        f"{scene.name}: {tally.programs} programs recorded, {tally.moments} moments, {tally.states} states "
        f"tried in {time.monotonic() - began:.0f} s, violations {len(tally.violations)}",
        *tally.violations,
    ]
    print("\n  ".join(lines), flush=True)
    return len(tally.violations)


if __name__ == "__main__":
    sys.exit(main())
