"""What all shipped plans have in common."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.plans.stage import PLANS, ROOT, Answer, Stage, needs, read_plan
from tests.plans.test_kubernetes import usual
from tests.plans.test_n8n import KEY, N8n, workflow
from tests.plans.test_terraform import USUAL, tagged

from rollbackd.config import load

REAL = tuple(plan for plan in PLANS if plan != "demo")
# Read by the programs that the scripts call.
OF_PROGRAMS = {"PGHOST", "PGPORT", "PGUSER", "PGPASSFILE", "KUBECONFIG", "TF_PLUGIN_CACHE_DIR"}


def scripts(plan: str) -> dict[str, str]:
    folder = ROOT / "plans" / plan / "scripts"
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def commands(value: Any) -> Iterator[list[str]]:
    """Each argv of a plan."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("run", "probe") and isinstance(item, list):
                yield item
            else:
                yield from commands(item)
    elif isinstance(value, list):
        for item in value:
            yield from commands(item)


def test_files_of_one_name_are_one_file() -> None:
    """A plan's folder is copied and hashed by itself, so it holds what it needs."""
    shared = ["common.sh", *(name for name in scripts("multi-service") if name in scripts("kubernetes"))]
    for name in shared:
        texts = {scripts(plan)[name] for plan in REAL if name in scripts(plan) and not _own(plan, name)}
        assert len(texts) == 1, name


def _own(plan: str, name: str) -> bool:
    """Alike in name alone: another way to the same end."""
    return name != "common.sh" and plan not in ("kubernetes", "multi-service")


@pytest.mark.parametrize("plan", REAL)
def test_every_script_is_used_and_every_variable_is_read(plan: str) -> None:
    texts, document = scripts(plan), read_plan(plan)
    named = {part.removeprefix("./scripts/") for argv in commands(document) for part in argv}
    calls = {name for text in texts.values() for name in re.findall(r"/([\w-]+\.sh)\b", text)}
    assert set(texts) - named - calls == set()
    unread = {
        name
        for name in document["env"]
        if not re.search(rf"\b{name}\b", "".join(texts.values())) and not name.startswith("CONTEXT")
    }
    assert unread - OF_PROGRAMS == set()


def test_each_fits_its_sla_whole_and_in_parts(tmp_path: Path) -> None:
    """For a trigger as people write them: subjects by label, 15 s windows."""
    shutil.copytree(ROOT / "plans", tmp_path / "plans")
    triggers = [
        {
            "trigger": f"Bad-{plan}-{scope}",
            "category": "metric",
            "severity": "critical",
            "expr": "max by (cohort) (bad)",
            "breach": "> 0",
            "windows": 8,
            "per": ["cohort"],
            "plan": plan,
            "scope": scope,
        }
        for plan in REAL
        for scope in ("all", *read_plan(plan).get("scopes", {}))
    ]
    group = {"name": "all", "interval": "15s", "triggers": triggers}
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers/all.yml").write_text(yaml.safe_dump({"version": "rollbackd/v1", "groups": [group]}))
    (tmp_path / "rollbackd.yml").write_text(
        'version: rollbackd/v1\ninstance: i\nprometheus: {urls: ["http://127.0.0.1:9"]}\nstate_dir: state\n'
        'receivers: [{name: terminal, webhook: {url: "http://127.0.0.1:9/"}}]\n'
    )
    loaded = load(tmp_path / "rollbackd.yml")
    assert loaded.warnings == ()
    assert len(loaded.core.triggers) == len(triggers)


def test_levels_are_what_they_must_hold() -> None:
    for plan in REAL:
        document = read_plan(plan)
        if document["level"] >= 3:
            assert document["scopes"]
            assert "data-consistency" in {check["check"] for check in document["verification"]}
        if document["level"] == 4:
            steps = [step for phase in document["phases"] for step in phase["steps"]]
            assert len(document["regions"]) > 1
            assert any("gate" in step for step in steps)
            assert any("announce" in step["step"] for step in steps)


# Dry


def kubernetes(stage: Stage) -> Callable[[], object]:
    stage.plays("kubectl", Answer("* ./migrate version", "20251209000011\n"), *usual())
    maps = {"items": [{"metadata": {"name": "api-config"}, "data": {}}]}
    stage.captures(configmaps_json=maps, eu__configmaps_json=maps, us__configmaps_json=maps)
    looks = r"--namespace=production (auth|get|logs|rollout status|exec \S+ -- ./migrate version)"
    return lambda: [line for line in stage.asked("kubectl") if not re.search(looks, line)]


def terraform(stage: Stage) -> Callable[[], object]:
    repository = stage.folder / "repository"
    tagged(repository, "1.4.2", main_tf="# 1.4.2\n")
    stage.env |= {"REPOSITORY": str(repository), "WORK_DIR": str(stage.folder / "work")}
    stage.plays("terraform", *USUAL)
    return lambda: [line for line in stage.asked("terraform") if not re.search(" (init|plan|show) ", line)]


def systemd_service(stage: Stage) -> Callable[[], object]:
    root = stage.folder / "srv"
    for version in ("1.4.2", "1.5.0"):
        (root / "releases" / version).mkdir(parents=True)
    (root / "current").symlink_to("releases/1.5.0")
    stage.env |= {"ROOT": str(root), "DRAIN_FILE": str(root / "drain")}
    return lambda: [
        stage.asked("systemctl"),
        sorted(map(str, root.rglob("*"))),
        (root / "current").readlink(),
    ]


ENVS = {
    "kubernetes": {"CANARIES": "api-canary", "CACHE": "deployment/redis", "CONFIGMAPS": "api-config"},
    "multi-service": {"CANARIES": "api-canary", "STATUS_URL": "http://127.0.0.1:9/"},
}
WORLDS = {
    "kubernetes": kubernetes,
    "multi-service": kubernetes,
    "terraform": terraform,
    "systemd-service": systemd_service,
}


def dry(stage: Stage, plan: str) -> None:
    """Each step, in each region, with nothing but looking: it succeeds, and says what it would do."""
    document = read_plan(plan)
    for phase in document["phases"]:
        for step in phase["steps"]:
            regions = step.get("regions", document.get("regions", [])) if "each" in step else [""]
            for region in regions if "run" in step else []:
                script, *arguments = step["run"]
                names = {
                    "ROLLBACK_REGION": region,
                    "ROLLBACK_STEP": step["step"],
                    "ROLLBACK_REHEARSAL": "dry",
                }
                done = stage.start(script.removeprefix("./scripts/"), *arguments, **names)
                assert done.returncode == 0, (step["step"], region, done.stderr)


@pytest.mark.parametrize("plan", WORLDS)
def test_a_dry_rehearsal_changes_nothing(plan: str, tmp_path: Path) -> None:
    needs("jq", "git", "curl")
    archive = {"ARCHIVE_DIR": str(tmp_path / "archive")}
    stage = Stage(tmp_path / "stage", plan, **archive, **ENVS.get(plan, {}))
    changes = WORLDS[plan](stage)
    before = changes()
    dry(stage, plan)
    assert changes() == before
    assert not (tmp_path / "archive").exists()


def test_a_dry_rehearsal_of_n8n_only_reads(tmp_path: Path) -> None:
    needs("jq", "curl")
    (tmp_path / "key").write_text(KEY)
    with N8n() as n8n:
        stage = Stage(tmp_path / "stage", "n8n", N8N_URL=n8n.url, API_KEY_FILE=str(tmp_path / "key"))
        stage.captures(workflow_json=workflow())
        dry(stage, "n8n")
        assert {what.split()[0] for what in n8n.asked} == {"GET"}


def test_a_dry_rehearsal_of_the_database_only_reads(tmp_path: Path) -> None:
    """psql is asked one thing: whether a database is there."""
    stage = Stage(tmp_path, "database", REDIS_HOST="cache")
    names = ("psql", "pg_dump", "pg_restore", "redis-cli")
    for name in names:
        stage.plays(name, Answer("*"))
    text = {"database.dump": "dump", "counts.tsv": "", "schema-version": "1"}
    sums = ""
    for name, content in text.items():
        (stage.capture / name).write_text(content)
        sums += f"{hashlib.sha256(content.encode()).hexdigest()}  {name}\n"
    (stage.capture / "SHA256SUMS").write_text(sums)
    dry(stage, "database")
    assert {line for line in stage.asked("pg_restore") if "--list" not in line} == set()
    assert stage.asked("redis-cli") == stage.asked("pg_dump") == []
    looked = [line for line in stage.asked("psql") if "--set=name=" in line and "app_before" in line]
    assert stage.asked("psql") == looked
