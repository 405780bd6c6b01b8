"""Telling systemd how the daemon is (sd_notify(3)): one datagram."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the service manager where there is one; elsewhere every call does nothing.

    A manager that does not listen is not the daemon's problem: a datagram that cannot be sent is
    reported by `False`.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket's name begins with a zero byte, which the environment writes as "@".
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = _watchdog_interval(environ)

    def ready(self, status: str = "") -> bool:
        return self._send("READY=1", *_status(status))

    def reloading(self, monotonic_us: int) -> bool:
        """Before a reload; `ready` ends it. `monotonic_us`: CLOCK_MONOTONIC in microseconds."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")

    def stopping(self, status: str = "") -> bool:
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """Feed the watchdog: only after real work was done (fault 4)."""
        return self._send("WATCHDOG=1")

    def watchdog_interval(self) -> int | None:
        """How often at least the watchdog wants to be fed, ms (half of WatchdogSec); None: never."""
        return self._watchdog

    def _send(self, *lines: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.splitlines())}",) if text else ()


def _watchdog_interval(environ: Mapping[str, str]) -> int | None:
    """WATCHDOG_USEC / 2, where it is meant for this process (WATCHDOG_PID)."""
    interval, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not interval.isdecimal() or int(interval) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return max(1, int(interval) // 2000)
