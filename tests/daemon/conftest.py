from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A service, a Prometheus that has scraped it, and a configuration; the daemon is not started."""
    with Rig(tmp_path) as made:
        yield made
