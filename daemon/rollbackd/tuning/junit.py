"""Results as JUnit's XML, which CI systems show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from msgspec import Struct

from rollbackd.config import Problem
from rollbackd.tuning.cases import Result

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Ran(Struct, frozen=True):
    """One file of tests: what is wrong with it, else its results."""

    file: str
    problems: Sequence[Problem]
    results: Sequence[Result]


def document(ran: Iterable[Ran]) -> bytes:
    """A suite a file, in their order. A file with errors is one test that could not be run."""
    root = ElementTree.Element("testsuites", name="rollbackd test")
    for file in ran:
        root.append(_suite(file))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(ran: Ran) -> Element:
    failures = sum(bool(result.mismatches) for result in ran.results)
    skipped = sum(bool(result.skipped) for result in ran.results)
    counts = {
        "tests": len(ran.results) or 1,
        "failures": failures,
        "errors": 1 if ran.problems else 0,
        "skipped": skipped,
    }
    suite = _element("testsuite", name=ran.file, **{name: str(count) for name, count in counts.items()})
    if ran.problems:
        case = _element("testcase", name="the file", classname=ran.file, file=ran.file)
        case.append(_told("error", f"{len(ran.problems)} errors", map(str, ran.problems)))
        suite.append(case)
    suite.extend(map(_case, ran.results))
    return suite


def _case(result: Result) -> Element:
    case = result.case
    line = str(case.line())
    element = _element("testcase", name=case.name, classname=case.file, file=case.file, line=line)
    if result.skipped:
        element.append(_element("skipped", message=result.skipped))
    if result.mismatches:
        told = [f"{case.file}:{each.line}: {each.key}: {each.what}" for each in result.mismatches]
        if result.unusable:
            told.append(f"unusable answers: {result.unusable}")
        first = result.mismatches[0]
        element.append(_told("failure", f"{first.key}: {first.what}", told))
    return element


def _told(tag: str, message: str, lines: Iterable[str]) -> Element:
    element = _element(tag, message=message)
    element.text = _sound("\n".join(lines))
    return element


def _element(tag: str, **attributes: str) -> Element:
    return ElementTree.Element(tag, {name: _sound(text) for name, text in attributes.items()})


def _sound(text: str) -> str:
    return _NO_XML.sub(lambda found: ascii(found[0])[1:-1], text)
