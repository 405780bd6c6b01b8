"""JUnit's XML, whatever tests are called."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.tuning.suite import results

from rollbackd.config import Problem
from rollbackd.tuning.junit import Ran, document

HOSTILE = ["</testcase>", "a & b", "quote\" '", "]]>", "日本 é 🙂", "%0A::error::", "<!--", "\u200b"]


def parsed(ran: list[Ran]) -> ElementTree.Element:
    return ElementTree.fromstring(document(ran))


def test_names_of_any_kind(tmp_path: Path) -> None:
    tests = "\n".join(
        f"- name: {json.dumps(name, ensure_ascii=False)}\n  trigger: Queue\n  readings: 99x3\n"
        f"  expect: {{fires: [{3 + number % 2}]}}"
        for number, name in enumerate(HOSTILE)
    )
    root = parsed([Ran("a\x00\ud800\ufffe.yml", [], results(tmp_path, tests))])
    (suite,) = root
    assert suite.attrib == {
        "name": r"a\x00\ud800\ufffe.yml",
        "tests": "8",
        "failures": "4",
        "errors": "0",
        "skipped": "0",
    }
    assert [case.attrib["name"] for case in suite] == HOSTILE
    assert {case.attrib["classname"] for case in suite} == {"a.test.yml"}
    assert [case.attrib["line"] for case in suite] == [str(4 + 4 * number) for number in range(8)]
    failed = [case.find("failure") for case in suite]
    assert [found is not None for found in failed] == [False, True] * 4
    assert failed[1] is not None
    assert failed[1].attrib["message"] == "fires: expected [4], got [3] (breachx4)"
    assert failed[1].text == "a.test.yml:11: fires: expected [4], got [3] (breachx4)"


def test_a_file_with_errors_and_what_was_skipped(tmp_path: Path) -> None:
    (one,) = results(tmp_path, "- {name: a, trigger: Queue, readings: 1x3, expect: {fires: []}}")
    skipped = type(one)(one.case, skipped="there is <no> Prometheus")
    problem = Problem("b.test.yml", 3, 1, "tests", "is empty", "add an entry")
    first, second = parsed([Ran("a.test.yml", [], [one, skipped]), Ran("b.test.yml", [problem], [])])
    assert (first.attrib["tests"], first.attrib["skipped"], first.attrib["failures"]) == ("2", "1", "0")
    told = first[1].find("skipped")
    assert told is not None
    assert told.attrib["message"] == "there is <no> Prometheus"
    assert (second.attrib["tests"], second.attrib["errors"]) == ("1", "1")
    error = second[0].find("error")
    assert error is not None
    assert error.text == "b.test.yml:3:1: tests: is empty; add an entry"
