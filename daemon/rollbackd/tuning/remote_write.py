"""Samples into a Prometheus by its remote-write protocol, version 1: the one way in that takes stale markers.

A message is Protocol Buffers (`WriteRequest`: 1 series; a series: 1 labels, 2 samples; a label: 1 name,
2 value; a sample: 1 value, 2 milliseconds) as one uncompressed literal of Snappy's block format.
"""

from __future__ import annotations

import http.client
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from rollbackd.config.series import Mark
from rollbackd.core.model import Ms

Sample: TypeAlias = tuple[Ms, float | Mark]
"""Of an absent mark there is no sample."""

Labelled: TypeAlias = tuple[Mapping[str, str], Iterable[Sample]]
"""One series, its samples in order of time."""

FLAG = "--web.enable-remote-write-receiver"
MOST_BYTES = 1 << 20
"""Of one message; Prometheus takes no more than 32 MiB."""

_STALE = struct.pack("<Q", 0x7FF0000000000002)


class Refused(Exception):
    """Prometheus did not take the samples: what it said, in one line."""


def write(url: str, series: Iterable[Labelled]) -> None:
    """Store the samples. Raises Refused."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    try:
        for message in _messages(series):
            connection.request("POST", f"{address.path.rstrip('/')}/api/v1/write", literal(message), headers)
            answer = connection.getresponse()
            said = answer.read(1000).decode(errors="replace").strip()
            if answer.status // 100 != 2:
                raise Refused(f"status {answer.status}: {' '.join(said.split())}")
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"no answer ({type(error).__name__}: {error})") from error
    finally:
        connection.close()


def _messages(series: Iterable[Labelled]) -> Iterator[bytes]:
    message = bytearray()
    for labels, samples in series:
        message += _field(1, _series(labels, samples))
        if len(message) >= MOST_BYTES:
            yield bytes(message)
            message.clear()
    if message:
        yield bytes(message)


def _series(labels: Mapping[str, str], samples: Iterable[Sample]) -> bytes:
    pairs = sorted(labels.items())
    encoded = [_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in pairs]
    encoded += [_field(2, _sample(at, value)) for at, value in samples if value is not Mark.ABSENT]
    return b"".join(encoded)


def _sample(at: Ms, value: float | Mark) -> bytes:
    number = struct.pack("<d", value) if isinstance(value, float) else _STALE
    return b"\x09" + number + b"\x10" + _varint(at)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def literal(data: bytes) -> bytes:
    """As Snappy's block format, without compressing. Not for no bytes at all."""
    return _varint(len(data)) + b"\xfc" + (len(data) - 1).to_bytes(4, "little") + data
