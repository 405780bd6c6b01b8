"""The page: whole, harmless, small, and saying what the outcome says."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace
from tests.tuning import browser, hostile, month
from tests.tuning.plainly import INTERVAL, START, outcome, score, spelled, trigger

from rollbackd.core.history import Column, History, no_answers, windows
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Condition, Limit, composed, subject_key
from rollbackd.tuning import backtest
from rollbackd.tuning.backtest import Backtest
from rollbackd.tuning.page import page
from rollbackd.tuning.scoring import Incident
from rollbackd.tuning.sweep import Axis, Cell, Sweep

VOID = {"meta", "br"}


class Page(HTMLParser):
    """What a reader of HTML finds in it; what is not closed in order is an AssertionError."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags = Counter[str]()
        self.classes = Counter[str]()
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[tuple[int, str]] = []
        self.pictures: list[Counter[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        kinds = (dict(attrs).get("class") or "").split()
        self.classes.update(kinds)
        if tag == "svg" and "chart" in kinds:
            self.pictures.append(Counter())
        elif "svg" in self.open and self.pictures:
            self.pictures[-1][tag] += 1
        if tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            level, said = self.headings[-1]
            self.headings[-1] = (level, said + data)


@pytest.fixture(scope="module")
def small() -> Backtest:
    """A day and a bit with an incident, under one setting."""
    return month.backtest(5.0, cohorts=("canary", "eu-1"))


def test_it_is_whole_and_fetches_nothing(small: Backtest) -> None:
    text = page(small)
    read = Page(text)
    assert "script" not in read.tags
    assert [name for _, name, _ in read.attributes if name.startswith("on") or name in ("style", "src")] == []
    links = [value for _, name, value in read.attributes if name in ("href", "xlink:href")]
    identities = Counter(value for _, name, value in read.attributes if name == "id")
    assert max(identities.values()) == 1
    assert [link for link in links if not link.startswith("#") or link[1:] not in identities] == []
    named = {
        word for _, name, value in read.attributes if name == "aria-labelledby" for word in value.split()
    }
    assert set(named) <= set(identities)
    filled = re.findall(r"url\(#([^)]*)\)", text)
    assert set(filled) <= set(identities)
    assert re.findall(r"url\((?!#)|@import|@font-face", text) == []
    assert "default-src 'none'" in text


def test_headings_descend_one_at_a_time(small: Backtest) -> None:
    levels = [level for level, _ in Page(page(small)).headings]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_each_chart_says_what_it_shows(small: Backtest) -> None:
    read = Page(page(small))
    assert len(read.pictures) == 2 + 1  # subjects, a fire
    assert all(picture["title"] >= 1 and picture["desc"] == 1 for picture in read.pictures)


def test_it_says_what_was_found(small: Backtest) -> None:
    read = Page(page(small))
    said = " ".join(read.text.split())
    assert "ApiErrorRatioHigh would have fired once in 5d: 1 of 1 incident caught, 0 false." in said
    assert "caught 12s late: “Checkout fails for new sessions”" in said
    assert "28,800 windows of 15s, which ended from 2026-11-01 00:00:15 to 2026-11-06 00:00:00 UTC" in said
    assert "recovered" not in said
    assert read.classes["mark"] == 1 + 1 + 2  # the overview, the detail, the legend


def test_what_is_drawn_of_a_tape() -> None:
    found = spelled(trigger(), canary="..XXX.XXX..__XX..", stable="...........--...?")
    known = (Incident(START + 13 * INTERVAL, START + 14 * INTERVAL, "cert expired"),)
    read = Page(page(month.shown(backtest.Tested(found, score=score(found, known)))))
    # In the overview, and in the details of the fire, the incident and the near miss; and in the legend.
    assert (read.classes["hidden"], read.classes["false"]) == (1 + 3 + 1, 1 + 3 + 3)
    assert read.classes["missed"] == 2 + 3 + 1
    assert [name for _, name in read.headings] == [
        "triggers/api.yml",
        "In short",
        "ApiErrorRatioHigh",
        "All windows",
        "Would have fired",
        "Incidents",
        "Hidden fires",
        "Near misses",
        "Time in each verdict",
        "Window by window",
        "How this was computed",
    ]


def test_single_windows_stand_beneath_a_fire() -> None:
    found = spelled(trigger(), canary="..XXX.__-?..")
    text = page(month.shown(backtest.Tested(found)))
    detail = text[text.index('id="t1-fire-1"') :]
    glyphs = dict(re.findall(r'<g class="c-(\w+)">.*?<text [^>]*>([^<]*)</text>', detail))
    assert glyphs == {"breach": "XXX", "ok": ".....", "no_data": "__", "low_traffic": "-", "unknown": "?"}


def ratio_and_seconds(aligns: tuple[int, ...]) -> backtest.Tested:
    """Four windows at each of the alignments; the seconds are 0.2, 0.4, … of one subject."""
    seconds = Condition("latency_seconds", Limit(">", 0.5), coverage=("timestamp(latency_seconds)",))
    of = trigger(2, condition=composed("all", (trigger().condition, seconds)))
    stretches = []
    for at, align in enumerate(aligns):
        first = START + at * 4 * INTERVAL + INTERVAL + align
        found = no_answers(window_queries(of.condition), windows(first, first + 3 * INTERVAL, INTERVAL))
        for query, values in ((0, (0, 2, 4, 8)), (1, (100,) * 4), (2, (0.2, 0.4, 0.6, 0.8)), (3, (9e9,) * 4)):
            column = found.columns[query].setdefault("canary", Column(4))
            for window, value in enumerate(values):
                column.put(window, value)
        stretches.append(found)
    return backtest.Tested(spelled(of, canary="..XX" * len(aligns)), tuple(stretches))


def test_each_part_of_a_composed_condition_has_its_plot() -> None:
    text = page(month.shown(ratio_and_seconds((0,))))
    overview = text[text.index('<figure id="t1-s1">') : text.index("</figure>")]
    lines = [re.findall(r"[ V](\d+)", way) for way in re.findall(r'class="line"[^>]* d="([^"]*)"', overview)]
    assert [len(line) for line in lines] == [4, 4]
    assert all(sorted(map(int, line), reverse=True) == list(map(int, line)) for line in lines)  # both rise
    assert re.findall(r'class="limit-text"[^>]*>([^<]*)<', overview) == [
        "errors / total &gt; 0.01",
        "seconds &gt; 0.5",
    ]
    assert "with a reading <b>all(&gt; 0.01, &gt; 0.5)</b>" in text


def test_windows_that_moved_are_told_of() -> None:
    text = page(month.shown(ratio_and_seconds((0, 3_000, 3_000))))
    assert "Windows ended at multiples of the interval, then 3s past multiples of the interval." in text


def test_hostile_words_stay_words() -> None:
    text = page(hostile.backtest())
    read = Page(text)
    assert set(read.tags) & {"script", "img", "plan"} == set()
    assert read.tags["style"] == read.tags["body"] == read.tags["html"] == 1
    assert [value for _, name, value in read.attributes if "javascript:" in value and name == "href"] == []
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "{{ 7 * 7 }}{% raw %}" in read.text
    assert '<script>alert("x")</script>' in read.text
    assert len(text.encode()) < 400_000  # what is long is cut


def test_without_any_subject_or_annotation_it_says_so() -> None:
    read = Page(page(month.shown(backtest.Tested(outcome(trigger(annotations={}), [], {})))))
    assert "saw no subject in 0s: nothing was judged" in read.text


def noise(windows_each: int, subjects: int) -> tuple[History, Condition]:
    """The worst to draw: every reading anywhere, every verdict at any time."""
    condition = Condition("noise_seconds", Limit(">", 0.5))
    ends = windows(START + INTERVAL, START + windows_each * INTERVAL, INTERVAL)
    found, draw = no_answers(window_queries(condition), ends), Random(3).random
    for at in range(subjects):
        column = Column(windows_each)
        for window in range(windows_each):
            if draw() < 0.8:
                column.put(window, draw() ** 4)
        found.columns[0][subject_key((f"c{at}",))] = column
    return found, condition


def noisy(windows_each: int, subjects: int) -> backtest.Tested:
    answered, condition = noise(windows_each, subjects)
    tapes = {
        key: "".join(
            "_" if not there else "X" if condition.breach.holds(value) else ".?-."[int(value * 1e6) % 4]
            for there, value in zip(column.there, column.values, strict=True)
        )
        for key, column in answered.columns[0].items()
    }
    of = trigger(2, condition=condition, cooldown=0)
    found = spelled(of, **tapes)
    known = tuple(
        Incident(START + at * 40_000_000, START + at * 40_000_000 + 600_000, f"incident {at}")
        for at in range(60)
    )
    scored = score(found, known)
    axes = tuple(Axis(key, tuple(map(str, range(16)))) for key in ("windows", "cooldown"))
    cells = tuple(
        Cell((first, second), 9, 9, 9, scored, scored.lead)
        for first in axes[0].values
        for second in axes[1].values
    )
    return backtest.Tested(found, (answered,), scored, Sweep(axes, cells, 3, 9, found))


def test_the_noisiest_month_weighs_under_a_megabyte() -> None:
    tested = noisy(30 * 5_760, 10)
    assert len(tested.outcome.fires) > 1_000
    text = page(month.shown(tested, end=START + 30 * month.DAY))
    assert len(text.encode()) < 1_000_000
    assert "more fires" in text
    assert "more close by" in text


def test_a_page_of_many_triggers_stays_a_page() -> None:
    one = noisy(5_760, 10)
    text = page(month.shown(*(one for _ in range(12))))
    assert len(text.encode()) < 2_500_000
    assert "2 of 10 subjects are drawn" in text


def test_every_reading_beyond_the_limit_is_seen_however_short() -> None:
    """One window of 172,800, in the red part of a line and in the lane of breaches."""
    answered, many = month.history(0.01, ("canary",)), 30 * 5_760
    ends = windows(START + INTERVAL, START + many * INTERVAL, INTERVAL)
    errors, totals = Column(many), Column(many)
    for window in range(many):
        totals.put(window, 100.0)
        errors.put(window, 50.0 if window == 77_777 else 0.0)
    whole = replace(answered, ends=ends, columns=({"canary": errors}, {"canary": totals}))
    found = spelled(trigger(), canary="." * 77_777 + "X" + "." * (many - 77_778))
    text = page(month.shown(backtest.Tested(found, (whole,)), end=START + 30 * month.DAY))
    line = re.search(r'class="line"[^>]*d="([^"]*)"', text)
    lane = re.search(r'class="v-breach" d="([^"]*)"', text)
    assert line is not None
    assert lane is not None
    assert lane[1] == "M432 0H433v9H432z"
    top = min(int(y) for y in re.findall(r"[V ](\d+)", line[1]))
    assert top < 100  # of 960: at the top


@pytest.mark.skipif(
    not browser.installed(), reason="no chromium: what only a browser tells of a page is not tested"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_in_a_browser(scheme: browser.Scheme, small: Backtest, tmp_path: Path) -> None:
    pages = {"small": page(small), "hostile": page(hostile.backtest())}
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text)
    async with browser.browser(tmp_path / "browser") as tab:
        for name in pages:
            for width in (390, 1280):
                await tab.open((tmp_path / f"{name}.html").as_uri(), width, scheme)
                assert await tab.value("document.documentElement.scrollWidth") <= width, (name, width)
                assert await tab.value(PALE) == [], (name, width)
        assert tab.told == []
        assert {url.split(":")[0] for url in tab.requested} == {"file"}
        assert len(set(tab.requested)) == len(pages)


PALE = """
(() => {
  const light = rgb => rgb.map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const read = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const [r, g, b, a = 1] = read(getComputedStyle(node).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || node.closest(".glyph, title, desc")) continue;
    const style = getComputedStyle(node);
    const ink = light(read(node.closest("svg") ? style.fill : style.color).slice(0, 3));
    const paper = light(behind(node));
    const contrast = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (contrast < 4.5) pale.push([node.tagName, node.className.baseVal ?? node.className, contrast]);
  }
  return pale;
})()
"""
"""Texts of less contrast than 4.5 to what is behind them."""
