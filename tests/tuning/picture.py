"""The picture of a backtest in the documents: `python -m tests.tuning.picture FILE`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.tuning.browser import browser
from tests.tuning.month import backtest

from rollbackd.tuning.page import page

WIDTH, HEIGHT = 1000, 1105


def main(path: Path) -> None:
    found = backtest(30.0, cohorts=("canary", "eu-3"))
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "page.html"
        html.write_text(page(found))
        path.write_bytes(asyncio.run(_taken(html.as_uri(), Path(folder) / "browser")))


async def _taken(url: str, folder: Path) -> bytes:
    async with browser(folder) as tab:
        await tab.open(url, WIDTH)
        return await tab.picture(0, HEIGHT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
