"""Comments that disable lints: where they stand, what they say, and what is said of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from tests.config.lints.files import HEAD, TODAY, entry, lay, lints

from rollbackd.config import Checked, examine
from rollbackd.config.comments import comments

OFF = "# rollbackd: disable irate until 2026-12-31 because of the exporter"
TEXT = '"sum(irate(x_total[1m]))"'


def check(folder: Path, text: str, today: date = TODAY) -> Checked:
    """The file of triggers as given."""
    main = lay(folder)
    (folder / "triggers/api.yml").write_text(text)
    return examine([main], today)


def two(first: str = f"expr: {TEXT}", before: str = "", head: str = HEAD) -> str:
    """A trigger with these keys, lines before it, and another after it; both use irate()."""
    return head + before + entry(first) + entry(f"trigger: U\nexpr: {TEXT}")


PLACES: list[tuple[str, str, int]] = [
    ("on the line", two(f"expr: {TEXT} {OFF}"), 1),
    ("above the line", two(f"{OFF}\nexpr: {TEXT}"), 1),
    ("above it, with others between", two(f"{OFF}\n# another\n\nexpr: {TEXT}"), 1),
    ("elsewhere in the trigger", two(f"expr: {TEXT}\nlabels: {{team: a}} {OFF}"), 1),
    ("at its end", two(f"expr: {TEXT}\nlabels: {{team: a}}\n{OFF}\nannotations: {{summary: a}}"), 1),
    ("above the trigger", two(before=f"      {OFF}\n"), 1),
    ("on the trigger's first line", two().replace("trigger: T", f"trigger: T {OFF}"), 1),
    ("above the group", two(head=HEAD.replace("  - name", f"  {OFF}\n  - name")), 0),
    ("beside the group's name", two(head=HEAD.replace("api\n", f"api {OFF}\n")), 0),
    ("at the head of the file", two(head=f"{OFF}\n{HEAD}"), 0),
    ("at the head, under another comment and ---", two(head=f"# hi\n{OFF}\n\n---\n{HEAD}"), 0),
    ("beside the version, for that line alone", two(head=HEAD.replace("v1\n", f"v1 {OFF}\n")), 3),
    ("in quotes it is no comment", two(f"expr: {TEXT}\nlabels: {{team: 'a {OFF}'}}"), 2),
    (
        "in a block of text neither",
        two(f"expr: {TEXT}\nannotations:\n  summary: |\n    text\n    {OFF}\n    more"),
        2,
    ),
    ("but beside the sign of one it is", two(f"expr: {TEXT}\nannotations:\n  summary: | {OFF}\n    text"), 1),
    ("and below one", two(f"expr: {TEXT}\nannotations:\n  summary: |\n    text\n{OFF}"), 1),
]


@pytest.mark.parametrize(("text", "left"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
def test_where_it_stands(text: str, left: int, tmp_path: Path) -> None:
    """`left`: how many warnings are left of two, with one of the comment where it disables nothing."""
    checked = check(tmp_path, text)
    assert [problem for problem in checked.problems if problem.severity == "error"] == []
    assert len(checked.problems) == left
    assert all(problem.lint in ("irate", "disable-unused") for problem in checked.problems)
    assert len(checked.disabled) == 2 - [problem.lint for problem in checked.problems].count("irate")
    for disabled in checked.disabled:
        assert (disabled.problem.lint, disabled.until) == ("irate", date(2026, 12, 31))
        assert disabled.because == "because of the exporter"


SAYINGS: list[tuple[str, list[str], str]] = [
    ("disable irate until 2026-12-31", [], ""),
    ("disable irate until 2026-11-21", [], ""),
    (
        "disable irate until 2026-11-20",
        ["disable-expired", "irate"],
        "disabled irate until 2026-11-20, which has passed; mend what it hid, or give it another day",
    ),
    ("disable irate, several-series until 2026-12-31", ["disable-unused"], "there is no several-series here"),
    ("disable irate,several-series until 2026-12-31", ["disable-unused"], "remove it"),
    ("disable irat until 2026-12-31", ["disable-unknown", "irate"], "no lint `irat`; did you mean `irate`?"),
    ("disable nonsense until 2026-12-31", ["disable-unknown", "irate"], "check --explain list"),
    ("disable disable-unused until 2026-12-31", ["disable-unknown", "irate"], "cannot be disabled"),
    ("disable irate", ["disable-malformed", "irate"], "does not say what, or until when; write `disable ID"),
    ("disable until 2026-12-31", ["disable-malformed", "irate"], "does not say what, or until when"),
    ("disable irate until tomorrow", ["disable-malformed", "irate"], "does not say what, or until when"),
    ("disable irate until 2026-02-30", ["disable-malformed", "irate"], "there is no day 2026-02-30"),
    ("disable irate until 2026-12-311", ["disable-malformed", "irate"], "does not say"),
    ("ignore irate", ["disable-malformed", "irate"], "`ignore irate` means nothing"),
    ("", ["disable-malformed", "irate"], "`` means nothing"),
    ("disable online-slow until 2026-12-31", ["irate"], ""),
]


@pytest.mark.parametrize(("said", "expected", "told"), SAYINGS)
def test_what_it_says(said: str, expected: list[str], told: str, tmp_path: Path) -> None:
    checked = check(tmp_path, HEAD + entry(f"expr: {TEXT} # rollbackd: {said}"))
    assert sorted(lints(checked)) == sorted(expected)
    assert told in "\n".join(map(str, checked.problems))


def test_an_error_is_not_disabled(tmp_path: Path) -> None:
    text = HEAD + entry(f'expr: "sum(x) > 3" {OFF}')
    assert {problem.severity for problem in check(tmp_path, text).problems} >= {"error"}


def test_what_only_the_whole_shows_is_not_missed_in_a_file_alone(tmp_path: Path) -> None:
    keys = 'expr: "sum(rate(x_total[1m]))"\naction: auto\narm: always'
    off = "# rollbackd: disable undoes-the-undo until 2026-12-31"
    main = lay(tmp_path, entry(f"{keys} {off}"))
    assert lints(examine([main], TODAY)) == []
    assert lints(examine([tmp_path / "triggers/api.yml"], TODAY)) == []
    assert len(examine([main], TODAY).disabled) == 1


def test_where_comments_are(tmp_path: Path) -> None:
    text = (
        "# rollbackd: one\n\n# plain\na: 1 # rollbackd: two\n"
        "b: 'é # rollbackd: no' #rollbackd:three\nc: x#rollbackd:no\nd: >-\n  # rollbackd: no\n"
        'e: "\n  # rollbackd: no\n  "\n  # rollbackd: four\n'
    )
    assert [(each.line, each.column, each.text, each.target) for each in comments(text)] == [
        (1, 1, "one", 4),
        (4, 6, "two", 4),
        (5, 24, "three", 5),
        (12, 3, "four", 0),
    ]


TEMPLATE = """\
  - template: {name}
    about: Errors.
    parameters: {{service: {{type: label-value, about: the service}}}}
    example: {{service: api}}
    trigger:
      trigger: "${{service}}-{name}"
      severity: medium
      expr: 'sum(irate(x_total{{service="${{service}}"}}[1m]))'
      breach: "> 1"
      windows: 30
"""


def test_a_template_is_linted_by_its_example_and_disabled_as_a_trigger_is(tmp_path: Path) -> None:
    file = tmp_path / "triggers/library.yml"
    file.parent.mkdir()
    two = TEMPLATE.format(name="one") + f"  {OFF}\n" + TEMPLATE.format(name="two")
    file.write_text(f"version: rollbackd/v1\ncategory: metric\ntemplates:\n{two}")
    (file.parent / "a.test.yml").write_text("tests: [{trigger: library/one}, {trigger: library/two}]\n")
    checked = examine([file], TODAY)
    assert [(each.line, each.lint) for each in checked.problems] == [(11, "irate")]
    assert [(each.problem.line, each.problem.lint) for each in checked.disabled] == [(22, "irate")]
