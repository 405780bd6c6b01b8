"""Authentication and TLS as Prometheus spells them."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.adapters.prometheus.asking import asks, source_at
from tests.adapters.prometheus.evil import Evil, cuts, http, says, vector

from rollbackd.core.signals import Series, Unreachable
from rollbackd.settings import Authorization, BasicAuth, HttpHeader, HttpSettings, TlsConfig

GOOD = says(http(vector(({}, "1"))))
ONE = (Series(({"": "1"},)),)


def secret(folder: Path, text: str) -> str:
    file = folder / "secret"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        (HttpSettings(basic_auth=BasicAuth("ann", "p:w")), "Authorization: Basic YW5uOnA6dw=="),
        (HttpSettings(authorization=Authorization(credentials="tok")), "Authorization: Bearer tok"),
        (HttpSettings(authorization=Authorization("Token", "tok")), "Authorization: Token tok"),
        (HttpSettings(http_headers={"X-Scope-OrgID": HttpHeader(values=("a",))}), "X-Scope-OrgID: a"),
        (HttpSettings(http_headers={"X-Key": HttpHeader(secrets=("s",))}), "X-Key: s"),
    ],
)
async def test_what_is_sent(settings: HttpSettings, header: str) -> None:
    async with Evil(GOOD) as evil, source_at(evil.url, http=settings) as source:
        assert (await source.ask(asks("up"))).answers == ONE
        assert all(header in head.split("\r\n") for head in evil.heads)


async def test_a_silence_is_logged_once_and_so_is_its_end() -> None:
    """Pages wait for two minutes of it; whoever has just started the daemon looks at the log."""
    async with Evil(GOOD, clock=cuts(b"")) as evil, source_at(evil.url) as source:
        where = evil.url
        with capture_logs() as logs:
            await source.ask(asks("up"))
            await source.ask(asks("up"))
            evil.clock = None
            await source.ask(asks("up"))
    events = [(entry["log_level"], entry["event"], entry["url"]) for entry in logs]
    assert events == [
        ("warning", "prometheus does not answer", where),
        ("info", "prometheus answers again", where),
    ]
    assert logs[0]["error"]


async def test_secret_files_are_read_for_each_request(tmp_path: Path) -> None:
    file = secret(tmp_path, "old\n")
    settings = HttpSettings(
        authorization=Authorization(credentials_file=file),
        http_headers={"X-Key": HttpHeader(values=("a",), files=(file,))},
    )
    async with Evil(GOOD) as evil, source_at(evil.url, http=settings) as source:
        await source.ask(asks("up", ends=(1_000,)))
        secret(tmp_path, "new")
        await source.ask(asks("up", ends=(2_000,)))
        assert "Bearer old" in evil.heads[0]
        assert "X-Key: a\r\nX-Key: old" in evil.heads[0]
        assert "Bearer new" in evil.heads[-1]


async def test_a_missing_secret_file_names_itself(tmp_path: Path) -> None:
    settings = HttpSettings(basic_auth=BasicAuth("ann", password_file=str(tmp_path / "gone")))
    async with Evil(GOOD) as evil, source_at(evil.url, http=settings) as source:
        (answer,) = (await source.ask(asks("up"))).answers
        assert evil.asked == []
    assert isinstance(answer, Unreachable)
    assert f"cannot read the secret in {tmp_path / 'gone'}: No such file" in answer.reason


async def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    settings = HttpSettings(authorization=Authorization(credentials="hush\nhush"))
    async with Evil(GOOD) as evil, source_at(evil.url, http=settings) as source:
        (answer,) = (await source.ask(asks("up"))).answers
    assert not isinstance(answer, Series)
    assert "hush" not in answer.reason


async def test_a_password_in_the_url_is_used_and_not_shown() -> None:
    async with Evil(says(http(b"", 503))) as evil:
        async with source_at(evil.url.replace("//", "//ann:hush@")) as source:
            (answer,) = (await source.ask(asks("up"))).answers
        assert "Authorization: Basic YW5uOmh1c2g=" in evil.heads[0]
        assert answer == Unreachable(f"{evil.url}: status 503")


def test_no_repr_shows_a_secret() -> None:
    settings = HttpSettings(
        basic_auth=BasicAuth("ann", "hush"),
        authorization=Authorization(credentials="hush"),
        http_headers={"X": HttpHeader(secrets=("hush",))},
    )
    assert "hush" not in repr(settings)


OPENSSL_CA = """
[ca]
default_ca = ours
[ours]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


def certificate(folder: Path, name: str, start: str, end: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 with these dates (YYYYMMDDHHMMSSZ), and its key."""
    home = folder / name
    home.mkdir()
    (home / "ca.cnf").write_text(OPENSSL_CA)
    (home / "index").touch()
    (home / "serial").write_text("01")
    for command in (
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out csr.pem"
        " -subj /CN=rollbackd-test -addext subjectAltName=IP:127.0.0.1,DNS:prom.example",
        f"ca -batch -config ca.cnf -selfsign -keyfile key.pem -in csr.pem -out cert.pem -notext"
        f" -startdate {start} -enddate {end}",
    ):
        subprocess.run(["openssl", *command.split()], cwd=home, check=True, capture_output=True)
    return home / "cert.pem", home / "key.pem"


def serving(cert: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "good", "20200101000000Z", "20990101000000Z")


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "expired", "20200101000000Z", "20200102000000Z")


async def asked_over(context: ssl.SSLContext, tls: TlsConfig) -> object:
    async with (
        Evil(GOOD, tls=context) as evil,
        source_at(evil.url, http=HttpSettings(tls_config=tls)) as source,
    ):
        return (await source.ask(asks("up"))).answers[0]


async def test_29_an_expired_certificate(expired: tuple[Path, Path]) -> None:
    answer = await asked_over(serving(*expired), TlsConfig(ca_file=str(expired[0])))
    assert isinstance(answer, Unreachable)
    assert "TLS: certificate verify failed: certificate has expired" in answer.reason


async def test_29_an_unknown_authority(good: tuple[Path, Path]) -> None:
    answer = await asked_over(serving(*good), TlsConfig())
    assert isinstance(answer, Unreachable)
    assert "TLS: certificate verify failed" in answer.reason


@pytest.mark.parametrize(
    ("settings", "works"),
    [
        ({}, True),
        ({"server_name": "prom.example"}, True),
        ({"server_name": "other.example"}, False),
        ({"min_version": "TLS13"}, True),
    ],
)
async def test_tls_settings(good: tuple[Path, Path], settings: dict[str, str], works: bool) -> None:
    tls = TlsConfig(ca_file=str(good[0]), **settings)  # type: ignore[arg-type]
    assert isinstance(await asked_over(serving(*good), tls), Series if works else Unreachable)


async def test_insecure_skip_verify(expired: tuple[Path, Path]) -> None:
    answer = await asked_over(serving(*expired), TlsConfig(insecure_skip_verify=True))
    assert isinstance(answer, Series)


async def test_a_version_the_server_does_not_speak(good: tuple[Path, Path]) -> None:
    context = serving(*good)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    answer = await asked_over(context, TlsConfig(ca_file=str(good[0]), min_version="TLS13"))
    assert isinstance(answer, Unreachable)


async def test_a_client_certificate(good: tuple[Path, Path]) -> None:
    cert, key = map(str, good)
    with_it = TlsConfig(ca_file=cert, cert_file=cert, key_file=key)
    assert isinstance(await asked_over(serving(*good, client_ca=good[0]), with_it), Series)
    without = TlsConfig(ca_file=cert)
    assert isinstance(await asked_over(serving(*good, client_ca=good[0]), without), Unreachable)


async def test_a_missing_authority_names_itself(tmp_path: Path, good: tuple[Path, Path]) -> None:
    answer = await asked_over(serving(*good), TlsConfig(ca_file=str(tmp_path / "gone.pem")))
    assert isinstance(answer, Unreachable)
    assert f"{tmp_path / 'gone.pem'}: No such file" in answer.reason
