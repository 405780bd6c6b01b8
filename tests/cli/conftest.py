from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.fake import FakeDaemon, listening

from rollbackd.cli import captures, poll


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "INTERVAL", 0.02)
    monkeypatch.setattr(captures, "EVERY", 0.02)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with listening(FakeDaemon(tmp_path / "d.sock")) as fake:
        yield fake
