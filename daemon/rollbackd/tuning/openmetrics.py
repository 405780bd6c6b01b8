"""OpenMetrics text, asked through a Prometheus of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rollbackd.core.model import Ms
from rollbackd.core.notation import visible
from rollbackd.tuning import answers
from rollbackd.tuning.answers import BadFile
from rollbackd.tuning.temporary import Unavailable, temporary_prometheus, unwound_by_signals

# It reads the whole file anew for each block, so a month of two-hour blocks would take hours.
CREATE_BLOCKS: Final = (
    "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=10000h"
)  # fmt: skip


@contextmanager
def openmetrics(path: Path) -> Iterator[tuple[str, Ms, Ms]]:
    """A Prometheus that holds the samples of a file of OpenMetrics text: its URL, and the times of its first
    and last sample. Raises BadFile, Unavailable."""
    promtool = shutil.which("promtool")
    if promtool is None:
        raise Unavailable(
            f"{path} is OpenMetrics text, and there is no `promtool` on the PATH to read it; "
            "install it (Debian: apt install prometheus)"
        )
    with unwound_by_signals(), TemporaryDirectory(prefix="rollbackd-backtest-") as temporary:
        folder = Path(temporary)
        plain = path.resolve()
        if answers.packed(path):
            plain = folder / "plain.om"
            plain.write_bytes(answers.content(path))
        blocks = folder / "data"
        done = subprocess.run(
            [promtool, *CREATE_BLOCKS, str(plain), str(blocks)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode:
            raise BadFile(f"{path}: not OpenMetrics text: {_complaint(done.stderr)}")
        begin, end = _times_of(path, blocks)
        with temporary_prometheus(folder, flags=["--storage.tsdb.retention.time=100y"]) as url:
            yield url, begin, end


def _complaint(said: str) -> str:
    """What promtool found wrong. That the end is missing is what is wrong most often."""
    first = next((line.strip() for line in said.splitlines() if line.strip()), "promtool does not say why")
    first = first.removeprefix("getting min and max timestamp: ").removeprefix("next: ")
    return visible(first, 300)


def _times_of(path: Path, blocks: Path) -> tuple[Ms, Ms]:
    metas = [json.loads(meta.read_text()) for meta in blocks.glob("*/meta.json")]
    if not metas:
        raise BadFile(f"{path}: it holds no sample")
    return min(meta["minTime"] for meta in metas), max(meta["maxTime"] for meta in metas) - 1
