"""The schemas accept what the reader accepts, and refuse what an editor should underline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.config.test_broken import CASES, HERE, lay_out

from rollbackd.authoring.keys import reachable
from rollbackd.authoring.kinds import KINDS
from rollbackd.authoring.schema import schema, text
from rollbackd.config import check_paths
from rollbackd.config.yaml_source import NULL, read

ROOT = Path(__file__).parents[2]
VALIDATORS = {kind: jsonschema.Draft202012Validator(schema(kind)) for kind in KINDS}
SEEN = re.compile(
    r"unknown key|expected .*, got|is missing|cannot stand beside|means nothing without|is empty"
)
"""What an editor must see; the rest is between values, files, or in PromQL."""
LEFT_TO_THE_READER = ("main/web-port-high", "triggers/promql-argument-count", "triggers/promql-range-missing")


def plain(value: Any) -> Any:
    """As a YAML reader gives it."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return None if value is NULL else value


def kind_of(path: Path) -> str:
    if path.name == "rollbackd.yml":
        return "config"
    if path.name == "plan.yml":
        return "plan"
    if path.name.endswith(".test.yml"):
        return "test"
    return "library" if re.search("^templates:", path.read_text(), re.MULTILINE) else "trigger"


def refusals(path: Path) -> list[str]:
    data = read(path, str(path), path.name).data
    return [error.message for error in VALIDATORS[kind_of(path)].iter_errors(plain(data))]


@pytest.mark.parametrize("kind", KINDS)
def test_is_a_schema_and_describes_every_key(kind: str) -> None:
    made = schema(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    assert made == schema(kind), "the same each time"
    assert text(kind).endswith("}\n")
    drawn = [each for each in [made, *made["$defs"].values()] if "if" not in each]
    whole = [name for name, each in made["$defs"].items() if "if" not in each and not name.endswith("InPart")]
    assert 1 + len(whole) == len(reachable(KINDS[kind].model)) + len(KINDS[kind].instead)
    for each in drawn:
        assert each["title"]
        assert each["additionalProperties"] is False
        assert all(key["description"] for key in each["properties"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_says_the_defaults_as_they_are_written(kind: str) -> None:
    """Each default is itself what the schema accepts."""
    made = schema(kind)
    for each in [made, *made["$defs"].values()]:
        for name, key in each.get("properties", {}).items():
            if "default" in key:
                resolved = {**key, "$defs": made["$defs"]}
                assert jsonschema.Draft202012Validator(resolved).is_valid(key["default"]), name


GOOD = [
    path
    for folder in ("tests/config/good", "tests/config/base", "triggers", "plans")
    for path in sorted((ROOT / folder).rglob("*.yml"))
    if "good" not in folder or not path.name.endswith(".test.yml")  # one that the reader must not read
]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: str(path.relative_to(ROOT)))
def test_accepts_what_is_shipped(path: Path) -> None:
    assert refusals(path) == []


def place_of(case: Path) -> str:
    match = re.match(rb"# as: (\S+)", case.read_bytes()) if case.is_file() else None
    return match[1].decode() if match else ""


SINGLE = [
    case
    for case in CASES
    if case.parent.name in ("main", "triggers", "plans") and place_of(case).endswith(".yml")
]


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_refuses_what_the_reader_refuses_as_far_as_a_schema_can(case: Path, tmp_path: Path) -> None:
    path = lay_out(case, tmp_path / "set").parent / place_of(case)
    if read(path, "", "").data is None:
        pytest.skip("is no YAML")
    own = [each for each in check_paths([tmp_path / "set" / "rollbackd.yml"]) if each.file == str(path)]
    wrong = [each for each in own if each.severity == "error"]
    seen = any(SEEN.search(each.what) for each in wrong)
    if seen and f"{case.parent.name}/{case.stem}" not in LEFT_TO_THE_READER:
        assert refusals(path) != []
    elif not wrong:
        assert refusals(path) == []


TESTS = sorted((HERE / "broken_tests").glob("*.test.yml"))


@pytest.mark.parametrize("case", TESTS, ids=lambda case: case.name.removesuffix(".test.yml"))
def test_refuses_of_tests_what_the_reader_refuses_as_far_as_a_schema_can(case: Path) -> None:
    if read(case, "", "").data is None:
        pytest.skip("is no YAML")
    wrong = [each for each in check_paths([case]) if each.severity == "error"]
    if any(SEEN.search(each.what) for each in wrong) and case.name != "set-missing.test.yml":  # of a template
        assert refusals(case) != []
    elif not wrong:
        assert refusals(case) == []


USES = [
    ("{use: library/error-ratio, set: {service: api}, plan: api}", True),
    ("{use: library/error-ratio, windows: 3, breach: '> 0.5', action: shadow, plan: api}", True),
    ("{use: library/error-ratio, window: 3}", False),
    ("{use: library/error-ratio, windows: three}", False),
    ("{use: [a]}", False),
    ("{set: {service: api}, plan: api}", False),
]


@pytest.mark.parametrize(("entry", "right"), USES, ids=[entry for entry, _ in USES])
def test_an_entry_may_use_a_template(entry: str, right: bool, tmp_path: Path) -> None:
    file = tmp_path / "api.yml"
    file.write_text(f"version: rollbackd/v1\ngroups: [{{name: g, triggers: [{entry}]}}]\n")
    assert (refusals(file) == []) is right


def test_the_cases_are_both() -> None:
    assert len(SINGLE) > 150
