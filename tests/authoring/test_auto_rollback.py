"""`import auto-rollback`: the JSON beside the files that it becomes."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rollbackd.authoring.auto_rollback import Imported, import_auto_rollback
from rollbackd.authoring.auto_triggers import _MEASURES
from rollbackd.authoring.folders import place
from rollbackd.authoring.sources import Unusable
from rollbackd.config import load
from rollbackd.core.model import Config

HERE = Path(__file__).parent / "auto"
CASES = sorted(HERE.glob("*.json"))
TODAY = date(2026, 11, 1)
WRITE = os.environ.get("ROLLBACKD_GOLDEN") == "write"
MAIN = """\
version: rollbackd/v1
instance: test
prometheus: {urls: ["http://127.0.0.1:9090"]}
state_dir: state
"""


def text(found: Imported) -> str:
    files = (f"==== {file.name}{' (a program)' if file.program else ''}\n{file.text}" for file in found.files)
    return "".join(files) + "".join(f"note: {note}\n" for note in found.notes)


def loaded(found: Imported, folder: Path) -> Config:
    place(folder, found.files)
    receivers = [
        {"name": name, "webhook": {"url": "http://127.0.0.1:9/"}} for name in found.receivers or ["ops"]
    ]
    (folder / "rollbackd.yml").write_text(f"{MAIN}receivers: {json.dumps(receivers)}\n")
    return load(folder / "rollbackd.yml").core


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_becomes(case: Path) -> None:
    made = text(import_auto_rollback(case, service="api", today=TODAY))
    golden = case.with_suffix(".imported")
    if WRITE:
        golden.write_text(made)
    assert made == golden.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
@pytest.mark.parametrize("service", [None, "api"])
def test_the_files_load_beside_a_rollbackd_yml(case: Path, service: str | None, tmp_path: Path) -> None:
    found = import_auto_rollback(case, service=service, today=TODAY)
    core = loaded(found, tmp_path)
    assert len(core.triggers) == sum(not each.why for each in found.triggers)
    assert {trigger.action for trigger in core.triggers} == {"shadow"}
    asks = json.loads(case.read_text())["auto_rollback"]["require_manual_confirmation"]
    assert {trigger.enforced for trigger in core.triggers} == {"ask" if asks else "auto"}


def test_the_checks_fail_until_they_are_written(tmp_path: Path) -> None:
    place(tmp_path, import_auto_rollback(HERE / "service.json", today=TODAY).files)
    scripts = sorted(tmp_path.rglob("*.sh"))
    assert len(scripts) == 4
    for script in scripts:
        done = subprocess.run([script], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "not written yet" in done.stderr


def one(folder: Path, **trigger: Any) -> Imported:
    return of(folder, triggers=[{"metric": "x", "threshold": 1, **trigger}])


def of(folder: Path, **keys: Any) -> Imported:
    file = folder / "config.json"
    file.write_text(json.dumps({"auto_rollback": {"triggers": [{"metric": "x", "threshold": 1}], **keys}}))
    return import_auto_rollback(file, today=TODAY)


COUNTS = [
    ({"duration_seconds": 120}, 8),
    ({"duration_seconds": 121}, 9),
    ({"duration_seconds": 0}, 1),
    ({}, 1),
    ({"threshold": 3, "consecutive": True}, 4),
    ({"threshold": 2.5, "consecutive": True}, 3),
    ({"threshold": 3, "consecutive": True, "comparison": "greater_than_or_equal"}, 3),
    ({"threshold": 3, "consecutive": True, "comparison": "equals"}, 3),
    ({"consecutive": False, "duration_seconds": 60}, 4),
]


@pytest.mark.parametrize(("keys", "windows"), COUNTS, ids=[str(keys) for keys, _ in COUNTS])
def test_windows(keys: dict[str, Any], windows: int, tmp_path: Path) -> None:
    assert one(tmp_path, **keys).triggers[0].keys["windows"] == windows


@pytest.mark.parametrize("metric", _MEASURES)
def test_what_the_library_measures_uses_it(metric: str, tmp_path: Path) -> None:
    in_a_row = _MEASURES[metric].in_a_row
    found = one(tmp_path, metric=metric, consecutive=in_a_row)
    assert found.triggers[0].keys["use"].startswith("library/")
    (trigger,) = loaded(found, tmp_path / "set").triggers
    assert trigger.windows == (2 if in_a_row else 1)


def test_a_threshold_that_no_share_can_be_stays_an_expression(tmp_path: Path) -> None:
    assert one(tmp_path, metric="error_rate", threshold=250).triggers[0].keys["expr"] == "max(error_rate)"


BAD = [
    ("", ":1:1: is empty; "),
    ("{", ":1:2: is not JSON here ("),
    ('{"a": 1,\n "b": }', ":2:7: is not JSON here ("),
    ("[]", "holds no `auto_rollback`"),
    ("{}", "holds no `auto_rollback`"),
    ('{"auto_rollback": {"triggers": {}}}', "holds no `auto_rollback` with a list"),
    ('{"auto_rollback": {"triggers": [], "triggers": []}}', 'holds the key "triggers" twice'),
    ('{"auto_rollback": {"triggers": [{"threshold": NaN}]}}', "holds NaN"),
    (
        '{"auto_rollback": {"triggers": [], "enabled": "yes"}}',
        "auto_rollback.enabled: expected true or false",
    ),
    ('{"auto_rollback": {"triggers": [], "operation_id": 7}}', "operation_id: expected text of one line"),
    ('{"auto_rollback": {"triggers": [], "rollback_timeout_seconds": 0}}', "expected a number of seconds"),
    ('{"auto_rollback": {"triggers": [], "notification_channels": "a"}}', "expected a list of texts"),
    ('{"auto_rollback": {"triggers": [], "safety_checks": {"a": 1}}}', "expected a mapping of names to"),
    ('{"auto_rollback": {"triggers": [], "rollback_script": "a\\nb"}}', "expected text of one line"),
    ("[" * 100_000, "is nested too deeply"),
    ("groups: []", ":1:1: is not JSON here ("),
    ('"\x00"', "holds the control character U+0000"),
]


@pytest.mark.parametrize(("said", "says"), BAD, ids=[says for _, says in BAD])
def test_what_is_no_such_file_is_refused_in_one_line(said: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(said)
    with pytest.raises(Unusable) as refused:
        import_auto_rollback(file, today=TODAY)
    assert str(refused.value).startswith(f"{file}:")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_a_trigger_there_is_nothing_to_write(tmp_path: Path) -> None:
    assert of(tmp_path, triggers=[]).files == []
    assert one(tmp_path, threshold=None).files == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b: #c", "-", "Ω", "x" * 150, "on", "$(reboot)"])
def test_hostile_names_stay_inside(name: str, tmp_path: Path) -> None:
    found = of(
        tmp_path,
        operation_id=name,
        permit_id=name,
        rollback_script=f"./{name}",
        notification_channels=[name],
        safety_checks={name: True},
        triggers=[{"metric": "x", "threshold": 1, name: 1}],
    )
    folder = tmp_path / "set"
    (plan,) = loaded(found, folder).plans
    assert plan.permit == name
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in written if folder not in path.parents} == {tmp_path / "config.json"}
