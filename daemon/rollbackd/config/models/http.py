"""How to speak to an HTTP server, as Prometheus spells it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rollbackd.config.models.base import Model, any_of, at_most_one, needs, one_of
from rollbackd.config.models.types import HEADER, Text
from rollbackd.settings import TlsVersion

FilePath = Annotated[str, Text(most=4096)]
Secret = Annotated[str, Text(most=4096, secret=True)]


class BasicAuthModel(Model):
    rules = (at_most_one("password", "password_file"),)

    username: Annotated[str, Text(secret=True), Field(description="who signs in")]
    password: Annotated[Secret | None, Field(description="better: password_file")] = None
    password_file: Annotated[FilePath | None, Field(description="a file that holds the password")] = None


class AuthorizationModel(Model):
    rules = (one_of("credentials_file", "credentials"),)

    type: Annotated[str, Text(), Field(description="the scheme")] = "Bearer"
    credentials: Annotated[Secret | None, Field(description="better: credentials_file")] = None
    credentials_file: Annotated[FilePath | None, Field(description="a file that holds the token")] = None


class TlsConfigModel(Model):
    rules = (needs("cert_file", "key_file"), needs("key_file", "cert_file"))

    ca_file: Annotated[FilePath | None, Field(description="in place of the system's authorities")] = None
    cert_file: Annotated[FilePath | None, Field(description="our certificate")] = None
    key_file: Annotated[FilePath | None, Field(description="its key")] = None
    server_name: Annotated[
        Annotated[str, Text()] | None, Field(description="the name the server's certificate must have")
    ] = None
    insecure_skip_verify: Annotated[bool, Field(description="believe any certificate")] = False
    min_version: Annotated[TlsVersion | None, Field(description="the oldest TLS that is spoken")] = None


class HttpHeaderModel(Model):
    rules = (any_of("values", "secrets", "files"),)

    values: Annotated[
        list[Secret], Field(default_factory=list, description="as they are. One header for each")
    ]
    secrets: Annotated[list[Secret], Field(default_factory=list, description="never shown")]
    files: Annotated[
        list[FilePath],
        Field(default_factory=list, description="read at each request. So that they may change"),
    ]


class HttpModel(Model):
    rules = (at_most_one("basic_auth", "authorization"),)

    basic_auth: Annotated[BasicAuthModel | None, Field(description="user and password. HTTP Basic")] = None
    authorization: Annotated[
        AuthorizationModel | None, Field(description="a token. In the header Authorization")
    ] = None
    tls_config: Annotated[TlsConfigModel, Field(description="certificates. For https")] = TlsConfigModel()
    http_headers: Annotated[
        dict[Annotated[str, HEADER], HttpHeaderModel],
        Field(default_factory=dict, description="sent with each request. By the name of the header"),
    ]
