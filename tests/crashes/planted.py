"""`python -m tests.crashes.planted`: whether the power cuts find each defect; status 1 where not."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.crashes.planting import VARIABLE, Plant
from tests.crashes.plants import PLANTS
from tests.crashes.tape import unavailable

FOUND = ", violations 1\n"


def scene_of(plant: Plant) -> str:
    return "step" if plant.module.startswith("rollbackd.world") else "journal"


def look_for(plant: Plant) -> tuple[Plant, bool, str]:
    """Play the power cuts on that defect: whether a promise was broken, and what was said last."""
    command = [sys.executable, "-m", "tests.crashes", "--first", "--scene", scene_of(plant), "--lives", "200"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, VARIABLE: plant.name})
    return plant, FOUND in done.stdout, (done.stdout + done.stderr).strip().rpartition("\n")[2].strip()


def main() -> int:
    options = argparse.ArgumentParser(prog="tests.crashes.planted", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help="only defects whose names hold this")
    chosen = options.parse_args().names
    if why := unavailable():
        print(why, file=sys.stderr)
        return 2
    planted = [plant for plant in PLANTS if not chosen or any(name in plant.name for name in chosen)]
    missed: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for plant, seen, line in pool.map(look_for, planted):
            module = plant.module.partition(".")[2]
            print(f"{module:22} {plant.name:50} {'' if seen else 'MISSED '}{line}"[:250], flush=True)
            if not seen:
                missed.append(f"missed: {module}, {plant.name}")
    print(*missed, f"{len(planted) - len(missed)}/{len(planted)} found", sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
