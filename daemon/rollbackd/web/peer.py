"""Who is at the other end of the unix socket."""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct
from typing import TYPE_CHECKING

from rollbackd.web.answers import Problem

if TYPE_CHECKING:
    from aiohttp import web

_UCRED = struct.Struct("3i")  # pid, uid, gid


async def actor(request: web.Request) -> str:
    """The user's name by the peer's credentials; `uid=N` where it has none."""
    transport = request.transport
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family != socket.AF_UNIX:
        raise Problem("unavailable", "the connection is gone")
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return await asyncio.to_thread(_name, uid)  # a directory service may be slow


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid={uid}"
