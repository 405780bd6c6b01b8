"""Files of tests: broken ones beside what is said of them, and what is made of sound ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollbackd.config import ConfigErrors, Problem, check_paths, examine, suites
from rollbackd.config.series import Mark
from rollbackd.config.suites import Suite, read_instance, read_suite

HERE = Path(__file__).parent
BROKEN = sorted((HERE / "broken_tests").glob("*.test.yml"))


def said(problems: list[Problem]) -> list[str]:
    return [f"{each.severity}: {each}".replace(f"{HERE / 'broken_tests'}/", "") for each in problems]


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: file.name.removesuffix(".test.yml"))
def test_says_what_is_wrong_where_and_what_to_do(file: Path) -> None:
    """And checking says the same as running."""
    suite = read_suite(file, str(file))
    lines = said(suite.problems())
    assert lines == file.with_suffix("").with_suffix(".expected").read_text().splitlines()
    assert suite.sound == all(line.startswith("warning: ") for line in lines)
    if file.name != "other-kind.test.yml":  # checked by its keys, it is a file of triggers
        assert check_paths([file]) == suite.problems()


def test_every_broken_file_has_its_lines() -> None:
    assert len(BROKEN) >= 50
    expected = {path.stem for path in (HERE / "broken_tests").glob("*.expected") if path.read_text()}
    assert expected == {file.name.removesuffix(".test.yml") for file in BROKEN}


TRIGGERS = (HERE / "broken_tests" / "triggers.yml").read_text()


def suite(folder: Path, tests: str, config: str = "") -> Suite:
    """`tests`: the entries of `tests:`, a line each."""
    (folder / "triggers.yml").write_text(TRIGGERS)
    entries = "".join(f"  - {line}\n" for line in tests.strip().splitlines())
    file = folder / "a.test.yml"
    file.write_text(f"version: rollbackd/v1\ntriggers: [triggers.yml]\ntests:\n{entries}")
    main = folder / "rollbackd.yml"
    main.write_text(f"version: rollbackd/v1\ninstance: a\nprometheus: {{urls: [http://a:9090]}}\n{config}")
    return read_suite(file, "a.test.yml", read_instance(main if config else None))


def test_a_case_is_its_trigger_its_subject_and_its_windows(tmp_path: Path) -> None:
    found = suite(
        tmp_path,
        """
{name: a, trigger: QueueOld, readings: "1x2 ? _ 9", expect: &none {fires: []}}
{name: b, trigger: ErrorsHigh, subject: {cohort: canary}, readings: "1", traffic: "?", expect: {streak: 0}}
{name: c, trigger: QueueOld, input_series: [{series: a, values: 1x4}, {series: b, values: _}], expect: *none}
{name: d, trigger: QueueOld, interval: 5s, input_series: [{series: a, values: "1x8"}], expect: {fires: []}}
{name: e, trigger: QueueOld, interval: 1m, input_series: [{series: a, values: "1x2"}], expect: {fires: []}}
""",
    )
    assert found.problems() == []
    assert [
        (each.trigger.name, each.subject, each.windows, each.step, each.line()) for each in found.cases
    ] == [
        ("QueueOld", "", 6, 15_000, 4),
        ("ErrorsHigh", "canary", 1, 15_000, 5),
        ("QueueOld", "", 5, 15_000, 6),
        ("QueueOld", "", 3, 5_000, 7),
        ("QueueOld", "", 9, 60_000, 8),
    ]
    assert found.cases[0].model.readings == [(1.0, 1.0, 1.0, Mark.UNASKED, Mark.ABSENT, 9.0)]
    assert found.cases[1].model.traffic == [(Mark.UNASKED,)]
    assert list(found.triggers) == ["ErrorsHigh", "QueueOld", "Both"]


def test_a_template_of_the_library_is_filled_for_the_case(tmp_path: Path) -> None:
    case = '{name: NAME, trigger: library/error-ratio, set: {SET}, readings: "1", expect: {fires: []}}'
    one = case.replace("NAME", "a").replace("SET", "service: api")
    two = case.replace("NAME", "b").replace("SET", "service: api, threshold: 0.5")
    found = suite(tmp_path, f"{one}\n{two}")
    assert found.problems() == []
    limits = [str(each.trigger.condition.breach) for each in found.cases]
    assert (limits[0] != "> 0.5", limits[1]) == (True, "> 0.5")
    assert found.triggers["library/error-ratio"] == found.cases[0].trigger


def test_severities_and_the_ceiling_are_the_instances(tmp_path: Path) -> None:
    case = '{name: a, trigger: QueueOld, readings: "1", expect: {fires: []}}'
    assert suite(tmp_path, case).cases[0].trigger.action == "auto_with_warning"
    said = "actions: {high: {action: ask}}\nmax_action: notify\n"
    assert suite(tmp_path, case, said).cases[0].trigger.action == "ask"
    assert read_instance(tmp_path / "rollbackd.yml").max_action == "notify"
    (tmp_path / "rollbackd.yml").write_text("version: rollbackd/v1\n")
    with pytest.raises(ConfigErrors, match="instance: is missing"):
        read_instance(tmp_path / "rollbackd.yml")


def test_what_is_wrong_with_the_triggers_is_told_and_one_bad_trigger_hides_no_other(tmp_path: Path) -> None:
    case = '{name: a, trigger: ErrorsHigh, subject: {cohort: a}, readings: "1", expect: {fires: []}}'
    found = suite(tmp_path, case)
    (tmp_path / "triggers.yml").write_text(TRIGGERS.replace("windows: 3", "windows: 0", 1))
    broken = read_suite(found.document.path, "a.test.yml")
    assert [str(problem) for problem in broken.problems()] == [
        "triggers.yml:16:118: windows: is 0; write a number from 1 to 10000"
    ]
    assert [each.name for each in broken.cases] == ["a"]


def test_a_folder_stands_for_the_tests_below_it(tmp_path: Path) -> None:
    for name in ("b.test.yml", "a.test.yml", "a.yml", "sub/c.test.yml", ".hidden/d.test.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    names = ["a.test.yml", "b.test.yml", "sub/c.test.yml"]
    assert suites.files_of_tests(tmp_path) == [tmp_path / name for name in names]
    assert suites.files_of_tests(tmp_path / "a.yml") == [tmp_path / "a.yml"]


def test_checking_counts_the_files_of_tests_that_are_named(tmp_path: Path) -> None:
    found = suite(tmp_path, '{name: a, trigger: QueueOld, readings: "1", expect: {fires: []}}')
    assert check_paths([found.document.path, tmp_path / "triggers.yml"]) == []
    checked = examine([found.document.path, tmp_path / "triggers.yml"])
    assert (checked.files, checked.triggers, checked.whole) == (2, 3, False)
