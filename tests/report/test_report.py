"""The report of a life: everything the record holds, nothing it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tests.report import lives
from tests.web.scene import MINUTE, Scene, config, plan, trigger

from rollbackd.core import signals as s
from rollbackd.core.fold import fold_life
from rollbackd.core.model import Check, Command
from rollbackd.report import markdown
from rollbackd.report.escape import block, cell, code, prose, visible

GOLDEN = Path(__file__).parent / "golden"

HOSTILE = "<script>`id` | **x**\n\x1b[31m\u202e$(id) [a](javascript:b) # &lt;"


def say(scene: Scene, verb: s.Verb, who: str = "ann") -> None:
    reply = scene.take(s.OperatorSpoke(0, verb, who, "socket")).reply
    assert reply is not None
    assert reply.accepted, reply.text


def report(scene: Scene, life: str) -> str:
    rows = list(scene.journal.replay())
    found = scene.state.lives.get(life) or fold_life([row.event for row in rows if row.event], life)
    assert found is not None
    return markdown(found, rows)


def verified() -> tuple[Scene, str]:
    """A rollout goes bad; a step needs two attempts; it ends verified."""
    scene = Scene()
    say(scene, s.BeginRollout("api", "v2.0", "v2.1", permit="P-7"))
    scene.window({"canary": "0.001"})
    life = scene.fire()
    scene.run_step(life, output="draining\ndone", output_bytes=14)
    scene.run_step(life, status=1, detail="connection refused")
    scene.pass_time(3_000)
    scene.page()
    scene.run_step(life)
    for _ in range(3):
        scene.window({"canary": "0.001"})
    scene.run_step(life)
    return scene, life


def failed() -> tuple[Scene, str]:
    """Asked for, approved, fails, pages, is acknowledged and resolved by hand."""
    checks = (Check("backup-exists", run=Command(("./backup.sh",))),)
    scene = Scene(config(plans=(plan(safety_checks=checks),), triggers=(trigger(action="ask"),)))
    life = scene.fire()
    scene.take(s.CheckAnswered(f"check/{life}/safety/backup-exists", "pass", 0, "", "yes"))
    scene.window({"canary": "0.03"})
    scene.page()
    say(scene, s.Ack(life, "looking"))
    scene.pass_time(MINUTE)
    say(scene, s.Approve(life, comment="go"), "bob")
    scene.run_step(life)
    scene.run_step(life, status=3, output="no such release")
    scene.pass_time(3_000)
    scene.run_step(life, status=3, output="no such release")
    scene.page(accepted=False)
    scene.page()
    say(scene, s.Ack(life, "mine"))
    scene.pass_time(16 * MINUTE)
    say(scene, s.Resolve(life, "by hand", "helm rollback, checked"))
    return scene, life


def by_hand() -> tuple[Scene, str]:
    """Started by a person, and aborted at once."""
    scene = Scene()
    say(scene, s.Start("api", "customers call"))
    say(scene, s.Abort("api", now=True))
    scene.take(s.StepExited("api-1", 1, "stopped", detail="TERM"))
    return scene, "api-1"


STORIES = {"verified": verified, "failed": failed, "by_hand": by_hand}


@pytest.mark.parametrize("name", STORIES)
def test_golden(name: str, pytestconfig: pytest.Config) -> None:
    """But for the anchor's hash, which is another whenever an event has one field more."""
    scene, life = STORIES[name]()
    assert re.sub("[0-9a-f]{64}", "HASH", report(scene, life)) == (GOLDEN / f"{name}.md").read_text(
        encoding="utf-8"
    )


def test_it_holds_what_the_seeds_ask_for() -> None:
    text = report(*verified())
    for name in (
        "Operation",
        "Rollback triggered",
        "Rollback completed",
        "Duration",
        "Outcome",
        "Customer impact",
        "Trigger type",
        "Reason",
        "Metric",
        "Detection",
        "Method",
        "Attempts",
        "Manual intervention",
        "SLA compliance",
        "Downtime",
        "Affected requests",
        "Failed requests",
        "Customer complaints",
        "Revenue impact",
    ):
        assert f"- **{name}**: " in text
    for title in ("Root cause", "Prevention measures", "Lessons learned", "Follow-up actions"):
        assert f"\n## {title}\n" in text


def test_the_unknown_is_never_0() -> None:
    text = report(*verified())
    for name in ("Downtime", "Affected requests", "Revenue impact"):
        assert f"- **{name}**: unknown" in text


def test_what_was_measured_is_said_and_why_the_rest_is_not() -> None:
    one = lives.verified()
    text = markdown(one.life, one.rows)
    for line in (
        "- **Downtime**: 180 seconds",
        "- **Failed requests**: 71",
        "- **Affected requests**: unknown",
        "- **Revenue impact**: unknown: no series",
        "- **Customer impact**: 0.002, minimal",
        "- **Customer impact**: minimal",
    ):
        assert f"{line}\n" in text


def test_a_failure_has_its_record() -> None:
    one = lives.failed()
    record = markdown(one.life, one.rows).partition("## Failure record")[2].partition("## Who did what")[0]
    assert "- **Logs**: `attempts/api-1/0004-restore/output`" in record
    assert "- **Total duration**: 55m19s" in record
    assert len(re.findall(r"^\| [1-4]", record, re.MULTILINE)) == 4
    assert "| bob: senior SRE looks at the backup | escalated |" in record


def test_shadow_says_what_would_have_been() -> None:
    scene = Scene(config(max_action="shadow"))
    say(scene, s.Pause(service="api", comment="load test"))
    told = report(scene, scene.fire())
    (line,) = [line for line in told.splitlines() if line.startswith("- **Action**")]
    assert line.startswith("- **Action**: by rule: auto; in shadow; would have been: ask, because ")
    assert "paused" in line
    assert "**Lowered**" not in told


def test_a_life_under_way_is_told_too() -> None:
    scene = Scene()
    life = scene.fire()
    text = report(scene, life)
    assert "- **Rollback completed**: not yet" in text
    assert "- **SLA compliance**: the clock is running" in text


def test_the_SLA_that_was_breached() -> None:
    scene = Scene()
    life = scene.fire()
    scene.pass_time(16 * MINUTE)
    text = report(scene, life)
    assert "- **SLA compliance**: NO: breached its SLA of 15m" in text
    assert "- [ ] SLA breached: incident review required" in text


def test_events_of_other_lives_are_passed_over() -> None:
    scene, life = by_hand()
    rows = [row for row in scene.journal.replay() if row.life == life]
    folded = fold_life([row.event for row in rows if row.event], life)
    assert folded is not None
    text = markdown(folded, rows)
    other = Scene(config(plans=(plan(), plan("db"))))
    say(other, s.Start("db", "other"))
    assert markdown(folded, [*rows, *other.journal.replay()]) == text


def test_hostile_text_is_inert() -> None:
    """Fault 68: in labels, values, outputs and comments."""
    scene = Scene()
    life = scene.fire(subject=HOSTILE, value="0.5")
    scene.run_step(life, output=f"```\n{HOSTILE}\n````\n", detail=HOSTILE)
    say(scene, s.Hold(life, HOSTILE))
    text = report(scene, life)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", text)
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert not re.search(r"(?<!\\)[<\[]a?(script|\]\()", outside)
    for line in text.splitlines():
        if line.startswith("| 20"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5, 6)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("rate_limit", "rate_limit"),
        ("_x_ *y* `z`", "\\_x\\_ \\*y\\* \\`z\\`"),
        ("<b>&amp;", "\\<b\\>\\&amp;"),
        ("a|b", "a\\|b"),
        ("- item", "\\- item"),
        ("1. one", "\\1. one"),
        ("a\nb", "a b"),
        ("\x1b[31m", "\\\\x1b\\[31m"),
        ("\u202eevil", "\\\\u202eevil"),
    ],
)
def test_prose(text: str, shown: str) -> None:
    assert prose(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b", "`a\\|b`"), ("", "–"), ("\n", "`\\n`")],
)
def test_cell(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_a_bar_outside_of_tables_stays_bare() -> None:
    assert code("5..|429") == "`5..|429`"


def test_a_block_shows_the_last_lines() -> None:
    text = block("\n".join(f"line {number}" for number in range(100)) + "\n```\n\n")
    assert text.startswith("(81 lines above are left out)\n\n````text\nline 81\n")
    assert text.endswith("\n```\n````")


def test_visible_escapes_what_terminals_obey() -> None:
    assert visible("\x1b]0;x\x07\x9b1m\u2028\u200b") == "\\x1b]0;x\\x07\\x9b1m\\u2028\\u200b"
    assert visible("a\tb\n", keep="\t") == "a\tb\\n"


def test_a_markdown_reader_finds_neither_html_nor_links_in_it() -> None:
    scene = Scene()
    life = scene.fire(subject=HOSTILE)
    scene.run_step(life, output=f"```\n{HOSTILE}\n````\n", detail=HOSTILE)
    say(scene, s.Hold(life, HOSTILE), HOSTILE)
    html = MarkdownIt("commonmark").enable("table").render(report(scene, life))
    assert "<script" not in html
    assert "<a " not in html
    assert "<strong>x" not in html
