"""plans/terraform against a terraform that notes what it is asked, and against the real one, if any."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.plans.stage import Answer, Said, Stage, needs

LOCKED = """\
╷
│ Error: Error acquiring the state lock
│
│ Error message: resource temporarily unavailable
│ Lock Info:
│   ID:        9db590f1-b6fe-c5f2-2678-8804f089deba
│   Path:      s3://states/load-balancer
│   Who:       anna@laptop
│   Created:   2026-11-21 02:10:44 UTC
│
╵
"""
STALE = """\
╷
│ Error: Saved plan is stale
│
│ The given plan file can no longer be applied because the state was changed
╵
"""


def shown(*changes: str) -> str:
    """`terraform show -json` of a plan: "update a.b", "delete a.c"."""
    found = [change.split() for change in changes]
    return json.dumps(
        {"resource_changes": [{"address": at, "change": {"actions": what.split("+")}} for what, at in found]}
    )


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def tagged(repository: Path, tag: str, **files: str) -> None:
    for name, text in files.items():
        path = repository / "load-balancer" / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if not (repository / ".git").exists():
        git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", tag)
    git(repository, "tag", tag)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    needs("git", "jq")
    made = Stage(
        tmp_path, "terraform", REPOSITORY=str(tmp_path / "repository"), WORK_DIR=str(tmp_path / "work")
    )
    tagged(tmp_path / "repository", "1.4.2", main_tf="# 1.4.2\n")
    tagged(tmp_path / "repository", "1.5.0", main_tf="# 1.5.0\n")
    return made


CHANGES = "Plan: 0 to add, 1 to change, 0 to destroy.\n"
USUAL = [
    Answer("* init *"),
    Answer("* plan *", CHANGES, 2),
    Answer("* show *", shown("no-op a.kept", "update a.b")),
    Answer("* apply *", "Apply complete! Resources: 0 added, 1 changed, 0 destroyed.\n"),
]


def planned(stage: Stage) -> None:
    """As plan.sh leaves it: a plan that was saved."""
    saved = stage.folder / "work" / "terraform-1" / "rollback.tfplan"
    saved.parent.mkdir(parents=True, exist_ok=True)
    saved.touch()


FAULTS: list[tuple[str, list[str], dict[str, str], list[Answer], Said]] = [
    ("something to change", ["plan.sh"], {}, [], Said(0, "planned: 0 to add, 1 to change, 0 to destroy.")),
    (
        "nothing to change",
        ["plan.sh"],
        {},
        [Answer("* plan *", "No changes.\n"), Answer("* show *", shown("no-op a.b"))],
        Said(0, "planned: nothing to change"),
    ),
    (
        "the state is locked",
        ["plan.sh"],
        {},
        [Answer("* plan *", LOCKED, 1)],
        Said(
            1,
            "terraform plan: Error acquiring the state lock (ID 9db590f1-b6fe-c5f2-2678-8804f089deba,"
            "Who anna@laptop,Created 2026-11-21 02:10:44 UTC)",
        ),
    ),
    (
        "the backend does not answer",
        ["plan.sh"],
        {"SECONDS_EACH": "1"},
        [Answer("* plan *", status="hangs")],
        Said(1, "terraform plan took longer than 1 s"),
    ),
    (
        "no provider",
        ["plan.sh"],
        {},
        [Answer("* init *", "│ Error: Failed to query available provider packages\n", 1)],
        Said(1, "terraform init: Failed to query available provider packages "),
    ),
    (
        "more would be destroyed than allowed",
        ["plan.sh"],
        {"MAX_DESTROY": "1"},
        [Answer("* show *", shown("delete a.b", "delete+create a.c", "update a.d"))],
        Said(1, "2 resources would be destroyed, and MAX_DESTROY is 1: a person must look, see PLAN_LOG"),
    ),
    (
        "a version that is no tag",
        ["plan.sh"],
        {"ROLLBACK_PREVIOUS_VERSION": "1.3.0"},
        [],
        Said(1, "REPOSITORY has no tag 1.3.0"),
    ),
    (
        "a version that is an option, or a path",
        ["plan.sh"],
        {"ROLLBACK_PREVIOUS_VERSION": "--all"},
        [],
        Said(1, "ROLLBACK_PREVIOUS_VERSION is no version: '--all'"),
    ),
    (
        "a module that the tag does not have",
        ["previous-known.sh"],
        {"MODULE": "network"},
        [],
        Said(1, "REPOSITORY has no tag 1.4.2 with network in it"),
    ),
    (
        "applied",
        ["apply.sh"],
        {},
        [],
        Said(0, "Apply complete! Resources: 0 added, 1 changed, 0 destroyed."),
    ),
    (
        "the state moved on",
        ["apply.sh"],
        {},
        [Answer("* apply *", STALE, 1)],
        Said(1, "terraform apply: Saved plan is stale , see APPLY_LOG"),
    ),
    (
        "the probe sees a difference",
        ["is-applied.sh"],
        {},
        [],
        Said(20, "not as 1.4.2 has it: 0 to add, 1 to change, 0 to destroy."),
    ),
    ("the probe sees none", ["is-applied.sh"], {}, [Answer("* plan *", "No changes.\n")], Said(0, "")),
    (
        "the probe cannot tell",
        ["is-applied.sh"],
        {},
        [Answer("* plan *", "│ Error: error configuring the backend\n", 1)],
        Said(1, "terraform plan: error configuring the backend "),
    ),
    (
        "a state that is none",
        ["capture.sh"],
        {},
        [Answer("* state pull", "<html>")],
        Said(1, "what terraform calls the state is none"),
    ),
]


@pytest.mark.parametrize(
    ("argv", "env", "answers", "said"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_faults(
    stage: Stage, argv: list[str], env: dict[str, str], answers: list[Answer], said: Said
) -> None:
    stage.plays("terraform", *answers, *USUAL)
    planned(stage)
    work = stage.folder / "work" / "terraform-1"
    places = {
        "REPOSITORY": stage.env["REPOSITORY"],
        "PLAN_LOG": str(work / "plan.log"),
        "APPLY_LOG": str(work / "apply.log"),
    }
    found = stage.run(*argv, **env)
    for name, place in places.items():
        found = Said(found.status, found.last.replace(place, name))
    assert found == Said(said.status, said.last.rstrip())


def test_applied_is_what_was_planned_and_nothing_else(stage: Stage) -> None:
    stage.plays("terraform", *USUAL)
    assert stage.run("apply.sh") == Said(1, "no plan was saved: plan.sh comes first")
    assert stage.run("plan.sh").status == 0
    planned(stage)
    assert stage.run("apply.sh").status == 0
    module, saved = (
        "-chdir=" + str(stage.folder / "work/terraform-1/load-balancer"),
        "work/terraform-1/rollback.tfplan",
    )
    assert stage.asked("terraform") == [
        f"{module} init -no-color -lockfile=readonly",
        f"{module} plan -no-color -detailed-exitcode -lock-timeout=30s -out={stage.folder / saved}",
        f"{module} show -no-color -json {stage.folder / saved}",
        f"{module} apply -no-color -lock-timeout=30s {stage.folder / saved}",
    ]
    assert (stage.folder / "work/terraform-1/load-balancer/main.tf").read_text() == "# 1.4.2\n"
    assert stage.run("clean-up.sh").status == 0
    assert sorted(path.name for path in (stage.folder / "work").rglob("*") if path.is_file()) == [
        "terraform-1-apply.log",
        "terraform-1-init.log",
        "terraform-1-plan.log",
    ]


@pytest.mark.skipif(
    shutil.which("terraform") is None, reason="terraform is not installed, and Debian has none"
)
def test_the_real_terraform(stage: Stage) -> None:
    """With the one resource that needs no provider: changed, and made, by the version that is taken back."""
    repository = stage.folder / "repository"
    state = f'terraform {{\n  backend "local" {{ path = "{stage.folder}/state" }}\n}}\n'
    one = 'resource "terraform_data" "lb" {\n  input = "%s"\n}\n'
    tagged(repository, "2.0.0", main_tf=one % "old", backend_tf=state)
    tagged(repository, "2.1.0", main_tf=one % "new" + 'resource "terraform_data" "more" {}\n')
    new = {"ROLLBACK_PREVIOUS_VERSION": "2.1.0", "ROLLBACK_ID": "forward"}
    assert stage.run("plan.sh", **new).status == 0
    assert stage.run("apply.sh", **new).last.startswith("Apply complete! Resources: 2 added")

    old = {"ROLLBACK_PREVIOUS_VERSION": "2.0.0", "MAX_DESTROY": "1"}
    assert stage.run("capture.sh", **old).last.startswith("captured serial 3")
    assert stage.run("is-applied.sh", **old).status == 20
    assert stage.run("plan.sh", **{**old, "MAX_DESTROY": "0"}).status == 1
    assert stage.run("plan.sh", **old) == Said(0, "planned: 0 to add, 1 to change, 1 to destroy.")
    assert stage.run("apply.sh", **old).last == "Apply complete! Resources: 0 added, 1 changed, 1 destroyed."
    assert stage.run("is-applied.sh", **old).status == 0
    values = [
        each["instances"][0]["attributes"]["input"]["value"]
        for each in json.loads((stage.folder / "state").read_text())["resources"]
    ]
    assert values == ["old"]
