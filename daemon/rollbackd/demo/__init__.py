"""`rollbackd demo`: a bad release of a real service, rolled back before your eyes."""

from __future__ import annotations

import asyncio
import io
import shutil
import signal
import sys
import tempfile
from pathlib import Path


def main(headless: bool) -> int:
    """Play the story. 0: rolled back, verified, and nobody sees errors any more; 1: it went otherwise,
    and the folder with the logs is kept. Whatever happens, every process of it is ended."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows only ASCII sees all the same
    folder = Path(tempfile.mkdtemp(prefix="rollbackd-demo-"))
    try:
        problem = asyncio.run(_play(folder, headless))
    except BrokenPipeError:  # nobody looks any more
        shutil.rmtree(folder)
        raise
    except Exception:
        print(f"rollbackd demo: the logs are in {folder / 'logs'}", file=sys.stderr)
        raise
    if problem:
        print(f"rollbackd demo: {problem}\nthe logs are in {folder / 'logs'}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


async def _play(folder: Path, headless: bool) -> str:
    """What went wrong; empty if nothing did."""
    from rollbackd.demo import view as views
    from rollbackd.demo.processes import Failure
    from rollbackd.demo.stage import find_prometheus
    from rollbackd.demo.story import Story

    view = views.make(headless=headless)
    prometheus = find_prometheus()
    if prometheus is None:
        view.say("there is no prometheus here: the same story, on a simulated source")
    playing = asyncio.create_task(Story(folder, view, prometheus=prometheus).play(), name="story")
    interrupted = asyncio.Event()

    def interrupt() -> None:
        if not interrupted.is_set():  # a second Ctrl-C must not cut the tidying short
            interrupted.set()
            playing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        await playing
    except Failure as failure:
        return str(failure)
    except asyncio.CancelledError:
        return "interrupted"
    finally:
        view.close()
    return ""
