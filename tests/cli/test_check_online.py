"""`check --online`, against a real Prometheus whose samples were written beforehand."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd
from tests.config.lints.files import HEAD, entry, lay
from tests.servers import Prometheus, Recorder, Reply, prometheus

SCRAPED, MINUTES = 15, 15


def samples(began: float) -> Iterator[str]:
    """OpenMetrics: from a quarter of an hour ago until a quarter of an hour from now."""
    moments = range(-MINUTES * 60, MINUTES * 60, SCRAPED)
    for name, labels, step, every in (
        ("requests_total", 'cohort="stable",code="200",pod="a"', 1500, 1),
        ("requests_total", 'cohort="stable",code="200",pod="b"', 1500, 1),
        ("requests_total", 'cohort="canary",code="200",pod="c"', 150, 1),
        ("requests_total", 'cohort="canary",code="500",pod="c"', 50, 1),
        ("rare_total", "", 60, 4),
        ("job:rare:rate5m", "", 0, 4),
    ):
        yield f"# TYPE {name.removesuffix('_total')} {'counter' if step else 'gauge'}"
        for index, moment in enumerate(moments):
            if index % every == 0:
                yield f"{name}{{{labels}}} {index * step} {began + moment:.3f}"
    yield "# TYPE restarted counter"
    for index, moment in enumerate(moments):
        if not -210 <= moment < -60:
            yield f"restarted_total {index * 15} {began + moment:.3f}"
    yield "# TYPE crowd gauge"
    for subject in range(1001):
        for moment in (-30, -15, 0, *range(15, MINUTES * 60, 15)):
            yield f'crowd{{user="{subject}"}} 1 {began + moment:.3f}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("online")
    written: dict[str, list[str]] = {}
    name = ""
    for line in samples(time.time()):  # of one family nothing may stand between
        if line.startswith("# TYPE"):
            name = line
        written.setdefault(name, []).extend([] if line.startswith("# TYPE") else [line])
    text = "".join(f"{name}\n" + "".join(f"{each}\n" for each in lines) for name, lines in written.items())
    (folder / "samples.txt").write_text(f"{text}# EOF\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "prometheus/data"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with prometheus(folder) as running:
        yield running


RATIO = """\
ratio:
  errors: 'sum by (cohort) (rate(requests_total{code=~"5.."}[1m]))'
  total: 'sum by (cohort) (rate(requests_total[1m]))'
  min_total: 5
per: [cohort]
"""
CASES: list[tuple[str, list[str]]] = [
    (RATIO, []),
    (
        RATIO + 'breach: "> 0.2"',
        ["trigger: breach now for 1 of 2 subjects, as {cohort=canary}: "],
    ),
    (RATIO.replace("min_total: 5", "min_total: 50"), ["trigger: low_traffic now for 1 of 2 subjects, as {"]),
    ('expr: "sum(rate(request_total[1m]))"', ["trigger: yields nothing now: no_data; correct the names"]),
    (
        'expr: "rate(requests_total[1m])"\nper: [cohort]\nbreach: "> 1e9"',
        ["trigger: "],
    ),
    ('expr: "sum by (cohort) (rate(requests_total[1m]))"\nper: [cohort]\nbreach: "< 1"', []),
    (
        'expr: "sum(rate(rare_total[1m]))"\nbreach: "> 1000"',
        [
            "expr: `rare_total` is scraped about every 1m, the interval is 15s",
            "expr: 1m hold no two samples of `rare_total`, about 1m apart",
        ],
    ),
    ('expr: "sum(rate(restarted_total[1m]))"\nbreach: "> 1000"', []),
    (
        'all:\n- {expr: "sum(rate(requests_total[1m]))", breach: "> 1"}\n'
        '- {expr: "sum(rate(requests_total[1m]))", breach: "> 1e9"}',
        [],
    ),
    (
        'any:\n- {expr: "sum(rate(requests_total[1m]))", breach: "> 1"}\n'
        '- {expr: "sum(rate(requests_total[1m]))", breach: "> 1e9"}',
        ["trigger: breach now: "],
    ),
    (
        'expr: "max(job:rare:rate5m)"\nbreach: "> 1000"',
        ["expr: `job:rare:rate5m` is evaluated about every 1m"],
    ),
    ('expr: "sum by (user) (crowd)"\nper: [user]\nbreach: "> 1000"', ["trigger: 1,001 subjects now"]),
    (
        'expr: "sum(rate(requests_total[1m]))"\nbreach: "> 1000"\n'
        "recovered: {expr: 'requests_total', breach: '> 1'}",
        ["recovered: "],
    ),
]


def online(main: Path, *options: str) -> tuple[int, list[str], list[str]]:
    """The exit status, what was found online, and what could not be told."""
    result = rollbackd("check", str(main), "--format", "json", *options)
    said = json.loads(result.stdout)
    found = [each for each in said["problems"] if each.get("lint", "").startswith("online-")]
    shown = [f"{each['key']}: {each['what']}; {each['remedy']}" for each in found]
    return result.exit_code, shown, said["untold"]


@pytest.mark.parametrize(("keys", "expected"), CASES)
def test_what_prometheus_says_now(keys: str, expected: list[str], server: Prometheus, tmp_path: Path) -> None:
    _, found, untold = online(lay(tmp_path, entry(keys)), "--prometheus", server.url)
    assert untold == []
    blind = "scraped about" in str(expected) or "evaluated about" in str(expected)  # now and then
    assert len([each for each in found if not (blind and "no_data" in each)]) == len(expected)
    for wanted in expected:
        assert any(each.startswith(wanted) for each in found), found


def test_what_cannot_be_used_is_an_error(server: Prometheus, tmp_path: Path) -> None:
    keys = 'expr: "rate(requests_total[1m])"\nper: [cohort]'
    main = lay(tmp_path, entry(keys))
    main.write_text(main.read_text().replace("http://127.0.0.1:9090", server.url))
    result = rollbackd("check", str(main), "--online")
    assert result.exit_code == 1
    assert f"{tmp_path}/triggers/api.yml:5:18: trigger: " in result.stdout
    assert "; correct the expression, or `per` [online-unusable]" in result.stdout


def test_a_warning_of_it_can_be_disabled_and_is_not_missed_offline(
    server: Prometheus, tmp_path: Path
) -> None:
    off = "# rollbackd: disable online-breach until 9999-12-31 because we know"
    main = lay(tmp_path, entry(f'expr: "sum(rate(requests_total[1m]))" {off}'))
    assert online(main, "--prometheus", server.url)[:2] == (0, [])
    assert rollbackd("check", str(main), "--strict").exit_code == 0
    assert "online-breach" in rollbackd("check", str(main), "--format", "json", "--online").stdout


def unused() -> str:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_nobody_there_cannot_be_told(tmp_path: Path) -> None:
    url = unused()
    code, found, untold = online(lay(tmp_path, entry(RATIO)), "--prometheus", url)
    assert (code, found) == (4, [])
    [why] = untold
    assert why.startswith(f"Prometheus does not say what time it is: {url}: ")


@pytest.mark.parametrize(
    ("status", "why"), [(401, "401"), (403, "403"), (500, "500"), (302, "redirected"), (200, "not an answer")]
)
def test_who_refuses_cannot_be_told(status: int, why: str, tmp_path: Path) -> None:
    with Recorder(Reply(status, b"<html>", {"Location": "http://127.0.0.1/login"})) as proxy:
        result = rollbackd("check", str(lay(tmp_path, entry(RATIO))), "--prometheus", proxy.url)
    assert result.exit_code == 4
    assert result.stderr.count("\n") == 1
    assert why in result.stderr


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("timeout: 300ms", "no whole answer in time"),
        ("authorization: {credentials_file: none}", "cannot read the secret in "),
    ],
)
def test_who_is_too_slow_or_wants_a_secret_cannot_be_told(key: str, why: str, tmp_path: Path) -> None:
    with Recorder(Reply(after=60)) as hanging:
        main = lay(tmp_path, entry(RATIO))
        text = main.read_text().replace("http://127.0.0.1:9090", hanging.url)
        main.write_text(text.replace("prometheus: {", f"prometheus: {{{key}, "))
        code, found, [told] = online(main, "--online")
    assert (code, found) == (4, [])
    assert why in told
    assert rollbackd("check", str(main)).exit_code == 0


def test_files_without_a_configuration_need_the_url(server: Prometheus, tmp_path: Path) -> None:
    file = lay(tmp_path, entry(RATIO)).parent / "triggers/api.yml"
    code, _, untold = online(file, "--online")
    assert (code, len(untold)) == (4, 1)
    assert "--prometheus URL" in untold[0]
    assert online(file, "--prometheus", server.url) == (0, [], [])


def test_nothing_to_ask_of_is_no_question(tmp_path: Path) -> None:
    assert (
        online(lay(tmp_path, head=HEAD.replace("\n    triggers:\n", "\n")), "--prometheus", unused())[2] == []
    )


@pytest.mark.parametrize("url", ["", "localhost:9090", "ftp://x", "http://user:hunter2@127.0.0.1:9090"])
def test_a_url_that_is_none(url: str, tmp_path: Path) -> None:
    result = rollbackd("check", str(tmp_path), "--prometheus", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--prometheus" in result.stderr
    assert "hunter2" not in result.stderr
