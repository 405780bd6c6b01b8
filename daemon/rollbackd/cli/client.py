"""Speaks to the daemon: HTTP over its unix socket, or over TCP for reading."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from rollbackd.cli.errors import Exit, Failed, Unreachable

TIMEOUT = 10.0
MOST_BYTES = 64 << 20

_OUTCOMES = {
    "conflict": Exit.CONFLICT,
    "bad_data": Exit.NO,
    "not_found": Exit.NO,
    "forbidden": Exit.NO,
    "unavailable": Exit.CANNOT_TELL,
    "internal": Exit.CANNOT_TELL,
}
_BY_STATUS = {400: "bad_data", 403: "forbidden", 404: "not_found", 409: "conflict", 412: "conflict"}


class Answer(NamedTuple):
    status: int
    body: bytes
    date: datetime  # the daemon's wall clock, for display


class UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("rollbackd", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """One daemon, by its socket or its URL. Each request has a connection of its own: threads may share it.

    `get` and `post` return the envelope's data. Failed: the daemon refused. Unreachable: it did not
    answer, or nothing that can be understood.
    """

    def __init__(self, where: str, connect: Callable[[], HTTPConnection], prefix: str = "") -> None:
        self.where = where
        self.now = datetime.now(UTC)
        self._connect = connect
        self._prefix = prefix

    def get(self, *parts: str, **query: str) -> Any:
        return self._data(self._ask("GET", path(*parts, **query)))

    def post(self, *parts: str, body: Mapping[str, object], revision: int | None = None) -> Any:
        headers = {} if revision is None else {"If-Match": str(revision)}
        return self._data(self._ask("POST", path(*parts), json.dumps(body).encode(), headers))

    def text(self, *parts: str, **query: str) -> str:
        """A document as it is. Failed, Unreachable, as `get`."""
        answer = self._ask("GET", path(*parts, **query))
        if answer.status != 200:
            raise self.refusal(answer)
        return answer.body.decode("utf-8", "replace")

    def ask(self, method: str, *parts: str) -> Answer:
        """As it was answered, whatever the status."""
        return self._ask(method, "/" + "/".join(parts), b"{}" if method == "POST" else None)

    def _ask(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self._connect()
        sent = False
        try:
            connection.connect()
            sent = True
            kind = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, self._prefix + target, body, {**kind, **(headers or {})})
            response = connection.getresponse()
            found = response.read(MOST_BYTES + 1)
            if response.length and len(found) <= MOST_BYTES:
                raise IncompleteRead(found, response.length)
            answer = Answer(response.status, found, _date(response.getheader("Date")))
        except (OSError, HTTPException) as error:
            raise Unreachable(self._why(error, sent and method == "POST")) from error
        finally:
            connection.close()
        if len(answer.body) > MOST_BYTES:
            raise Unreachable(f"{self.where}: an answer of over {MOST_BYTES >> 20} MiB; is this rollbackd?")
        self.now = answer.date
        return answer

    def _why(self, error: Exception, unsure: bool) -> str:
        if unsure:
            return (
                f"{self.where}: no answer ({_reason(error)}); it may or may not have been done: "
                "look with `rollbackd status`, saying it again does no harm"
            )
        match error:
            case FileNotFoundError():
                what, remedy = "there is no such socket", "start the daemon, or name its --socket"
            case PermissionError():
                what, remedy = "permission denied", "join the group of the socket, or use sudo"
            case ConnectionRefusedError():
                what, remedy = "nobody listens", "see `systemctl status rollbackd`"
            case TimeoutError():
                what, remedy = "no answer in time", "see `journalctl -u rollbackd`"
            case _:
                what, remedy = _reason(error), "see `systemctl status rollbackd`"
        return f"{self.where}: {what}; {remedy}"

    def _data(self, answer: Answer) -> Any:
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
        if isinstance(document, dict) and document.get("status") == "success" and answer.status < 300:
            return document.get("data")
        raise self.refusal(answer)

    def refusal(self, answer: Answer) -> Failed:
        """What the daemon said in place of data, with the status for scripts."""
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict) or document.get("status") != "error":
            code = _OUTCOMES.get(_BY_STATUS.get(answer.status, ""), Exit.CANNOT_TELL)
            return Failed(f"{self.where}: HTTP {answer.status}, and no answer of rollbackd's", code)
        kind = document.get("errorType") or _BY_STATUS.get(answer.status, "")
        code = _OUTCOMES.get(kind) or _OUTCOMES.get(_BY_STATUS.get(answer.status, ""), Exit.CANNOT_TELL)
        return Failed(str(document.get("error") or f"HTTP {answer.status}"), code)


def over_socket(path: str, timeout: float = TIMEOUT) -> Daemon:
    return Daemon(path, lambda: UnixConnection(path, timeout))


def over_tcp(url: str, timeout: float = TIMEOUT) -> Daemon:
    """ValueError: not the URL of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError(f"not a URL like http://127.0.0.1:9797: {url}")
    host, port = parts.hostname, parts.port
    make = HTTPConnection if parts.scheme == "http" else HTTPSConnection
    return Daemon(url, lambda: make(host, port, timeout=timeout), parts.path.rstrip("/"))


def path(*parts: str, **query: str) -> str:
    """`/api/v1/` and the parts, each quoted."""
    found = "/api/v1/" + "/".join(quote(part, safe="") for part in parts)
    return f"{found}?{urlencode(query)}" if query else found


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return said or str(error) or type(error).__name__


def _date(header: str | None) -> datetime:
    try:
        return parsedate_to_datetime(header or "").astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)
