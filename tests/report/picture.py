"""The picture of a report in the documents: `python -m tests.report.picture FILE`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.report.lives import verified
from tests.tuning.browser import browser

from rollbackd.report.page import page

WIDTH, HEIGHT = 1000, 1470


def main(path: Path) -> None:
    one = verified(slow=2)
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "page.html"
        html.write_text(page(one.life, one.rows))
        path.write_bytes(asyncio.run(_taken(html.as_uri(), Path(folder) / "browser")))


async def _taken(url: str, folder: Path) -> bytes:
    async with browser(folder) as tab:
        await tab.open(url, WIDTH)
        return await tab.picture(0, HEIGHT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
