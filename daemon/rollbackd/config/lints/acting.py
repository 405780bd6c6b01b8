"""Lints of what a trigger may do, for how long it has not, and whether anybody tried it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rollbackd.config.lints.lint import Finding, Lint
from rollbackd.core.model import lower

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.lints.lint import Watched

SHADOW = timedelta(days=30)


def _undoes_the_undo(watched: Watched) -> Iterator[Finding]:
    model, trigger, plan = watched.read.model, watched.trigger, watched.plan
    action = lower(trigger.action, watched.max_action)
    if plan is None or plan.release is not None or model.arm == "rollout":
        return
    if action in ("auto", "auto_with_warning"):
        key = "action" if model.action is not None else "severity"
        what = f"means {action}, at any time (`arm: {model.arm}`), and plan {plan.plan} has no `release`"
        yield Finding((*watched.read.loc, key), what)


def _shadow_too_long(watched: Watched) -> Iterator[Finding]:
    model, since = watched.read.model, watched.since
    if model.action == "shadow" and since is not None and watched.today - since > SHADOW:
        days = (watched.today - since).days
        yield Finding((*watched.read.loc, "action"), f"shadow since {since}, for {days} days")


def _shadow_undated(watched: Watched) -> Iterator[Finding]:
    if watched.read.model.action == "shadow" and watched.since is None:
        remedy = f"write `# rollbackd: shadow since {watched.today}` beside it"
        yield Finding((*watched.read.loc, "action"), "shadow, and nothing says since when", remedy)


def _untested(watched: Watched) -> Iterator[Finding]:
    model, template = watched.read.model, watched.read.template
    if template is not None:  # has tests of its own
        return
    if watched.tested is None or model.trigger not in watched.tested:
        what = f"no test names {model.trigger}"
        if watched.tested is None:
            what += ": there is no *.test.yml beside this file"
        yield Finding((*watched.read.loc, "trigger"), what)


LINTS = (
    Lint(
        "undoes-the-undo",
        "a trigger that acts by itself, at any time, on a plan that cannot tell releases apart",
        "With `arm: always` nothing says that something was rolled out. If the breach has another cause it"
        " goes on, and what was rolled back is rolled back once more: to the bad release.",
        "add `release` to the plan, or write `arm: rollout` or `action: ask`",
        "D6",
        needs="set",
        bad='expr: "sum(rate(http_errors_total[1m]))"\nseverity: critical\narm: always',
        good='expr: "sum(rate(http_errors_total[1m]))"\nseverity: critical\narm: rollout',
        find=_undoes_the_undo,
    ),
    Lint(
        "shadow-too-long",
        "a trigger that has been in shadow for more than 30 days",
        "By then it has proved itself, or it never will. Meanwhile people believe that it guards something.",
        "give it an action, or remove it; `rollbackd backtest` shows what it would have done",
        "D1",
        bad='expr: "sum(rate(http_errors_total[1m]))"\naction: shadow # rollbackd: shadow since 2026-01-01',
        good='expr: "sum(rate(http_errors_total[1m]))"\naction: ask',
        find=_shadow_too_long,
    ),
    Lint(
        "shadow-undated",
        "a trigger in shadow, without a word since when",
        "A shadow that is not dated is forgotten. The date stands in the file because a check, which runs"
        " where changes are reviewed, sees neither the journal nor all of the history.",
        "write `# rollbackd: shadow since YYYY-MM-DD` beside it",
        "D1",
        bad='expr: "sum(rate(http_errors_total[1m]))"\naction: shadow',
        good='expr: "sum(rate(http_errors_total[1m]))"\naction: ask',
        find=_shadow_undated,
    ),
    Lint(
        "untested",
        "a trigger that no test names",
        "Whether it fires on what it is meant for, and keeps still on a gap, is first seen in the night that"
        " it was written for.",
        "write one in a *.test.yml beside the file, and run `rollbackd test`",
        find=_untested,
    ),
)
