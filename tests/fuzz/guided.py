"""One target under atheris: `python -m tests.fuzz.guided TARGET [libFuzzer's options]`."""

from __future__ import annotations

import sys

import atheris
from tests.fuzz.targets import target


def main() -> None:
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["rollbackd"]):
        one = target(name)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
