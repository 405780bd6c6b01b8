"""A backtest as JSON. Names are stable: people script against them.

Moments are RFC 3339 in UTC with milliseconds, names that end in `_seconds` numbers of seconds, shares and
ratios numbers from 0 to 1, subjects objects of their labels; what is not known is null. Nothing is cut.

    version, file, source, begin, end, made, incidents_from, remarks
    triggers[]: trigger, group, plan, category, severity, action, limit, windows, interval_seconds,
        cooldown_seconds, no_data, per, says
        judged: {first, last, windows, partial}           window ends; partial: rule W14
        fires[]: {at, readings[]: {subject, text, value}, action, lowered[], fate, lead_seconds, incident}
                                                          fate: caught, again (in one that is caught), false
        hidden[]: {at, subject, by, why}                  why: streak, cooldown
        near_misses[]: {at, subject, streak}
        subjects[]: {subject, windows, verdicts: {breach, ok, no_data, low_traffic, unknown}, blind_seconds,
                     blind_share, longest_streak, streak} windows in each verdict; streak: open at the end
        score: {incidents, caught[]: {incident, at, lead_seconds}, missed[]: incident + {why}, outside[],
                false, precision, recall, false_a_week, lead_seconds}
                                                          incident: {start, end, note}; outside: not judged
        sweep: {axes[]: {key, values[]}, current, knee, cells[]: {setting, fires, hidden, longest_streak,
                score: {caught, missed, false, precision, recall, false_a_week, lead_seconds}}}
                                                          current, knee: indices of cells
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from rollbackd.core.notation import quotient
from rollbackd.tuning import figures
from rollbackd.tuning.figures import VERDICTS

if TYPE_CHECKING:
    from rollbackd.core.model import Ms, Trigger
    from rollbackd.sim.replay.outcome import Fire, Outcome, Subject
    from rollbackd.tuning.backtest import Backtest, Tested
    from rollbackd.tuning.figures import Fate
    from rollbackd.tuning.scoring import Incident, Score
    from rollbackd.tuning.sweep import Cell, Sweep

VERSION = "rollbackd/backtest/v1"

Doc: TypeAlias = dict[str, object]


def document(found: Backtest) -> Doc:
    return {
        "version": VERSION,
        "file": found.file,
        "source": found.source,
        "begin": _moment(found.begin),
        "end": _moment(found.end),
        "made": _moment(found.made),
        "incidents_from": found.incidents or None,
        "remarks": list(found.remarks),
        "triggers": [_trigger(each) for each in found.tested],
    }


def _moment(ms: Ms) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(ms: Ms | None) -> float | None:
    return None if ms is None else ms / 1000


def _trigger(tested: Tested) -> Doc:
    outcome = tested.outcome
    trigger, fates = outcome.trigger, figures.fates(tested)
    return {
        **_setting(trigger),
        "says": [figures.verdict(tested), *figures.besides(tested)],
        "judged": {
            "first": _moment(outcome.ends[0]) if outcome.windows else None,
            "last": _moment(outcome.ends[1]) if outcome.windows else None,
            "windows": outcome.windows,
            "partial": outcome.partial,
        },
        "fires": [_fire(trigger, fire, fates.get(fire)) for fire in outcome.fires],
        **_others(outcome),
        "subjects": [_subject(subject, trigger) for subject in outcome.subjects],
        "score": None if tested.score is None else _score(tested, tested.score),
        "sweep": None if tested.sweep is None else _sweep(tested.sweep),
    }


def _setting(trigger: Trigger) -> Doc:
    return {
        "trigger": trigger.name,
        "group": trigger.group,
        "plan": trigger.plan,
        "category": trigger.category,
        "severity": trigger.severity,
        "action": trigger.action,
        "limit": trigger.condition.limit,
        "windows": trigger.windows,
        "interval_seconds": _seconds(trigger.interval),
        "cooldown_seconds": _seconds(trigger.cooldown),
        "no_data": trigger.no_data,
        "per": list(trigger.per),
    }


def _fire(trigger: Trigger, fire: Fire, fate: Fate | None) -> Doc:
    return {
        "at": _moment(fire.end),
        "readings": [
            {"subject": trigger.subject_labels(subject), "text": text, "value": _number(text)}
            for subject, text in zip(fire.subjects, fire.values, strict=True)
        ],
        "action": fire.action,
        "lowered": list(fire.lowered),
        "fate": fate.kind if fate else None,
        "lead_seconds": _seconds(fate.lead) if fate else None,
        "incident": _incident(fate.incident) if fate and fate.incident else None,
    }


def _number(text: str) -> float | None:
    """None for what JSON has no number for."""
    number = quotient(text)
    return number if number is not None and abs(number) < float("inf") else None


def _others(outcome: Outcome) -> Doc:
    labels = outcome.trigger.subject_labels
    return {
        "hidden": [
            {
                "at": _moment(hidden.end),
                "subject": labels(hidden.subject),
                "by": _moment(hidden.by),
                "why": hidden.why,
            }
            for hidden in outcome.hidden
        ],
        "near_misses": [
            {"at": _moment(peak.end), "subject": labels(peak.subject), "streak": peak.count}
            for peak in outcome.peaks
        ],
    }


def _subject(subject: Subject, trigger: Trigger) -> Doc:
    whole, dark = figures.judged(subject), figures.blind(subject)
    return {
        "subject": subject.labels,
        "windows": whole,
        "verdicts": {verdict: subject.verdicts.get(verdict, 0) for verdict in VERDICTS},
        "blind_seconds": _seconds(dark * trigger.interval),
        "blind_share": dark / whole if whole else None,
        "longest_streak": subject.longest,
        "streak": subject.streak,
    }


def _incident(incident: Incident) -> Doc:
    return {"start": _moment(incident.start), "end": _moment(incident.end), "note": incident.note}


def _score(tested: Tested, score: Score) -> Doc:
    return {
        **_rates(score),
        "incidents": len(score.caught) + len(score.missed),
        "caught": [
            {
                "incident": _incident(caught.incident),
                "at": _moment(caught.fire.end),
                "lead_seconds": _seconds(caught.lead),
            }
            for caught in score.caught
        ],
        "missed": [
            {**_incident(incident), "why": figures.missed(tested, incident)} for incident in score.missed
        ],
        "outside": [_incident(incident) for incident in score.outside],
    }


def _rates(score: Score) -> Doc:
    return {
        "false": len(score.false),
        "precision": score.precision,
        "recall": score.recall,
        "false_a_week": score.false_a_week,
        "lead_seconds": _seconds(score.lead),
    }


def _sweep(sweep: Sweep) -> Doc:
    return {
        "axes": [{"key": axis.key, "values": list(axis.values)} for axis in sweep.axes],
        "current": sweep.current,
        "knee": sweep.knee,
        "cells": [_cell(sweep, cell) for cell in sweep.cells],
    }


def _cell(sweep: Sweep, cell: Cell) -> Doc:
    score = cell.score
    return {
        "setting": {axis.key: text for axis, text in zip(sweep.axes, cell.values, strict=True)},
        "fires": cell.fires,
        "hidden": cell.hidden,
        "longest_streak": cell.longest,
        "score": None
        if score is None
        else {**_rates(score), "caught": len(score.caught), "missed": len(score.missed)},
    }
