"""The command line: `rollbackd`."""

from rollbackd.cli.program import main

__all__ = ["main"]
