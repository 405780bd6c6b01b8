"""One HTTP client for everything the daemon speaks to: bounded in time and size, no redirects.

Authentication and TLS are spelled as in Prometheus' `http_config`; files are read anew for each
request, so that rotated secrets and certificates are used at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import Final

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from rollbackd.core.model import Ms
from rollbackd.settings import HttpSettings, TlsConfig

_STEP: Final = 1 << 20  # decompress at most this much before the loop may go on

_TLS_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


class Unanswered(Exception):
    """No whole answer came; the message says why, in one line and without secrets."""


class OutOfDescriptors(Unanswered):
    """This process, or the machine, has no file descriptor left (fault 7)."""


class Closed(Unanswered):
    """The client was closed meanwhile: the configuration was replaced, or the daemon ends."""

    def __init__(self) -> None:
        super().__init__("given up: the daemon ends or took a new configuration")


class TooLarge(Unanswered):
    """The answer is larger than the cap, as sent or after decompression."""


class TimedOut(Unanswered):
    """The whole answer did not come within the budget."""


class Malformed(Unanswered):
    """What answered does not speak HTTP as it should."""


class Answer(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes | bytearray


def one_line(text: str, limit: int = 300) -> str:
    """For people: control and other unprintable characters escaped (fault 68), at most `limit` long."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def origin(error: BaseException) -> str:
    """The kind of an unforeseen error and where it arose, innermost first. Not its message, which may
    hold an address or a token."""
    frames = extract_tb(error.__traceback__)[:-4:-1]
    where = " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {where or 'an unknown place'}"


def place(url: str) -> str:
    """A URL for people: without user, password, query and fragment."""
    return str(URL(url).with_user(None).with_query(None).with_fragment(None))


def redirect(answer: Answer) -> str | None:
    """Where an answer sends us to, for people; None where it is none. Redirects are never followed:
    they would take credentials elsewhere (fault 26)."""
    if not 300 <= answer.status < 400:
        return None
    return one_line(answer.headers.get("Location", "nowhere"), 200)


class Client:
    """An HTTP session with at most `connections` connections. Once closed, it answers `Closed`."""

    def __init__(self, settings: HttpSettings, connections: int = 8) -> None:
        self._settings = settings
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        *,
        budget: Ms,
        cap: int,
        form: Mapping[str, str | tuple[str, ...]] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool = False,
        status_counts: bool = False,
    ) -> Answer:
        """The whole answer, whatever its status, within `budget` ms and `cap` bytes, or `Unanswered`.

        `safe`: asking twice does no harm; once more where a kept connection turns out to be closed.
        `status_counts`: the body is for people only; what of it does not come, or is over the cap, is
        left out.
        """
        request = _Request(method, url, form, body, headers or {}, status_counts)
        try:
            async with asyncio.timeout(budget / 1000):
                try:
                    return await self._exchange(request, cap)
                except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                    if not safe:
                        raise
                    return await self._exchange(request, cap)
        except TimeoutError:
            raise TimedOut(f"timed out after {budget / 1000:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Closed() if self._closed else _explained(error) from None

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: _Request, cap: int) -> Answer:
        tls = self._settings.tls_config
        headers = _credentials(self._settings)
        headers.update({"Accept-Encoding": "identity", **request.headers})
        url = URL(request.url)
        if "Authorization" in headers:
            url = url.with_user(None)
        async with self._opened().request(
            request.method,
            url,
            data=request.payload(),
            headers=headers,
            allow_redirects=False,
            ssl=_tls_context(tls) if url.scheme == "https" else True,
            server_hostname=tls.server_name if url.scheme == "https" else None,
        ) as response:
            try:
                body = await (_peek if request.status_counts else _read)(response, cap)
                return Answer(response.status, response.headers, body)
            except BaseException:
                response.close()
                raise

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Closed()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=75),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "rollbackd"},
                read_bufsize=1 << 18,
            )
        return self._session


class _Request(Struct, frozen=True):
    method: str
    url: str
    form: Mapping[str, str | tuple[str, ...]] | None
    body: bytes | None
    headers: Mapping[str, str]
    status_counts: bool

    def payload(self) -> aiohttp.FormData | bytes | None:
        if self.form is None:
            return self.body
        fields = aiohttp.FormData()
        for name, value in self.form.items():
            for one in (value,) if isinstance(value, str) else value:
                fields.add_field(name, one)
        return fields


def _credentials(settings: HttpSettings) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, header in settings.http_headers.items():
        for value in (*header.values, *header.secrets, *map(_secret, header.files)):
            headers.add(name, value)
    if basic := settings.basic_auth:
        password = _secret(basic.password_file) if basic.password_file else basic.password or ""
        token = b64encode(f"{basic.username}:{password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {token}"
    elif bearer := settings.authorization:
        word = _secret(bearer.credentials_file) if bearer.credentials_file else bearer.credentials or ""
        headers["Authorization"] = f"{bearer.type} {word}"
    return headers


def _secret(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unanswered(f"cannot read the secret in {file}: {_cause(error)}") from None


def _tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """The context for these files as they are now."""
    files = [file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file]
    try:
        return _tls_context_of(tls, tuple(Path(file).stat().st_mtime_ns for file in files))
    except OSError as error:  # ssl.SSLError too
        raise Unanswered(f"tls_config: {', '.join(files)}: {_cause(error)}") from None


@lru_cache(maxsize=16)
def _tls_context_of(tls: TlsConfig, _changed: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.min_version:
        context.minimum_version = _TLS_VERSIONS[tls.min_version]
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


async def _read(response: aiohttp.ClientResponse, cap: int) -> bytearray:
    if (response.content_length or 0) > cap:
        raise TooLarge(f"the answer is larger than {cap} bytes")
    body = bytearray()
    async for piece in _plain(response):
        body += piece
        if len(body) > cap:
            raise TooLarge(f"the answer is larger than {cap} bytes")
    return body


async def _peek(response: aiohttp.ClientResponse, cap: int) -> bytearray:
    """As much of the body as comes within a second."""
    body = bytearray()
    with suppress(TimeoutError, aiohttp.ClientError, OSError, Unanswered):
        async with asyncio.timeout(1):
            async for piece in _plain(response):
                body += piece[: cap - len(body)]
                if len(body) >= cap:
                    break
    return body


async def _plain(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes; a compressed one (though none was asked for) in bounded pieces."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        async for piece in response.content.iter_any():
            yield piece
        return
    if encoding not in ("gzip", "deflate"):
        raise Malformed(f"the answer has the encoding {one_line(encoding, 40)}; only gzip is understood")
    inflate = zlib.decompressobj(zlib.MAX_WBITS + 32)
    try:
        async for piece in response.content.iter_any():
            rest = piece
            while rest:
                yield inflate.decompress(rest, _STEP)
                rest = inflate.unconsumed_tail
                await asyncio.sleep(0)
        yield inflate.flush()
    except zlib.error:
        raise Malformed("the answer cannot be decompressed") from None
    if not inflate.eof:
        raise Unanswered("the answer was cut off")


def _explained(error: Exception) -> Unanswered:
    """What happened, in words; never the text of an exception that may hold a URL or a header."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unanswered(f"TLS: certificate verify failed: {_verdict(error.certificate_error)}")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return OutOfDescriptors(f"no connection: {_cause(error)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unanswered(f"cannot connect: {_cause(error.os_error)}")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return Unanswered("the connection was cut before the whole answer had come")
    if isinstance(error, aiohttp.ClientResponseError):
        return Malformed(f"the answer is not HTTP: {one_line(error.message, 100)}")
    if isinstance(error, aiohttp.InvalidURL):
        return Malformed("not an http or https URL")
    if isinstance(error, OSError):
        return Unanswered(f"the connection broke: {_cause(error)}")
    return Malformed(f"the request could not be made ({type(error).__name__})")


def _verdict(error: Exception) -> str:
    return one_line(error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error))


def _cause(error: Exception) -> str:
    if isinstance(error, OSError):  # asyncio writes its own text, getaddrinfo its own numbers
        number = error.errno or 0
        known = number in errno.errorcode
        return os.strerror(number) if known else one_line(error.strerror or str(error))
    return type(error).__name__
