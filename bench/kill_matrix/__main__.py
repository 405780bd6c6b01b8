"""The kill matrix: `python bench/kill_matrix [--only PEER]… [--situation x]… [--keep DIR]`.

One lane a peer, side by side, each cell with a Prometheus, ports and folders of its own; all of it in some
twelve minutes. A whole run writes RESULTS.md and results.json; a part prints its rows. Exit 1 where
rollbackd's row is not ok throughout.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from judge import Verdict, judge  # noqa: E402 - tests/ is found from the root only now
from peers import PEERS  # noqa: E402
from peers.base import Peer, packages  # noqa: E402
from situations import SITUATIONS, Situation  # noqa: E402
from table import Row, summary, write  # noqa: E402
from world import Cell, MountRefused  # noqa: E402


def main() -> int:
    arguments = _arguments()
    peers = [PEERS[key] for key in arguments.only or PEERS]
    situations = [SITUATIONS[key] for key in arguments.situation or SITUATIONS]
    with tempfile.TemporaryDirectory(prefix="matrix-", ignore_cleanup_errors=True) as scratch:
        folder = Path(arguments.keep or scratch).resolve()
        rows = side_by_side(peers, situations, folder)
    if len(peers) == len(PEERS) and len(situations) == len(SITUATIONS):
        write(HERE, rows, machine())
    print(summary(rows))
    return int(any(row.key == "rollbackd" and not _clean(row) for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/kill_matrix", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=PEERS, metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--situation", action="append", choices=SITUATIONS, metavar="a…i")
    parser.add_argument("--keep", metavar="DIR", help="a new folder, where each cell's files and logs stay")
    return parser.parse_args()


def _clean(row: Row) -> bool:
    return all(isinstance(cell, Verdict) and not cell.faults for cell in row.cells.values())


def machine() -> str:
    date = datetime.datetime.now(datetime.UTC).date()
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{date}, {os.cpu_count()} cores, {kernel}, {packages('prometheus')}."


def side_by_side(peers: list[type[Peer]], situations: list[Situation], folder: Path) -> list[Row]:
    """A lane each. Interrupted, each ends the cell it is in: what it started must be ended."""
    over = threading.Event()
    with ThreadPoolExecutor(len(peers)) as lanes:
        rows = lanes.map(lambda peer: lane(peer, situations, folder, over), peers)
        try:
            return list(rows)
        finally:
            over.set()


def lane(peer: type[Peer], situations: list[Situation], folder: Path, over: threading.Event) -> Row:
    if reason := peer.missing():
        return Row(peer.key, peer.title, "not run", peer.note, {each.key: reason for each in situations}, {})
    cells: dict[str, Verdict | str] = {}
    notes: dict[str, list[str]] = {}
    for situation in situations:
        if over.is_set():
            break
        cells[situation.key], notes[situation.key] = play(peer, situation, folder / peer.key / situation.key)
        print(f"{peer.key} ({situation.key}): {_say(cells[situation.key])}", file=sys.stderr, flush=True)
    return Row(peer.key, peer.title, peer.version(), peer.note, cells, notes)


def _say(cell: Verdict | str) -> str:
    return cell if isinstance(cell, str) else "; ".join(cell.faults) or "ok"


def play(kind: type[Peer], situation: Situation, folder: Path) -> tuple[Verdict | str, list[str]]:
    """One cell. A harness that fails says so in the cell: that is no verdict on the peer."""
    try:
        with Cell(folder, situation.needs) as cell:
            cell.due = situation.due
            peer = kind(cell)
            try:
                peer.start()
                situation.play(cell, peer)
                evidence = cell.evidence()
            finally:
                peer.stop()
            return judge(evidence), cell.notes
    except MountRefused as refused:
        return f"no tmpfs: {refused}", []
    except Exception as failed:
        traceback.print_exc()
        return f"the harness failed: {type(failed).__name__}", []


if __name__ == "__main__":
    sys.exit(main())
