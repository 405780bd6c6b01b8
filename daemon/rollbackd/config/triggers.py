"""Trigger files → core triggers (rules W1–W9, W12–W14, D1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rollbackd.config.models.triggers import (
    ConditionModel,
    GroupHeadModel,
    PartModel,
    TriggerFileModel,
    TriggerModel,
)
from rollbackd.config.promql import Expression, analyse, coverage, scraped
from rollbackd.config.validate import validate
from rollbackd.core.model import Condition, Group, Trigger, composed
from rollbackd.core.notation import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rollbackd.config.yaml_source import Document, Loc
    from rollbackd.core.model import Action, Ms, Severity


class Severities(NamedTuple):
    """What a severity means (rule D1)."""

    action: Action
    veto: Ms = 5 * 60_000
    expires: Ms = 15 * 60_000


class ReadTrigger(NamedTuple):
    """A trigger whose own values are sound, with where it stands."""

    document: Document
    loc: Loc
    group: GroupHeadModel
    model: TriggerModel

    @property
    def group_loc(self) -> Loc:
        return self.loc[:2]

    @property
    def template(self) -> str | None:
        """The name of the template that it was made of."""
        return self.document.templates.get(self.document.where(self.loc))


def read_triggers(document: Document) -> list[ReadTrigger]:
    """Every sound trigger of the file; what is wrong with the others is noted."""
    before = len(document.problems)
    file = validate(TriggerFileModel, document, document.data)
    if file is not None:
        return [
            ReadTrigger(document, ("groups", i, "triggers", j), group, trigger)
            for i, group in enumerate(file.groups)
            for j, trigger in enumerate(group.triggers)
        ]
    noted = document.problems[before:]
    sound = list(_salvage(document))
    document.problems[before:] = noted
    return sound


def _salvage(document: Document) -> Iterator[ReadTrigger]:
    """One by one, the triggers without errors of a file that has some."""
    groups = document.data.get("groups") if document.data is not None else None
    for i, raw in enumerate(groups if isinstance(groups, list) else ()):
        triggers = raw.get("triggers") if isinstance(raw, dict) else None
        if not isinstance(triggers, list):
            continue
        known = {key: raw[key] for key in GroupHeadModel.model_fields if key in raw}
        group = validate(GroupHeadModel, document, known)
        for j, trigger in enumerate(triggers if group is not None else ()):
            loc = ("groups", i, "triggers", j)
            model = validate(TriggerModel, document, trigger, loc)
            if group is not None and model is not None:
                yield ReadTrigger(document, loc, group, model)


def check_trigger(read: ReadTrigger) -> None:
    """Note what several values together have against them."""
    _check_windows(read)
    _check_labels(read)
    _check_range(read)


def _check_windows(read: ReadTrigger) -> None:
    group, model = read.group, read.model
    interval = span(group.interval)
    if group.align is not None and group.align >= group.interval:
        remedy = f"write less than {interval}"
        read.document.problem((*read.group_loc, "align"), "is not below the interval", remedy)
    if model.for_ is not None and model.for_ % group.interval:
        below = model.for_ // group.interval * group.interval
        near = [span(each) for each in (below, below + group.interval) if each]
        what = f"{span(model.for_)} is not a multiple of the interval ({interval})"
        read.document.problem((*read.loc, "for"), what, f"write {' or '.join(near)}")


def _expressions(model: ConditionModel) -> Iterator[tuple[Loc, Expression]]:
    """The condition's queries that yield a value for each subject, by where they stand."""
    for loc, leaf in model.leaves():
        if leaf.expr is not None:
            yield (*loc, "expr"), analyse(leaf.expr)
        if leaf.ratio is not None:
            yield (*loc, "ratio", "errors"), analyse(leaf.ratio.errors)
            yield (*loc, "ratio", "total"), analyse(leaf.ratio.total)
        if leaf.traffic is not None:
            yield (*loc, "traffic", "expr"), analyse(leaf.traffic.expr)


def _check_labels(read: ReadTrigger) -> None:
    """Rule W3, as far as an expression says which labels its series have."""
    per = read.model.per
    for index, label in enumerate(per):
        if label in per[:index]:
            read.document.problem((*read.loc, "per", index), f"`{label}` stands here twice", "keep one")
    conditions: list[tuple[Loc, ConditionModel]] = [(read.loc, read.model)]
    if read.model.recovered is not None:
        conditions.append(((*read.loc, "recovered"), read.model.recovered))
    for loc, model in conditions:
        for keys, expression in _expressions(model):
            _check_series(read, (*loc, *keys), expression)
            _check_filter(read, (*loc, *keys), expression)


def _check_series(read: ReadTrigger, loc: Loc, expression: Expression) -> None:
    per, labels = read.model.per, expression.labels
    if labels is None:
        return
    lost = [label for label in per if label not in labels]
    if lost:
        remedy = f"aggregate by ({', '.join(per)})"
        read.document.problem(loc, f"its series have no label `{lost[0]}`, which `per` names", remedy)
    elif not per and labels:
        what = f"can yield several series ({', '.join(sorted(labels))}), and there is no `per`"
        remedy = f"add `per: [{', '.join(sorted(labels))}]`, or aggregate them away"
        read.document.warn(loc, what, remedy, "several-series")


def _check_filter(read: ReadTrigger, loc: Loc, expression: Expression) -> None:
    """`foo > 0.02` has no series while all is well: never `ok`, and not told from a dead target."""
    if expression.filters is not None:
        what = (
            f"compares already (`{expression.filters}`): while that does not hold it looks like missing data"
        )
        remedy = f'leave the comparison out, and write it as `breach: "{expression.filters}"`'
        read.document.problem(loc, what, remedy)


def _check_range(read: ReadTrigger) -> None:
    """Rule W12."""
    longest = _filled_by_one(read.model)
    windows, interval = _windows(read), read.group.interval
    uneven = read.model.for_ is not None and read.model.for_ % interval
    if longest and windows * interval <= longest and not uneven:
        spans = span(windows * interval)
        counted = "1 window spans" if windows == 1 else f"{windows} windows span"
        what = f"{counted} {spans}, no more than the range of {span(longest)}"
        key = "windows" if read.model.windows is not None else "for"
        remedy = "one bad scrape can breach them all: ask for more windows, or a shorter range"
        read.document.warn((*read.loc, key), what, remedy, "windows-within-range")


def resolve_trigger(read: ReadTrigger, severities: Mapping[Severity, Severities]) -> Trigger:
    """The trigger with every default resolved. Call it for triggers without problems."""
    model, group = read.model, read.group
    said = severities[model.severity]
    per = tuple(model.per)
    condition = _condition(model, per)
    windows = _windows(read)
    return Trigger(
        name=model.trigger,
        group=group.name,
        plan=model.plan,
        category=model.category,
        severity=model.severity,
        action=model.action or said.action,
        enforced=said.action,
        condition=condition,
        interval=group.interval,
        windows=windows,
        fingerprint=_fingerprint(condition, per, group, windows, model.no_data),
        align=group.align or 0,
        auto_align=group.align is None,
        delay=group.delay,
        per=per,
        no_data=model.no_data,
        recovered=_condition(model.recovered, per) if model.recovered is not None else None,
        scope=model.scope,
        arm=model.arm,
        initial_delay=model.initial_delay,
        cooldown=model.cooldown,
        veto=said.veto if model.veto is None else model.veto,
        expires=said.expires if model.expires is None else model.expires,
        labels=dict(model.labels),
        annotations=dict(model.annotations),
        source=f"{read.document.name}:{read.document.where(read.loc).line}",
    )


def learning_groups(triggers: Iterable[ReadTrigger]) -> tuple[Group, ...]:
    """The groups that say `align: auto`, and what their triggers read (W1). Call it for triggers without
    problems; where nothing can be learned, that is noted."""
    members: dict[str, list[ReadTrigger]] = {}
    for read in triggers:
        if read.group.align is None:
            members.setdefault(read.group.name, []).append(read)
    groups = []
    for name, reads in members.items():
        models: list[ConditionModel] = [read.model for read in reads]
        models += [read.model.recovered for read in reads if read.model.recovered is not None]
        queries = scraped(expression for model in models for _, expression in _expressions(model))
        head = reads[0].group
        if queries is not None:
            groups.append(Group(name, head.interval, head.delay, *queries))
        else:
            what = "auto: what these triggers read names no samples, or too many kinds of them"
            reads[0].document.warn(
                (*reads[0].group_loc, "align"), what, "leave it out", "nothing-to-align-by"
            )
    return tuple(groups)


def _windows(read: ReadTrigger) -> int:
    if read.model.windows is not None:
        return read.model.windows
    return max(1, (read.model.for_ or 0) // read.group.interval)


def _longest(model: ConditionModel) -> Ms:
    """The longest range of what the reading is made of."""
    texts = [model.expr] if model.ratio is None else [model.ratio.errors, model.ratio.total]
    return max(analyse(text).longest_range for text in texts if text is not None)


def _filled_by_one(model: ConditionModel) -> Ms:
    """For how long one scrape can make it breach: of `all` every part, of `any` one is enough (W12)."""
    lengths = [_filled_by_one(part) for _, part in model.parts()]
    if not lengths:
        return _longest(model)
    return min(lengths) if model.all_ is not None else max(lengths)


def _condition(model: ConditionModel, per: tuple[str, ...]) -> Condition:
    parts = [_condition(part, per) for _, part in model.parts()]
    if parts:
        return composed("all" if model.all_ is not None else "any", parts)
    return _leaf(model, per)


def _leaf(model: ConditionModel, per: tuple[str, ...]) -> Condition:
    """For a ratio the total is also the traffic; its samples are the decisive ones (W14)."""
    if model.breach is None:
        raise ValueError("a condition without parts has a limit")
    expr, total, traffic, at_least = model.expr or "", None, None, 0.0
    if model.ratio is not None:
        expr, total = model.ratio.errors, model.ratio.total
        traffic, at_least = total, model.ratio.min_total
    elif model.traffic is not None:
        traffic, at_least = model.traffic.expr, model.traffic.at_least
    derived = coverage(analyse(total or expr), per) if model.coverage is None else tuple(model.coverage)
    return Condition(
        expr=expr,
        breach=model.breach,
        total=total,
        traffic=traffic,
        at_least=at_least,
        coverage=derived,
        longest_range=_longest(model),
        no_data=model.no_data if isinstance(model, PartModel) else None,
    )


def _fingerprint(
    condition: Condition, per: tuple[str, ...], group: GroupHeadModel, windows: int, no_data: str
) -> str:
    """Names what the trigger's windows mean (rule W13)."""
    asked: tuple[Any, ...] = (condition.expr, condition.total, condition.breach, condition.traffic)
    means: tuple[Any, ...] = (
        *(asked if condition.how == "one" else _means(condition)),
        condition.at_least,
        per,
        group.interval,
        "auto" if group.align is None else group.align,
        windows,
        no_data,
        condition.coverage,
    )
    return hashlib.sha256(msgspec.json.encode(means)).hexdigest()[:16]


def _means(condition: Condition) -> tuple[Any, ...]:
    if condition.how != "one":
        return (condition.how, *map(_means, condition.parts))
    leaf = condition
    asked = (leaf.expr, leaf.total, leaf.breach, leaf.traffic, leaf.at_least)
    return (*asked, leaf.coverage, leaf.no_data)
