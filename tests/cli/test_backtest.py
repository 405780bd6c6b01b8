"""`rollbackd backtest`: what it prints, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml
from tests.cli.fake import rollbackd
from tests.servers import Threaded, wait_for

NOW = 1_800_000_000  # s, by the server's clock
STEP = 15

TRIGGER = {
    "trigger": "Bad",
    "category": "metric",
    "severity": "critical",
    "expr": "bad",
    "breach": "> 0",
    "windows": 4,
    "per": ["cohort"],
    "plan": "api",
    "arm": "always",
}

# It lacks what `check` asks for; a backtest needs its name.
PLAN = """
version: rollbackd/v1
plan: api
owner: t
level: 3
services: [api]
summary: back
phases: [{phase: one, steps: [{step: one, run: ["true"]}]}]
verification: []
"""


class Prometheus(Threaded):
    """`bad` of the canary is 1 for two minutes from an hour before its clock's now on, and for one minute an
    hour earlier."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: tuple[int, bytes] | None = None
        self.asked: list[str] = []
        self.empty = False
        self.starting = 0  # so many more queries are refused for now

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        form = {
            key: values[0] for key, values in urllib.parse.parse_qs(handler.rfile.read(size).decode()).items()
        }
        self.asked.append(form["query"])
        status, body = self.failure or (200, b"")
        if form["query"] == "time()":
            status, body = 200, self._data("scalar", [NOW, f"{NOW}.5"])
        elif self.starting:
            self.starting -= 1
            status, body = 503, b"starting"
        elif not self.failure:
            body = self._data("matrix", [] if self.empty else self._series(form))
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _data(self, kind: str, result: object) -> bytes:
        return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()

    def _series(self, form: dict[str, str]) -> list[object]:
        start, end = float(form["start"]), float(form["end"])
        moments = [start + n * STEP for n in range(int((end - start) / STEP) + 1)]
        value = (lambda at: at - 1) if "timestamp" in form["query"] else _bad
        values = [[at, f"{value(at):.15g}"] for at in moments]
        return [{"metric": {"cohort": "canary"}, "values": values}]


def _bad(at: float) -> float:
    return float(3600 - 120 < NOW - at <= 3600 or 7200 - 45 <= NOW - at <= 7200)


@pytest.fixture
def server() -> Iterator[Prometheus]:
    with Prometheus() as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "t.yml", TRIGGER)


def write(path: Path, *triggers: dict[str, object], **group: object) -> Path:
    groups = [{"name": "api", "interval": "15s", **group, "triggers": list(triggers)}]
    path.write_text(yaml.safe_dump({"version": "rollbackd/v1", "groups": groups}, sort_keys=False))
    return path


def backtest(*words: str | Path, code: int = 0) -> tuple[str, str]:
    """What it says on both streams."""
    result = rollbackd("backtest", *map(str, words))
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    return result.stdout, result.stderr


def fires(stdout: str) -> list[int]:
    """Seconds before the server's now, of the one trigger."""
    (trigger,) = json.loads(stdout)["triggers"]
    return [NOW - round(datetime.fromisoformat(each["at"]).timestamp()) for each in trigger["fires"]]


def test_it_says_when_it_would_have_fired(server: Prometheus, file: Path) -> None:
    said, noise = backtest(file, "--prometheus", server.url)
    assert said.startswith("Bad would have fired ")
    assert noise == ""
    said, _ = backtest(file, "--prometheus", server.url, "--format=json")
    document = json.loads(said)
    assert fires(said) == [7200 - 45, 3600 - 45]
    assert (document["begin"], document["end"]) == ("2027-01-01T08:00:00.500Z", "2027-01-15T08:00:00.500Z")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("-90m", "now", [3555]),
        (str(NOW - 5400), str(NOW), [3555]),
        ("2027-01-15T06:30:00Z", "2027-01-15T09:00:00+01:00", [3555]),
        ("-3h", "-90m", [7155]),
    ],
)
def test_times(server: Prometheus, file: Path, start: str, end: str, expected: list[int]) -> None:
    said, _ = backtest(
        file, "--prometheus", server.url, "--start", start, "--end", end, "--format", "json"
    )  # fmt: skip
    assert fires(said) == expected


def test_equal_queries_are_asked_once(server: Prometheus, tmp_path: Path) -> None:
    two = write(tmp_path / "t.yml", TRIGGER, {**TRIGGER, "trigger": "Worse", "breach": "> 5"})
    said, _ = backtest(two, "--prometheus", server.url, "--start=-1h", "--format=json")
    assert len(json.loads(said)["triggers"]) == 2
    assert sorted(set(server.asked)) == sorted(server.asked[:1] + server.asked[-2:])
    said, _ = backtest(two, "--prometheus", server.url, "--start=-1h", "--format=json", "--trigger=Worse")
    assert fires(said) == []


def test_saved_answers_say_the_same(server: Prometheus, file: Path, tmp_path: Path) -> None:
    saved, page = tmp_path / "s.json.gz", tmp_path / "p.html"
    first, _ = backtest(file, "--prometheus", server.url, "--save", saved, "--html", page, "--format=json")
    asked = len(server.asked)
    again, _ = backtest(file, "--data", saved, "--format=json")
    assert len(server.asked) == asked
    assert json.loads(again)["triggers"] == json.loads(first)["triggers"]
    assert page.read_text().startswith("<!doctype html>")
    part, _ = backtest(file, "--data", saved, "--start=-90m", "--format=json")
    assert fires(part) == [3555]
    other = write(tmp_path / "other.yml", {**TRIGGER, "expr": "worse"})
    _, why = backtest(other, "--data", saved, code=4)
    assert "it holds no answers to the queries of Bad" in why


def test_saved_answers_are_told_apart_by_their_windows(server: Prometheus, tmp_path: Path) -> None:
    groups = [
        {"name": "a", "interval": "15s", "triggers": [TRIGGER]},
        {"name": "b", "interval": "15s", "align": "4s", "triggers": [{**TRIGGER, "trigger": "Later"}]},
    ]
    both, saved = tmp_path / "t.yml", tmp_path / "s.json"
    both.write_text(yaml.safe_dump({"version": "rollbackd/v1", "groups": groups}))
    first, _ = backtest(both, "--prometheus", server.url, "--start=-90m", "--save", saved, "--format=json")
    again, _ = backtest(both, "--data", saved, "--format=json")
    assert json.loads(again)["triggers"] == json.loads(first)["triggers"]
    ends = [each["judged"]["last"][-7:-1] for each in json.loads(first)["triggers"]]
    assert ends == ["00.000", "49.000"]


def test_incidents_score_and_sweeps_compare(server: Prometheus, file: Path, tmp_path: Path) -> None:
    known = tmp_path / "incidents.yml"
    one = "{start: 2027-01-15T07:00:00Z, end: 2027-01-15T07:05:00Z, note: n}"
    known.write_text(f"version: rollbackd/v1\nincidents: [{one}]\n")
    words: list[str | Path] = [file, "--prometheus", server.url, "--start=-3h", "--incidents", known]
    said, _ = backtest(*words, "--sweep", "windows=2,4,8", "breach=0:2:3", "--format=json")
    (found,) = json.loads(said)["triggers"]
    assert (len(found["score"]["caught"]), found["score"]["false"]) == (1, 1)
    assert len(found["sweep"]["cells"]) == 9
    again, _ = backtest(
        "--sweep", "breach=0:2:3", file, "--sweep", "windows=2", *words[1:4], "--format=json"
    )  # fmt: skip
    assert len(json.loads(again)["triggers"][0]["sweep"]["cells"]) == 3


def test_incidents_from_a_series(server: Prometheus, file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "s.json"
    words: list[str | Path] = [file, "--incidents-from=bad", "--format=json"]
    said, _ = backtest(*words, "--prometheus", server.url, "--start=-3h", "--save", saved)
    document = json.loads(said)
    assert document["incidents_from"] == "bad"
    assert [each["incident"]["note"] for each in document["triggers"][0]["score"]["caught"]] == ["bad", "bad"]
    again, _ = backtest(*words, "--data", saved)
    assert json.loads(again)["triggers"] == document["triggers"]
    _, why = backtest(file, "--incidents-from=other", "--data", saved, code=4)
    assert "it holds no answers to other; save them anew" in why


def test_T2_the_window_before_the_delay_has_passed_is_left_out(server: Prometheus, tmp_path: Path) -> None:
    late = write(tmp_path / "t.yml", TRIGGER, delay="1m")
    said, _ = backtest(late, "--prometheus", server.url, "--start=-10m", "--format=json")
    assert json.loads(said)["triggers"][0]["judged"]["last"] == "2027-01-15T07:59:00.000Z"


def test_what_is_not_known_of_the_alignment_is_said(server: Prometheus, tmp_path: Path) -> None:
    auto = write(tmp_path / "t.yml", TRIGGER, align="auto")
    config = tmp_path / "rollbackd.yml"
    settings = {
        "version": "rollbackd/v1",
        "instance": "t",
        "prometheus": {"urls": [server.url]},
        "triggers": ["another.yml"],
        "plans": ["plan.yml"],
        "state_dir": "state",
        "max_action": "shadow",
    }
    config.write_text(yaml.safe_dump(settings))
    (tmp_path / "plan.yml").write_text(PLAN)
    said, noise = backtest(auto, "--config", config, "--start=-1h")
    assert f"there is no {tmp_path / 'state' / 'journal.db'}: where windows ended is not known" in noise
    assert "Nothing was learned of where the windows of group api end" in said
    assert noise.count("\n") == 1


# What is wrong


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--start=2027-02-30"], "'2027-02-30' is not a time; write -14d, now,"),
        (["--start=-5x"], "'-5x' is not a time"),
        (["--start=now", "--end=-1h"], "the start, 2027-01-15 08:00:00 UTC, is not before the end"),
        (["--end=2027-01-15T08:00:09Z"], "is in the future: Prometheus' clock shows 2027-01-15 08:00:00 UTC"),
        (["--start=0"], "are too long a time; ask for at most"),
        (["--trigger=Good"], "has no trigger 'Good'; it has Bad"),
        (["--sweep=size=3"], "--sweep size: cannot be varied"),
        (["--sweep=windows=1:1000:1000", "breach=0:9:1000"], "--sweep: 1,000,000 settings"),
        (["--html=/nowhere/p.html"], "there is no folder '/nowhere'"),
        (["--prometheus=localhost:9090"], "begin it with http:// or https://"),
        (["--prometheus=http://ann:secret@localhost:9090"], "holds a user or a password"),
        (["more.yml"], "name one FILE of triggers, not 2"),
        (["--incidents-from=ALERTS{"], "--incidents-from: "),
        (["--incidents-from="], "--incidents-from: "),
        (["--incidents-from=x", "--incidents=FILE"], "name --incidents or --incidents-from, not both"),
    ],
)
def test_usage(server: Prometheus, file: Path, words: list[str], says: str) -> None:
    given = [word.replace("FILE", str(file)) for word in words]
    _, why = backtest(file, "--prometheus", server.url, *given, code=2)
    assert says in why
    assert why.count("\n") == 1


def test_nobody_to_ask(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    _, why = backtest(file, code=2)
    assert "whom to ask? name --config, a rollbackd.yml, or --prometheus URL, or --data" in why


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        ((401, b"who are you?"), "status 401: who are you?"),
        ((200, b"<html>sign in</html>"), "not an answer of Prometheus' API"),
        ((400, b'{"status":"error","errorType":"bad_data","error":"parse error"}'), "bad_data: parse error"),
    ],
)
def test_a_refusing_server(
    server: Prometheus, file: Path, failure: tuple[int, bytes], says: str
) -> None:  # fmt: skip
    server.failure = failure
    _, why = backtest(file, "--prometheus", server.url, "--start=-1h", code=4)
    assert says in why
    assert why.count("\n") == 1


def test_who_does_not_answer_is_not_said_among_the_results(server: Prometheus, file: Path) -> None:
    server.starting = 1
    said, noise = backtest(file, "--prometheus", server.url, "--start=-1h", "--format=json")
    assert json.loads(said)["triggers"][0]["trigger"] == "Bad"
    assert "rollbackd: no answer: asked 1 of 5 times, because " in noise


def test_nothing_at_all(server: Prometheus, file: Path) -> None:
    server.empty = True
    _, why = backtest(file, "--prometheus", server.url, "--start=-1h", code=4)
    assert "has nothing for Bad between 2027-01-15 07:00:00 UTC and 2027-01-15 08:00:00 UTC" in why
    _, why = backtest(file, "--prometheus", server.url, "--start=-10s", code=4)
    assert "no window of Bad (15s) lies whole between" in why


def test_errors_of_the_file_are_shown_as_check_shows_them(server: Prometheus, tmp_path: Path) -> None:
    bad = write(tmp_path / "t.yml", {**TRIGGER, "windows": 0})
    said = rollbackd("check", str(bad)).stdout.splitlines()[0]
    _, why = backtest(bad, "--prometheus", server.url, code=1)
    assert why.splitlines() == [said, "rollbackd: 1 error: nothing was replayed; correct them first"]
    assert server.asked == []
    _, why = backtest(tmp_path / "none.yml", "--prometheus", server.url, code=1)
    assert "none.yml" in why


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "it is empty; give saved answers, a range response, or OpenMetrics text"),
        (b"not it", "not OpenMetrics text"),
        (b"\0\1\2", "binary; give saved answers, a range response, or OpenMetrics text"),
        (b"bad 1 100\n", "not OpenMetrics text"),
        (b"# EOF\n", "it holds no sample"),
        (b'{"version": 3}', "not saved answers"),
        (b"[1, 2", "not a range response"),
        (b'{"status": "success", "data"', "the file ends in the middle"),
    ],
)
def test_data_that_is_none(file: Path, tmp_path: Path, body: bytes, says: str) -> None:
    data = tmp_path / "data"
    data.write_bytes(body)
    _, why = backtest(file, "--data", data, code=4)
    assert why.startswith(f"rollbackd: {data}")
    assert says in why
    assert why.count("\n") == 1


def test_openmetrics_needs_programs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.write_text('bad{cohort="canary"} 1 100\n# EOF\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    _, why = backtest(file, "--data", data, code=4)
    assert "there is no `promtool` on the PATH to read it; install it" in why


def test_a_range_response_answers_one_query(file: Path, tmp_path: Path) -> None:
    rows = [[NOW + n * STEP, str(int(n >= 3))] for n in range(9)]
    result = [{"metric": {"cohort": "canary"}, "values": rows}]
    data = tmp_path / "curl.json"
    data.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    said, noise = backtest(file, "--data", data, "--format=json")
    assert fires(said) == [-6 * STEP]
    assert "every window counts as covered (W14)" in noise
    ratio = {**TRIGGER, "ratio": {"errors": "a", "total": "b", "min_total": 1}}
    del ratio["expr"]
    _, why = backtest(write(tmp_path / "r.yml", ratio), "--data", data, code=4)
    assert "answers one query, and Bad asks 2" in why


def test_ctrl_c_ends_it_cleanly(server: Prometheus, file: Path) -> None:
    server.failure = (503, b"starting")
    process = subprocess.Popen(
        [sys.executable, "-m", "rollbackd", "backtest", str(file), "--prometheus", server.url],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    try:
        wait_for(lambda: "bad" in server.asked, what="a query")
        process.send_signal(signal.SIGINT)
        said, noise = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "")
    told = noise.split()  # what was retried, if anything
    assert told[:3] in ([], ["rollbackd:", "no", "answer:"])


def test_sigterm_leaves_nothing_behind(file: Path, tmp_path: Path) -> None:
    """While promtool reads, here one that never ends."""
    programs, folders, pid = tmp_path / "bin", tmp_path / "tmp", tmp_path / "pid"
    programs.mkdir()
    folders.mkdir()
    (programs / "promtool").write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n")
    (programs / "promtool").chmod(0o755)
    (tmp_path / "data").write_text("# EOF\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "rollbackd", "backtest", str(file), "--data", str(tmp_path / "data")],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(folders)},
    )
    try:
        wait_for(
            lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), what="promtool"
        )
        process.terminate()
        assert process.wait(30) == 143
    finally:
        process.kill()
    assert not list(folders.iterdir())
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
