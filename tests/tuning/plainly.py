"""Outcomes by the plainest reading of W4, W5 and W8: so that what is shown can be tested without the engine
that finds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from rollbackd.core.model import Condition, Limit, Ms, Trigger, Verdict, subject_key
from rollbackd.sim.replay.outcome import Fire, Hidden, Outcome, Peak, Run, Subject
from rollbackd.tuning.scoring import Caught, Incident, Score

START: Ms = 1_793_491_200_000  # 2026-11-01T00:00:00Z
INTERVAL: Ms = 15_000
WEEK: Ms = 604_800_000
EARLY: Ms = 60_000
"""A fire this long before an incident's start still belongs to it."""

_SPELLED: dict[str, Verdict] = {"X": "breach", ".": "ok", "_": "no_data", "-": "low_traffic", "?": "unknown"}


def trigger(windows: int = 3, limit: str = ">", bound: float = 0.01, **more: object) -> Trigger:
    """A ratio by cohort."""
    said: dict[str, object] = {
        "name": "ApiErrorRatioHigh",
        "group": "api",
        "plan": "api",
        "category": "metric",
        "severity": "critical",
        "action": "shadow",
        "condition": Condition(
            expr='sum by (cohort) (rate(http_requests_total{service="api",code=~"5.."}[1m]))',
            total='sum by (cohort) (rate(http_requests_total{service="api"}[1m]))',
            traffic='sum by (cohort) (rate(http_requests_total{service="api"}[1m]))',
            at_least=5.0,
            breach=Limit(limit, bound),  # type: ignore[arg-type]
        ),
        "interval": INTERVAL,
        "windows": windows,
        "fingerprint": "",
        "per": ("cohort",),
        "cooldown": 120_000,
        "annotations": {"summary": "More than 1 % of the API's answers are errors"},
    }
    return Trigger(**{**said, **more})  # type: ignore[arg-type]


def spelled(of: Trigger, **subjects: str) -> Outcome:
    """`canary=".XXX_"`: a glyph for the verdict of each window; the reading of a breach is 0.02."""
    found = [
        Story(of, subject_key((name.replace("_", "-"),)), [_SPELLED[glyph] for glyph in tape])
        for name, tape in subjects.items()
    ]
    return outcome(of, found, {one.key: {} for one in found})


class Story:
    """Of one subject: it is disarmed from a fire until its streak has ended and the cooldown is over."""

    def __init__(self, of: Trigger, key: str, verdicts: Sequence[Verdict]) -> None:
        self.of, self.key, self.verdicts = of, key, verdicts
        self.fires: list[int] = []
        self.hidden: list[Hidden] = []
        self.peaks: list[Peak] = []
        self.streak = self.longest = 0
        self._walk()

    def end(self, window: int) -> Ms:
        return START + (window + 1) * self.of.interval

    def _walk(self) -> None:
        last = 0
        for window, verdict in enumerate(self.verdicts):
            if verdict == "breach":
                self.streak, last = self.streak + 1, window
                self.longest = max(self.longest, self.streak)
                if self.streak == self.of.windows:
                    self._long_enough(window)
            elif verdict == "ok":
                if 0 < self.streak < self.of.windows:
                    self.peaks.append(Peak(self.end(last), self.key, self.streak))
                self.streak = 0

    def _long_enough(self, window: int) -> None:
        since = (window - self.fires[-1]) * self.of.interval if self.fires else self.of.cooldown
        if since < self.of.cooldown:
            self.hidden.append(Hidden(self.end(window), self.key, self.end(self.fires[-1]), "cooldown"))
        else:
            self.fires.append(window)

    def subject(self) -> Subject:
        counted = {verdict: self.verdicts.count(verdict) for verdict in dict.fromkeys(self.verdicts)}
        labels = self.of.subject_labels(self.key)
        return Subject(self.key, labels, counted, self.longest, self.streak, tuple(self._runs()))

    def _runs(self) -> Iterator[Run]:
        at = 0
        for verdict, group in groupby(self.verdicts):
            many = len(list(group))
            yield Run(self.end(at), many, verdict)
            at += many


def outcome(of: Trigger, stories: Sequence[Story], readings: Mapping[str, Mapping[int, str]]) -> Outcome:
    """`readings`: by subject and window."""
    fired = sorted((window, one.key) for one in stories for window in one.fires)
    fires = []
    for window, group in groupby(fired, key=lambda each: each[0]):
        keys = tuple(key for _, key in group)
        values = tuple(readings[key].get(window, "0.02") for key in keys)
        fires.append(Fire(START + (window + 1) * of.interval, keys, values, "ask", ("paused",)))
    many = max((len(one.verdicts) for one in stories), default=0)
    return Outcome(
        trigger=of,
        ends=(START + of.interval, START + many * of.interval),
        windows=many,
        subjects=tuple(one.subject() for one in stories),
        fires=tuple(fires),
        hidden=tuple(sorted((each for one in stories for each in one.hidden), key=lambda hidden: hidden.end)),
        peaks=tuple(
            sorted((each for one in stories for each in one.peaks), key=lambda peak: (-peak.count, peak.end))
        ),
    )


def score(found: Outcome, known: Sequence[Incident]) -> Score:
    def belongs(fire: Fire, incident: Incident) -> bool:
        return incident.start - EARLY <= fire.end <= incident.end

    caught = []
    for incident in known:
        inside = [fire for fire in found.fires if belongs(fire, incident)]
        caught += [Caught(incident, inside[0], incident.start - inside[0].end)] if inside else []
    taken = [one.incident for one in caught]
    false = [fire for fire in found.fires if not any(belongs(fire, incident) for incident in known)]
    leads = sorted(one.lead for one in caught)
    return Score(
        caught=tuple(caught),
        missed=tuple(incident for incident in known if incident not in taken),
        false=tuple(false),
        precision=1 - len(false) / len(found.fires) if found.fires else None,
        recall=len(caught) / len(known) if known else None,
        false_a_week=len(false) * WEEK / (found.windows * found.trigger.interval),
        lead=leads[len(leads) // 2] if leads else None,
    )
