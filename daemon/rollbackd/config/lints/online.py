"""Lints that only a Prometheus can answer: `rollbackd check --online` notes them."""

from __future__ import annotations

from rollbackd.config.lints.lint import Lint

LINTS = (
    Lint(
        "online-unusable",
        "an answer that cannot be used now",
        "A second series of a subject, a missing label, an error of Prometheus: each such window is no_data,"
        " and the trigger is blind.",
        "correct the expression, or `per`",
        "W2",
        needs="prometheus",
    ),
    Lint(
        "online-no-data",
        "no reading now",
        "A misspelt metric and a dead exporter look the same: no window is ever judged ok or breach.",
        "correct the names, or see to what is scraped",
        "W2",
        needs="prometheus",
    ),
    Lint(
        "online-low-traffic",
        "less traffic now than a window needs",
        "Where that is the rule and not the night, the trigger never decides anything.",
        "lower the floor, or read over a longer range",
        "W2",
        needs="prometheus",
    ),
    Lint(
        "online-breach",
        "a breach now",
        "A trigger that is put into force while it breaches fires at once, or waits for its first `ok`.",
        "see whether something is wrong; else move the threshold",
        "W13",
        needs="prometheus",
    ),
    Lint(
        "online-slow",
        "a window that takes more than half of its interval to be answered",
        "Under load it takes longer, and then windows come late, one after the other.",
        "record the expression by a rule, read less, or lengthen the interval",
        "W7",
        needs="prometheus",
    ),
    Lint(
        "online-subjects",
        "more than 1,000 subjects",
        "Each has a streak of its own, and a life carries 1,000 at most.",
        "aggregate more coarsely",
        "D10",
        needs="prometheus",
    ),
    Lint(
        "online-scrape-interval",
        "targets that are scraped, or rules that are evaluated, less often than the interval",
        "A window without a sample of its own is no_data: such targets blind the trigger at once.",
        "lengthen the group's interval, or scrape more often",
        "W14",
        needs="prometheus",
    ),
    Lint(
        "online-range",
        "a range that holds fewer than two real scrapes",
        "rate() and the like have no value then.",
        "lengthen the range to four scrapes",
        "W14",
        needs="prometheus",
    ),
)
