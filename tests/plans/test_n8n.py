"""plans/n8n against an n8n that keeps a workflow, wants its key, and is strict about a PUT."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.plans.stage import Said, Stage, needs
from tests.servers import Threaded

KEY = "n8n_api_secret"
AT = "/api/v1/workflows/customer-onboarding"
EDITED = ("name", "nodes", "connections", "settings")


def workflow(name: str = "onboarding 4.4", active: bool = True) -> dict[str, Any]:
    return {
        "id": "customer-onboarding",
        "name": name,
        "active": active,
        "nodes": [{"id": "1", "name": "Webhook", "parameters": {"path": name}}],
        "connections": {"Webhook": {"main": []}},
        "settings": {"executionOrder": "v1"},
        "versionId": name,
        "updatedAt": "2026-11-21T02:00:00Z",
        "tags": [],
    }


class N8n(Threaded):
    """`faults`: by "METHOD PATH", how often, and what is answered instead: a status (0: nothing), a body."""

    def __init__(self) -> None:
        super().__init__()
        self.workflow = workflow("onboarding 4.5")
        self.asked: list[str] = []
        self.faults: dict[str, tuple[int, int, str]] = {}
        self._over = threading.Event()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        super().__exit__(*exc)

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        what = f"{handler.command} {handler.path.removeprefix(AT)}"
        self.asked.append(what)
        times, status, text = self.faults.get(what, (0, 0, ""))
        if times:
            self.faults[what] = (times - 1, status, text)
            if status == 0:
                self._over.wait(30)
        elif handler.path.startswith("/webhook/"):
            status, text = 200, ""
        elif handler.headers.get("X-N8N-API-KEY") != KEY:
            status, text = 401, '{"message": "unauthorized"}'
        else:
            status, text = self._api(what, json.loads(body or b"{}"))
        content = text.encode()
        handler.send_response(status or 504)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _api(self, what: str, body: dict[str, Any]) -> tuple[int, str]:
        match what:
            case "GET ":
                pass
            case "PUT " if set(body) == set(EDITED):
                self.workflow |= body | {"versionId": "another"}
            case "PUT ":
                return 400, '{"message": "request/body must NOT have additional properties"}'
            case "POST /activate" | "POST /deactivate":
                self.workflow["active"] = what == "POST /activate"
            case _:
                return 404, '{"message": "Not Found"}'
        return 200, json.dumps(self.workflow)


@pytest.fixture
def n8n() -> Iterator[N8n]:
    with N8n() as server:
        yield server


@pytest.fixture
def stage(tmp_path: Path, n8n: N8n) -> Stage:
    needs("curl", "jq")
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    made = Stage(tmp_path / "stage", "n8n", N8N_URL=n8n.url, API_KEY_FILE=str(key))
    made.captures(workflow_json=workflow())
    return made


STEPS = [
    "backup-is-sound.sh",
    "deactivate.sh",
    "restore.sh",
    "activate.sh",
    "is-restored.sh",
    "is-active.sh",
    "answers.sh",
]


def test_a_workflow_goes_back_to_what_was_captured(stage: Stage, n8n: N8n) -> None:
    n8n.workflow = workflow()
    assert stage.run("capture.sh") == Said(0, "captured onboarding 4.4: 1 nodes, active")
    n8n.workflow = workflow("onboarding 4.5")
    assert stage.run("is-restored.sh") == Said(20, "other than captured: name, nodes")
    for script in STEPS:
        assert stage.run(script, WEBHOOK_PATH="onboarding").status == 0, script
    assert {name: n8n.workflow[name] for name in EDITED} == {name: workflow()[name] for name in EDITED}
    assert n8n.workflow["active"] is True
    assert [what for what in n8n.asked if not what.startswith("GET")] == [
        "POST /deactivate",
        "PUT ",
        "POST /activate",
        "POST /webhook/onboarding",
    ]


def test_what_was_inactive_stays_inactive(stage: Stage, n8n: N8n) -> None:
    stage.captures(workflow_json=workflow(active=False))
    for script in STEPS:
        assert stage.run(script).status == 0, script
    assert n8n.workflow["active"] is False
    assert "POST /activate" not in n8n.asked


FAULTS: list[tuple[str, str, dict[str, tuple[int, int, str]], Said]] = [
    ("once 500: a GET is asked again", "is-active.sh", {"GET ": (1, 500, "oops")}, Said(0, "")),
    (
        "500",
        "is-restored.sh",
        {"GET ": (9, 500, '{"message": "database is locked"}')},
        Said(1, "n8n answered GET PATH with 500: database is locked"),
    ),
    (
        "500 to a PUT, which is not asked again",
        "restore.sh",
        {"PUT ": (1, 500, "<html>bad gateway</html>")},
        Said(1, "n8n answered PUT PATH with 500: <html>bad gateway</html>"),
    ),
    ("401", "deactivate.sh", {"GET ": (1, 401, "{}")}, Said(1, "n8n refuses the key in KEY (401)")),
    ("gone", "backup-is-sound.sh", {"GET ": (1, 404, "{}")}, Said(1, "n8n knows no PATH (404)")),
    (
        "not JSON",
        "is-restored.sh",
        {"GET ": (1, 200, "<html>Sign in</html>")},
        Said(1, "n8n answered GET PATH with no JSON object: <html>Sign in</html>"),
    ),
    (
        "slow",
        "activate.sh",
        {"POST /activate": (1, 0, "")},
        Said(1, "n8n at URL: (28) Operation timed out after N milliseconds with 0 bytes received"),
    ),
    (
        "it says yes and does not",
        "restore.sh",
        {"PUT ": (1, 200, "{}")},
        Said(1, "n8n took the definition, and has another"),
    ),
    (
        "it stays active",
        "deactivate.sh",
        {"POST /deactivate": (1, 200, '{"active": true}')},
        Said(1, "n8n left customer-onboarding active"),
    ),
    (
        "its webhook fails",
        "answers.sh",
        {"POST /webhook/onboarding": (1, 500, "")},
        Said(1, "the webhook answers with 500"),
    ),
]


@pytest.mark.parametrize(
    ("script", "faults", "said"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_faults(
    stage: Stage, n8n: N8n, script: str, faults: dict[str, tuple[int, int, str]], said: Said
) -> None:
    n8n.faults = faults
    found = stage.run(script, REQUEST_SECONDS="1", WEBHOOK_PATH="onboarding")
    last = found.last.replace(AT, "PATH").replace(n8n.url, "URL").replace(stage.env["API_KEY_FILE"], "KEY")
    words = [
        "N" if word.isdecimal() and "timed out" in last and word != "0" else word for word in last.split()
    ]
    assert Said(found.status, " ".join(words)) == said
    assert n8n.workflow["name"] == "onboarding 4.5"


def test_nobody_is_there(stage: Stage) -> None:
    """Port 9 is discard's, below those that anybody is given."""
    said = stage.run("is-restored.sh", N8N_URL="http://127.0.0.1:9")
    assert said.status == 1
    assert said.last.startswith("n8n at http://127.0.0.1:9: (7) Failed to connect")


def test_the_key_is_on_no_command_line(stage: Stage) -> None:
    """curl is asked through one that notes its arguments."""
    real = stage.folder / "bin" / "curl"
    real.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{stage.folder}/curl.asked"\nPATH=${{PATH#*:}} exec curl "$@"\n'
    )
    real.chmod(0o755)
    for script in STEPS:
        assert stage.run(script, WEBHOOK_PATH="onboarding").status == 0, script
    asked = stage.asked("curl")
    assert len(asked) > len(STEPS)
    assert not [line for line in asked if KEY in line]
