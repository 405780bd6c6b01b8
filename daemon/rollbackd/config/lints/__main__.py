"""`python -m rollbackd.config.lints > docs/lints.md`."""

from __future__ import annotations

import sys

from rollbackd.config.lints.registry import document

if __name__ == "__main__":
    sys.stdout.write(document())
