"""The configuration for everyone's eyes: what may hold a secret is left out, and that is seen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from rollbackd.core.model import Config

LEFT_OUT = "<redacted>"

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]+")


def redacted(config: Config | None) -> str:
    """JSON. Values of `env` and the userinfo, query and fragment of URLs are left out; names stay."""
    return msgspec.json.encode(_redacted(msgspec.to_builtins(config))).decode()


def _redacted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _field(key, inner) for key, inner in value.items()}
        case list() | tuple():
            return [_redacted(inner) for inner in value]
        case str():
            return _URL.sub(_url, value)
        case _:
            return value


def _field(key: object, value: Any) -> Any:
    if key == "env" and isinstance(value, dict):
        return dict.fromkeys(value, LEFT_OUT)
    if key == "expr":  # a `?` in a matcher is no query
        return value
    return _redacted(value)


def _url(found: re.Match[str]) -> str:
    try:
        parts = urlsplit(found[0])
    except ValueError:
        return LEFT_OUT
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(
        netloc=f"{LEFT_OUT}@{host}" if at else host,
        query=LEFT_OUT if parts.query else "",
        fragment=LEFT_OUT if parts.fragment else "",
    ).geturl()
