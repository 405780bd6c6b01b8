"""plans/kubernetes, and what plans/multi-service shares with it, against a kubectl that notes everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.plans.life import Life
from tests.plans.stage import Answer, Said, Stage, needs
from tests.servers import Recorder, Reply

OLD, NEW = "registry/api-service:1.4.2", "registry/api-service:1.5.0"
NOTE = "deployment.kubernetes.io/"


def deployment(name: str, image: str = NEW, replicas: int = 2, ready: int = 2, **note: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "generation": 3, "annotations": {NOTE + key: note[key] for key in note}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {"containers": [{"name": "main", "image": image}]}},
        },
        "status": {
            "observedGeneration": 3,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": ready,
        },
    }


def replica_set(owner: str, image: str, revision: int, past: str = "") -> dict[str, Any]:
    notes = {NOTE + "revision": str(revision)} | ({NOTE + "revision-history": past} if past else {})
    return {
        "metadata": {"ownerReferences": [{"kind": "Deployment", "name": owner}], "annotations": notes},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}},
    }


SETS = [
    replica_set("api-service", "registry/api-service:1.4.0", 7),
    replica_set("api-service", OLD, 9, past="2,8"),
    replica_set("api-service", NEW, 10),
    replica_set("auth-service", "registry/auth-service:1.4.2", 10),
    replica_set("auth-service", "registry/auth-service:1.5.0", 11),
]
CAPTURED = {"items": [deployment("api-service", OLD, replicas=4, revision="8")]}


def usual(image: str = NEW) -> list[Answer]:
    """A cluster in which all is well, but for the new version."""
    return [
        Answer("* auth can-i *"),
        Answer("* get replicasets *", json.dumps({"items": SETS})),
        Answer("* get deployment *containers?0?.image}", image),
        Answer("* get deployment api-service *containers?[*]*", image),
        Answer("* get deployment auth-service *containers?[*]*", image.replace("api-", "auth-")),
        Answer("* get deployment * --output=jsonpath={.spec.replicas}", "2"),
        Answer("* get deployment api-service *json", json.dumps(deployment("api-service", image))),
        Answer("* get deployment auth-service *json", json.dumps(deployment("auth-service"))),
        Answer("* get deployment api-canary *json", json.dumps(deployment("api-canary"))),
        Answer("* get pods --output=wide", "NAME\n"),
        Answer("* get pods *name"),
        Answer("* get --raw *", '{"status": "healthy"}'),
        Answer("* get configmap api-config *", "configmap/api-config\n"),
        Answer("* get configmap auth-config *"),
        Answer("* logs *", "a line\n"),
        Answer("* exec *", "OK\n"),
        Answer("* rollout *"),
        Answer("* scale *"),
        Answer("* replace *"),
        Answer("* create *"),
        Answer("* delete *"),
    ]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    needs("jq")
    made = Stage(tmp_path, "kubernetes", ARCHIVE_DIR=str(tmp_path / "archive"))
    made.plays("kubectl", *usual())
    return made


def changing(stage: Stage) -> list[str]:
    """What it was asked that changes something, without where."""
    looks = ("auth ", "get ", "logs ", "rollout status ")
    asked = [line.split("--namespace=production ")[1] for line in stage.asked("kubectl")]
    return [line for line in asked if not line.startswith(looks)]


class TestWell:
    def test_undone_to_the_captured_revision_whatever_its_number_is_by_now(self, stage: Stage) -> None:
        stage.captures(deployments_json=CAPTURED)
        assert stage.run("undo.sh", "api-service") == Said(0, "api-service settled")
        assert changing(stage) == ["rollout undo deployment/api-service --to-revision=9"]
        assert stage.asked("kubectl")[-1].endswith("rollout status deployment/api-service --timeout=120s")

    def test_undone_to_the_previous_versions_tag_where_nothing_was_captured(self, stage: Stage) -> None:
        assert stage.run("undo.sh", "auth-service").status == 0
        assert changing(stage) == ["rollout undo deployment/auth-service --to-revision=10"]

    def test_undone_once(self, stage: Stage) -> None:
        stage.plays("kubectl", *usual(OLD))
        assert stage.run("is-previous.sh", "api-service") == Said(0, f"api-service: {OLD}")
        assert stage.run("undo.sh", "api-service").status == 0
        assert changing(stage) == []

    def test_configuration_whole_without_what_the_cluster_wrote_into_it(self, stage: Stage) -> None:
        maps = [
            {
                "kind": "ConfigMap",
                "metadata": {"name": name, "resourceVersion": "7", "uid": "u"},
                "data": {"a": "1"},
            }
            for name in ("api-config", "auth-config")
        ]
        stage.captures(configmaps_json={"items": maps})
        assert stage.run("restore-configuration.sh", CONFIGMAPS="api-config auth-config").status == 0
        assert changing(stage) == ["replace --filename=-", "create --filename=-"]
        kept = {"namespace": None, "labels": None, "annotations": None}
        assert stage.given("kubectl") == [
            {"kind": "ConfigMap", "metadata": {"name": name, **kept}, "data": {"a": "1"}}
            for name in ("api-config", "auth-config")
        ]

    def test_replicas_only_ever_rise(self, stage: Stage) -> None:
        stage.captures(
            deployments_json={
                "items": [deployment("api-service", replicas=4), deployment("auth-service", replicas=1)]
            }
        )
        assert stage.run("restore-replicas.sh").status == 0
        assert changing(stage) == ["scale deployment api-service --replicas=4"]

    def test_canaries_to_nothing_and_then_gone(self, stage: Stage) -> None:
        assert stage.run("drain-canaries.sh", CANARIES="api-canary") == Said(0, "drained")
        assert stage.run("remove-canaries.sh", CANARIES="api-canary").status == 0
        assert changing(stage) == [
            "scale deployment api-canary --replicas=0",
            "delete deployment api-canary --ignore-not-found --wait=false",
        ]

    def test_a_region_is_a_context(self, stage: Stage) -> None:
        assert stage.run("healthy.sh", ROLLBACK_REGION="eu-1", CONTEXT_eu_1="frankfurt").status == 0
        assert {line.split()[0] for line in stage.asked("kubectl")} == {"--context=frankfurt"}

    def test_captured_is_what_is_restored(self, stage: Stage) -> None:
        """One deployment alone is no list to kubectl; the capture is one always."""
        one = json.dumps(deployment("api-service", OLD, replicas=4, revision="8"))
        stage.plays("kubectl", Answer("* get deployments api-service --output=json", one), *usual())
        said = stage.run("capture.sh", "eu", CONTEXT_eu="eu", SERVICES="api-service")
        assert said == Said(0, f"api-service {OLD} 4")
        assert json.loads((stage.capture / "eu-deployments.json").read_text()) == CAPTURED
        assert stage.run("undo.sh", "api-service", ROLLBACK_REGION="eu", CONTEXT_eu="eu").status == 0
        assert changing(stage) == ["rollout undo deployment/api-service --to-revision=9"]

    def test_the_logs_are_kept(self, stage: Stage) -> None:
        assert stage.run("keep-logs.sh").status == 0
        kept = sorted((stage.folder / "archive" / "kubernetes-1").iterdir())
        assert [(file.name, file.read_text()) for file in kept] == [
            ("api-service.log", "a line\n"),
            ("auth-service.log", "a line\n"),
        ]


FAULTS: list[tuple[str, list[str], dict[str, str], list[Answer], Said]] = [
    (
        "the rollout does not end",
        ["undo.sh", "api-service"],
        {},
        [Answer("* rollout status *", "error: timed out waiting for the condition\n", 1)],
        Said(1, "api-service did not settle within 120 s: kubectl describe deployment/api-service"),
    ),
    (
        "undoing is refused",
        ["undo.sh", "api-service"],
        {},
        [Answer("* rollout undo *", "Error from server (Forbidden)\n", 1)],
        Said(1, f"api-service was not undone: still {NEW}"),
    ),
    (
        "nothing is left to go back to",
        ["undo.sh", "api-service"],
        {"ROLLBACK_PREVIOUS_VERSION": "1.3.9"},
        [],
        Said(1, "api-service has no revision with image :1.3.9 left: see its revisionHistoryLimit"),
    ),
    (
        "the replica sets are no JSON",
        ["is-previous.sh", "api-service"],
        {},
        [Answer("* get replicasets *", "<html>")],
        Said(1, "api-service has no revision with image :1.4.2 left: see its revisionHistoryLimit"),
    ),
    (
        "the probe sees the new version",
        ["is-previous.sh", "api-service"],
        {},
        [],
        Said(20, f"api-service: {NEW}, wanted {OLD}"),
    ),
    (
        "the probe gets no answer",
        ["is-previous.sh", "api-service"],
        {},
        [Answer("* get deployment *", "connection refused\n", 1)],
        Said(1, "api-service: no answer"),
    ),
    (
        "not allowed",
        ["ready.sh"],
        {},
        [Answer("* auth can-i patch deployments --subresource=scale *", "no\n", 1)],
        Said(1, "not allowed, or nobody answers: kubectl auth can-i patch deployments --subresource=scale"),
    ),
    (
        "the API server hangs",
        ["ready.sh"],
        {"SECONDS_EACH": "1"},
        [Answer("* auth can-i *", status="hangs")],
        Said(1, "not allowed, or nobody answers: kubectl auth can-i get replicasets"),
    ),
    (
        "pods do not end",
        ["drain-canaries.sh"],
        {"CANARIES": "api-canary", "DRAIN_SECONDS": "1"},
        [Answer("* get pods --selector=app=api-canary *", "pod/a\npod/b\n")],
        Said(1, "pods of api-canary do not end: pod/a, pod/b"),
    ),
    (
        "pods are not ready",
        ["pods-ready.sh"],
        {},
        [Answer("* get deployment auth-service *json", json.dumps(deployment("auth-service", ready=1)))],
        Said(1, "auth-service: 1 of 2 pods ready, 2 of the newest revision"),
    ),
    (
        "a service is unwell",
        ["healthy.sh"],
        {},
        [Answer("* get --raw *auth-service*", '{"status": "degraded"}')],
        Said(1, "auth-service is degraded"),
    ),
    (
        "a service answers nonsense",
        ["healthy.sh"],
        {},
        [Answer("* get --raw *", "<html>Welcome</html>")],
        Said(1, "api-service answers no JSON: <html>Welcome</html>"),
    ),
    (
        "a path answers with an error",
        ["smoke.sh"],
        {"SMOKE_PATHS": "api-service/ready auth-service/ready"},
        [Answer("* get --raw *auth-service:http/proxy/ready", "Error from server (ServiceUnavailable)\n", 1)],
        Said(1, "auth-service/ready does not answer, or not with success"),
    ),
    (
        "the cache wants a password, and redis-cli calls that success",
        ["flush-cache.sh"],
        {"CACHE": "deployment/redis"},
        [Answer("* exec *", "NOAUTH Authentication required.\n")],
        Said(1, "deployment/redis did not flush: NOAUTH Authentication required."),
    ),
    (
        "nothing was captured to restore",
        ["restore-configuration.sh"],
        {"CONFIGMAPS": "api-config"},
        [],
        Said(1, "no configuration was captured"),
    ),
    (
        "a region without a context",
        ["healthy.sh"],
        {"ROLLBACK_REGION": "us"},
        [],
        Said(1, "CONTEXT_us is not set: which cluster is us?"),
    ),
    (
        "a capture that is not to be had",
        ["capture.sh"],
        {},
        [Answer("* get deployments *", 'deployments.apps "auth-service" not found\n', 1)],
        Said(1, "one of deployments api-service auth-service is not to be had"),
    ),
    (
        "an image without a tag",
        ["release.sh"],
        {},
        [Answer("* get deployment api-service *containers?0?*", "registry:5000/api-service@sha256:abc")],
        Said(1, "registry:5000/api-service has no tag"),
    ),
]


@pytest.mark.parametrize(
    ("argv", "env", "answers", "said"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_faults(
    stage: Stage, argv: list[str], env: dict[str, str], answers: list[Answer], said: Said
) -> None:
    stage.plays("kubectl", *answers, *usual())
    assert stage.run(*argv, **env) == said


class TestRegions:
    """What plans/multi-service has of its own."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        needs("jq")
        made = Stage(tmp_path, "multi-service")
        made.plays("kubectl", Answer("* ./migrate version", "20251209000011\n"), *usual())
        return made

    def test_a_check_says_in_which_region_it_fails(self, stage: Stage) -> None:
        bad = Answer("--context=us * get --raw *", '{"status": "degraded"}')
        stage.plays("kubectl", bad, *usual())
        assert stage.run("everywhere.sh", "healthy.sh") == Said(1, "us: auth-service is degraded")

    @pytest.mark.parametrize(
        ("status", "said"), [(202, Said(0, "")), (401, Said(1, "URL/notes answers with 401"))]
    )
    def test_customers_are_told_once(self, stage: Stage, status: int, said: Said) -> None:
        """Under one key, and with a token that is on no command line."""
        needs("curl")
        token = stage.folder / "token"
        token.write_text("s3cret\n")
        with Recorder(Reply(status)) as page:
            env = {"STATUS_URL": f"{page.url}/notes", "STATUS_TOKEN_FILE": str(token)}
            found = stage.run("announce.sh", "begun", **env)
            assert Said(found.status, found.last.replace(page.url, "URL")) == said
        (request,) = page.requests
        assert request.headers["authorization"] == "Bearer s3cret"
        assert request.headers["idempotency-key"] == request.json()["key"] == "multi-service-1/begun"

    def test_the_schema_goes_down_once(self, stage: Stage) -> None:
        assert stage.run("schema-is-previous.sh").status == 20
        said = stage.run("migrate-down.sh")
        assert said == Said(1, "the schema is at 20251209000011, wanted 20251201120000")
        stage.plays("kubectl", Answer("* ./migrate version", "20251201120000\n"), *usual())
        assert stage.run("migrate-down.sh") == Said(0, "the schema is at 20251201120000 already")
        assert changing(stage).count("exec deployment/api-service -- ./migrate down-to 20251201120000") == 1

    @pytest.mark.parametrize(
        ("version", "script", "env", "said"),
        [
            ("20251209000011", "reversible.sh", {}, Said(0, "")),
            (
                "20251209000011",
                "reversible.sh",
                {"IRREVERSIBLE_FROM": "20251209000008"},
                Said(
                    20,
                    "migration 20251209000008 ran (the schema is at 20251209000011), and it cannot be undone",
                ),
            ),
            ("20251209000007", "reversible.sh", {"IRREVERSIBLE_FROM": "20251209000008"}, Said(0, "")),
            (
                "dirty",
                "reversible.sh",
                {},
                Said(1, "deployment/api-service says that the schema is at: dirty"),
            ),
            (
                "20251101000000",
                "migrate-down.sh",
                {},
                Said(1, "the schema is at 20251101000000, older than 20251201120000: nothing was done"),
            ),
        ],
    )
    def test_the_schema(
        self, stage: Stage, version: str, script: str, env: dict[str, str], said: Said
    ) -> None:
        stage.plays("kubectl", Answer("* ./migrate version", version + "\n"), *usual())
        assert stage.run(script, **env) == said
        assert not [line for line in changing(stage) if "down-to" in line]

    def test_region_after_region(self, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The scope without the database, in the daemon, on clusters where everything is undone already."""
        monkeypatch.setenv("PATH", stage.env["PATH"])
        both = [deployment(f"{name}-service", replicas=2, revision="9") for name in ("auth", "api")]
        stage.plays(
            "kubectl",
            Answer("* get deployments auth-service api-service *", json.dumps({"items": both})),
            Answer("* get configmaps *", json.dumps({"items": [{"metadata": {"name": "api-config"}}]})),
            Answer("* get replicasets *", json.dumps({"items": NINTH})),
            Answer("* ./migrate version", "20251201120000\n"),
            *usual(OLD),
        )
        with Life(tmp_path / "life", "multi-service", {"CACHE": ""}) as life:
            life.release("1.4.2", "1.5.0")
            assert life.roll_back("application") == "verified", life.told()
            ran = [step["step"] for step in life.life("multi-service-1")["steps"] if step["state"] == "done"]
        assert ran == [
            *("ready@eu", "ready@us", "announce", "drain-canaries@eu", "drain-canaries@us"),
            *("restore-configuration@eu", "restore-configuration@us", "restart@eu", "restart@us"),
            *("undo-auth@eu", "undo-auth@us", "undo-api@eu", "undo-api@us"),
            *("flush-cache@eu", "flush-cache@us", "restore-replicas@eu", "restore-replicas@us"),
        ]
        replaced = [line.split()[0] for line in stage.asked("kubectl") if "replace" in line]
        assert replaced == ["--context=eu", "--context=us"]


NINTH = [
    replica_set("api-service", OLD, 9),
    replica_set("auth-service", OLD.replace("api-", "auth-"), 9),
]
