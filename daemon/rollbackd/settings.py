"""Where the world's parts are and how they are spoken to: plain data, made by `config`, used by `world`.

Field names follow Prometheus' `http_config` where it has them. Durations are milliseconds. Secrets
given in the file stay out of every `repr`; secrets in files are read when they are needed, so that
rotation works, and relative file names have been resolved by whoever made these values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """At most one of `password` and `password_file`."""

    username: str
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """`Authorization: TYPE CREDENTIALS`. Exactly one of `credentials` and `credentials_file`."""

    type: str = "Bearer"
    credentials: str | None = field(default=None, repr=False)
    credentials_file: str | None = None


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """`cert_file` and `key_file` come together. `ca_file` replaces the system's authorities."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False
    min_version: TlsVersion | None = None


@dataclass(frozen=True, slots=True)
class HttpHeader:
    """The values of one header: those of all three lists are sent."""

    values: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How to speak to an HTTP server. At most one of `basic_auth` and `authorization`."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TlsConfig = TlsConfig()
    http_headers: Mapping[str, HttpHeader] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """`urls` in order of preference, each with its path prefix (`http://host:9090/prom`).

    `timeout` bounds one request, whatever the budget of the question it belongs to. `params` are added
    to every request. `max_body_bytes` caps an answer as sent and after decompression.
    """

    urls: tuple[str, ...]
    timeout: int = 10_000
    params: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: Literal["unusable", "ignore"] = "unusable"
    http: HttpSettings = HttpSettings()
    max_body_bytes: int = 64 * 1024 * 1024
    concurrency: int = 12


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """`secret_file` holds the HMAC key; it is read at each delivery."""

    name: str
    url: str = field(repr=False)  # chat services put their token into it
    secret_file: str | None = None
    http: HttpSettings = HttpSettings()
    timeout: int = 10_000


@dataclass(frozen=True, slots=True)
class AlertmanagerSettings:
    """`urls` are all peers of one cluster: each is told (they deduplicate among themselves)."""

    name: str
    urls: tuple[str, ...]
    http: HttpSettings = HttpSettings()
    timeout: int = 10_000


ReceiverSettings: TypeAlias = WebhookSettings | AlertmanagerSettings


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How long the journal's bodies are kept (ms), and where the chain's head is published (I13)."""

    keep: int = 365 * 86_400_000
    anchor_file: str | None = None
    anchor_url: WebhookSettings | None = None
