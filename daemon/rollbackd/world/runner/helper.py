"""The warm helper: a small process that forks wrappers, so that the large daemon never forks (rule X3).

It has one thread and keeps nothing. Each packet on its socket is a request and comes with one
descriptor, the wrapper's connection to the daemon. At the daemon's end it ends; its wrappers live on.
"""

from __future__ import annotations

import array  # noqa: F401 - socket.recv_fds imports it when called; the files may have been replaced by then
import contextlib
import gc
import os
import signal
import socket
import sys

from rollbackd.world.runner import wrapper

PACKET_BYTES = 128 * 1024


def main(fd: int) -> None:
    requests = socket.socket(fileno=fd)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, PACKET_BYTES, 1)
        if not request:
            return
        if descriptors:
            _fork(request, socket.socket(fileno=descriptors[0]))


def _fork(request: bytes, connection: socket.socket) -> None:
    try:
        child = os.fork()
    except OSError as error:
        with contextlib.suppress(OSError):
            connection.send(f"error cannot fork: {error.strerror}".encode())
        connection.close()
        return
    if child:
        connection.close()
        return
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        wrapper.become(request, connection)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
