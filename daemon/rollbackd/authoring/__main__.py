"""Writes what is generated from the models into a checkout: `python -m rollbackd.authoring [ROOT]`."""

from __future__ import annotations

import sys
from pathlib import Path

from rollbackd.authoring.generated import generated


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, text in generated().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path)


if __name__ == "__main__":
    main()
