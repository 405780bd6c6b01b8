"""The page of a life: whole, harmless, small, and saying what its record says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from tests.report import lives
from tests.report.lives import LIVES, Told
from tests.report.pages import Page
from tests.tuning import browser

from rollbackd.report import markdown
from rollbackd.report.document import encoded
from rollbackd.report.page import page
from rollbackd.report.page.composing import LONGEST_OUTPUT
from rollbackd.report.parts import earlier

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?%?")
MOST = 300_000
"""bytes of each form of a report, of a thousand subjects too"""


@cache
def told(name: str) -> Told:
    return LIVES[name]()


@cache
def shown(name: str) -> Page:
    one = told(name)
    return Page(page(one.life, one.rows))


@pytest.mark.parametrize("name", LIVES)
def test_a_whole_document_that_fetches_and_runs_nothing(name: str) -> None:
    found = shown(name)
    assert found.tags["html"] == found.tags["main"] == found.tags["h1"] == 1
    assert not {"script", "img", "link", "iframe", "object", "form", "input", "a"} & set(found.tags)
    policies = [value for tag, name, value in found.attributes if value.startswith("default-src")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name in ("href", "src")]


@pytest.mark.parametrize("name", LIVES)
def test_every_number_of_a_picture_is_one(name: str) -> None:
    for tag, attribute, value in shown(name).attributes:
        if attribute in ("x", "x1", "x2", "y", "y1", "y2", "cx", "cy", "r", "rx") and tag != "svg":
            assert NUMBER.fullmatch(value), (tag, attribute, value)
        if attribute == "width" and tag == "rect":
            assert 0 < float(value.removesuffix("%")) <= 100


@pytest.mark.parametrize("name", LIVES)
def test_each_form_can_be_sent(name: str) -> None:
    one = told(name)
    sizes = [
        len(page(one.life, one.rows).encode()),
        len(encoded(one.life, one.rows)),
        len(markdown(one.life, one.rows).encode()),
    ]
    assert max(sizes) < MOST, sizes


def test_hostile_text_is_text() -> None:
    """Fault 68: labels, outputs, comments, names of people and plans."""
    found = shown("hostile")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]", found.text)
    assert '<script>alert("x")</script>' in found.text
    assert "{{ 7 * 7 }}" in found.text
    assert "w" * (LONGEST_OUTPUT + 1) not in found.text


SAYS = {
    "verified": (
        "successful: verified by the metrics",
        "met",
        "7 of 7 planned steps were executed unchanged (100 %)",
        "Output of deploy-api, execution 5",
        "connection refused",
        "minimal",
    ),
    "failed": (
        "Failure record",
        "attempts/api-1/0004-restore/output",
        "bob: senior SRE looks at the backup",
        "verify backups when they are taken",
        "NOT met",
        "55m19s",
    ),
    "regional": ("2m30s", "breached", "region us", "by hand", "dora", "5 of 5 planned steps"),
    "widened": ("1 of 2 planned steps", "deploy-auth: failed", "40 % faster"),
    "looked_at": ("User login works", "sue", "nobody ticked it (support)"),
    "shadowed": ("Nothing was run.", "shadowed"),
    "crowd": ("… and 900 more",),
}


@pytest.mark.parametrize("name", SAYS)
def test_it_says_what_the_record_says(name: str) -> None:
    text = " ".join(shown(name).text.split())
    assert [words for words in SAYS[name] if words not in text] == []


@pytest.mark.parametrize("name", LIVES)
def test_blanks_are_marked_and_facts_name_their_rows(name: str) -> None:
    found, rows = shown(name), [row for row in told(name).rows if row.kind != "report_written"]
    assert found.classes["blank"] == 4
    assert found.text.count("To be filled in by a person.") == 4
    assert f"rows {rows[0].seq} to {rows[-1].seq}" in found.text
    assert rows[-1].hash in found.text


def test_a_picture_shows_what_ran_waited_and_escalated() -> None:
    regional, failed = shown("regional").classes, shown("failed").classes
    assert (regional["gate"], regional["manual"], regional["held"]) == (2, 2, 2)  # the legend, and once each
    assert all(regional[line] for line in ("sla", "target", "verified"))
    assert failed["rung"] >= 1
    assert failed["escalated"] == 3
    assert shown("verified").classes["point"] == 5


def test_parts_are_measured_by_what_earlier_rollbacks_took() -> None:
    one = told("widened")
    before = [found for scope in ("all", "database") if (found := earlier(lives.part(scope).life))]
    text = " ".join(Page(page(one.life, one.rows, before)).text.split())
    assert "database 30 % faster 53.8 % faster 44.4 % faster 1m50s 3m18s (measured) 1" in text


# In a browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pages")
    for name in LIVES:
        one = told(name)
        (found / f"{name}.html").write_text(page(one.life, one.rows))
    return found


@pytest.mark.skipif(not browser.installed(), reason="chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_a_browser_shows_it_without_a_word_and_within_its_width(
    folder: Path, tmp_path: Path, width: int, scheme: browser.Scheme
) -> None:
    async with browser.browser(tmp_path) as tab:
        for name in ("failed", "hostile", "regional", "widened"):
            url = (folder / f"{name}.html").as_uri()
            await tab.open(url, width, scheme)
            assert tab.told == []
            assert [each for each in tab.requested if not each.startswith("file:")] == []
            assert await tab.value("document.documentElement.scrollWidth") <= width
            dark = await tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
            assert dark is (scheme == "dark")
