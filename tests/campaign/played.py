"""What stands around a daemon, played: a Prometheus that knows what is bad, a receiver that counts pages."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

from tests.servers import Threaded

Mood = Literal["answers", "fails", "refuses", "freezes", "garbles"]
MOODS: tuple[Mood, ...] = ("fails", "refuses", "freezes", "garbles")
SCRAPE = 0.1


class Played(Threaded):
    """Answers `time()`, `bad` and the time of its newest sample, for any moment, the past included.

    `bad` is 1 from `breaks(mark)` until the file `mark` was made. A `mood` other than "answers" is a fault.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mood: Mood = "answers"
        self._changed = threading.Event()
        self._breaks: list[tuple[float, Path]] = []

    @property
    def mood(self) -> Mood:
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self._mood = mood
        changed, self._changed = self._changed, threading.Event()
        changed.set()

    def breaks(self, mark: Path) -> None:
        self._breaks = [*self._breaks[-20:], (time.time(), mark)]

    def bad(self, at: float) -> bool:
        at -= at % SCRAPE
        return any(since <= at and not _made_by(mark, at) for since, mark in self._breaks)

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        mood = self._mood
        if mood == "freezes":
            self._changed.wait(30)
        if mood in ("refuses", "freezes"):
            handler.close_connection = True
            return
        answer = json.dumps({"status": "success", "data": self._data(form)}).encode()
        if mood == "garbles":
            answer = answer[: len(answer) // 2]
        handler.send_response(503 if mood == "fails" else 200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _data(self, form: dict[str, str]) -> dict[str, Any]:
        now, expr = time.time(), form["query"]
        if expr == "time()":
            return {"resultType": "scalar", "result": [now, f"{now:.3f}"]}
        if "start" not in form:
            at = float(form.get("time", now))
            return {"resultType": "vector", "result": [{"metric": {}, "value": [at, self._value(expr, at)]}]}
        start, end, step = (
            float(form["start"]),
            float(form["end"]),
            float(form["step"].removesuffix("ms")) / 1000,
        )
        moments = [start + index * step for index in range(int((end - start) / step + 1e-6) + 1)]
        values = [[at, self._value(expr, at)] for at in moments]
        return {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}

    def _value(self, expr: str, at: float) -> str:
        if "timestamp(" in expr:
            return f"{at - at % SCRAPE:.3f}"
        return str(int(self.bad(at)))


def _made_by(mark: Path, at: float) -> bool:
    try:
        return mark.stat().st_mtime <= at
    except FileNotFoundError:
        return False


class Receiver(Threaded):
    """Takes pages, and counts by rollback those it accepted; with another `status` it accepts none."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.pages: Counter[str] = Counter()

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        page = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        status = self.status
        if status == 200 and (page["kind"], page["status"]) == ("page", "firing"):
            self.pages[page["annotations"].get("rollback", "")] += 1
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
