"""What people read: one line of what happened, then what to do about it.

The order is the reader's at 3 a.m.: what you must do and by when · services, versions, cohorts ·
value against limit · what happens if nobody acts · owner · runbook.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rollbackd.core.model import ALL
from rollbackd.core.notation import quotient, span, visible
from rollbackd.core.state import AUTOMATIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollbackd.core.model import Condition, Config, Ms, Trigger
    from rollbackd.core.state import Firing, Life


def moment(ms: Ms) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def named(labels: dict[str, str]) -> str:
    """A subject's labels as one word: `{cohort=canary}`; nothing for the subject without labels."""
    inside = ", ".join(f"{visible(name)}={visible(text)}" for name, text in labels.items())
    return f"{{{inside}}}" if labels else ""


def subjects(firings: tuple[Firing, ...], most: int = 5) -> str:
    shown = [named(firing.labels) for firing in firings[:most] if firing.labels]
    more = len(firings) - most
    return " ".join(shown) + (f" and {more} more" if more > 0 else "")


def reading(firing: Firing) -> str:
    who = f"{firing.trigger}{named(firing.labels)}"
    return f"{who}: {value(firing.value)} (limit {firing.limit}, {firing.streak} windows in a row)"


def readings(firings: Sequence[Firing], most: int = 3) -> str:
    more = len(firings) - most
    return "; ".join(map(reading, firings[:most])) + (f"; and {more} more" if more > 0 else "")


def value(text: str) -> str:
    """A reading for people: four digits, and a ratio as its quotient beside its parts. Of a composed
    condition each leaf's (W10)."""
    return ", ".join(map(_value, text.split(", ")))


def _value(text: str) -> str:
    number = quotient(text)
    if number is None:
        return visible(text, 80)
    parts = [f"{float(part):.4g}" for part in text.split("/")]
    return f"{number:.4g}" + (f" ({'/'.join(parts)})" if len(parts) > 1 else "")


def asked(condition: Condition) -> str:
    """What it asks: an expression, or `all(EXPRESSION > 0.01, …)`."""
    if condition.how == "one":
        return condition.expr
    return f"{condition.how}({', '.join(map(_part, condition.parts))})"


def _part(condition: Condition) -> str:
    if condition.how != "one":
        return asked(condition)
    reading_of = condition.expr if condition.total is None else f"({condition.expr}) / ({condition.total})"
    return f"{reading_of} {condition.limit}"


def why_lowered(life: Life) -> str:
    return "; ".join(lowering.detail for lowering in life.lowered)


# What must be done, by the cause of the matter


def todo(life: Life, cause: str) -> str:
    name = life.id
    match cause:
        case "approval":
            by = f" by {moment(life.expires)}" if life.expires else ""
            return f"Decide{by}: `rollbackd approve {name}` rolls back, `rollbackd veto {name}` does not."
        case "veto":
            veto = span(life.triggers[life.trigger].veto)
            by = f" at {moment(life.veto_until)}" if life.veto_until else f" {veto} after this page was taken"
            return f"{life.plan.name} rolls back by itself{by}. To stop it: `rollbackd veto {name}`."
        case "expired":
            return (
                f"Nobody decided in time. If it is still bad: `rollbackd approve {name}`; "
                f"if not: `rollbackd veto {name}` ends these pages."
            )
        case "in_doubt":
            step = life.current.step if life.current else ""
            return (
                f"Find out whether step {step} took effect, then `rollbackd confirm {name} {step} "
                "done|retry|skip -c …`: it did; run it again; go on without it."
            )
        case "gate":
            return f"Look, then `rollbackd approve {name}` goes on, `rollbackd abort {name}` ends it."
        case "manual":
            step = life.current.step if life.current else ""
            return f"Do it, then `rollbackd confirm {name} {step} done -c …` (or skip: go on without it)."
        case "overrun":
            return (
                f"It takes longer than its timeout. `rollbackd resume {name}` grants one more, "
                f"`rollbackd abort {name}` ends it."
            )
        case "reversibility_unknown":
            return (
                f"Check the point of no return, then `rollbackd resume {name}` or `rollbackd abort {name}`."
            )
        case "step_overdue":
            step = life.current.step if life.current else ""
            return f"Step {step} is past its timeout and is never interrupted: look at it."
        case "blocked":
            return (
                f"It waits for {life.blocked_by}: finish or resolve that one first "
                f"(`rollbackd show {life.blocked_by}`)."
            )
        case "phase_failed":
            return f"The plan goes on without the rest of that phase: look, `rollbackd hold {name}` stops it."
        case "cleanup_failed":
            return "The rollback is verified; its clean-up is not finished. Finish it by hand."
        case "notified":
            return "Nothing is undone automatically. Look at the service."
        case "unverified":
            return (
                "Every step ran. Look whether the service is well, then "
                f"`rollbackd resolve {name} --approach … --description …`; its services are kept until then."
            )
        case _:
            return (
                f"First `rollbackd resolve {name} --approach … --description …`: its services are kept until "
                f"then. After that `{_go_on(life)}` goes on from there, or finish by hand."
            )


def _go_on(life: Life) -> str:
    """The command that runs the rest of the plan, for the subjects of this life."""
    behind = {record.step for record in life.steps if record.result != "failed"}
    rest = [step.name for _, step in life.plan.steps() if step.name not in behind]
    only = life.firings[0].labels if len(life.firings) == 1 else {}
    subject = "".join(f" --subject {visible(f'{name}={text}')}" for name, text in only.items())
    step = f" --from {rest[0]}" if rest else ""
    part = f" --scope {life.plan.scope}" if life.plan.scope != ALL else ""
    return f"rollbackd start {life.plan.name}{part}{step}{subject} --reason …"


def otherwise(life: Life, cause: str) -> str:
    match cause:
        case "approval":
            return "If nobody acts: nothing is rolled back, and the ladder climbs on."
        case "veto":
            return "If nobody acts: the rollback begins."
        case "expired":
            return "If nobody acts: it goes on breaching, nothing is rolled back, and the ladder climbs on."
        case "phase_failed":
            return "If nobody acts: the plan goes on, and that phase stays undone."
        case "notified" | "cleanup_failed":
            return "If nobody acts: it stays as it is."
        case _:
            return "If nobody acts: no other rollback of these services can run, and the ladder climbs on."


def life_title(life: Life, cause: str) -> str:
    what = {
        "approval": "approve a rollback?",
        "veto": "rolls back soon",
        "expired": "nobody decided",
        "in_doubt": "a step is in doubt",
        "gate": "a gate waits for approval",
        "manual": "something to be done by hand",
        "overrun": "takes too long",
        "reversibility_unknown": "may be past its point of no return",
        "step_overdue": "a step is past its timeout",
        "blocked": f"waits for {life.blocked_by}",
        "phase_failed": "a phase failed, the plan goes on",
        "cleanup_failed": "clean-up failed",
        "notified": "breach, nothing to undo",
        "failed": "rollback FAILED",
        "aborted": "rollback aborted",
        "unverified": "rollback ran, recovery is NOT proven",
    }.get(cause, cause)
    return f"{life.plan.name}: {what} ({life.id})"


def life_text(life: Life, cause: str, detail: str = "") -> str:
    lines = [todo(life, cause)]
    services = f"Services: {', '.join(life.plan.services)}"
    if life.next or life.previous:
        services += f" · {life.next or '?'} → {life.previous or '?'}"
    shown = subjects(life.firings)
    lines.append(services + (f" · {shown}" if shown else ""))
    lines += [reading(firing) for firing in life.firings[:5]]
    if life.by != AUTOMATIC:
        lines.append(f"Started by {life.by}: {visible(life.reason)}")
    if detail:
        lines.append(visible(detail, 1_000))
    if life.lowered and detail != why_lowered(life):
        lines.append(f"Not automatic because: {why_lowered(life)}")
    lines.append(otherwise(life, cause))
    lines.append(f"Owner: {life.plan.owner}")
    return "\n".join(lines)


def life_labels(config: Config, life: Life) -> dict[str, str]:
    """Labels of an alert about a life: the trigger's own may not replace the daemon's."""
    trigger = life.triggers.get(life.trigger)
    labels = dict(trigger.labels) if trigger is not None else {}
    labels.update(
        instance=config.instance,
        plan=life.plan.name,
        service=",".join(life.plan.services),
        trigger=life.trigger,
        severity=trigger.severity if trigger is not None else "critical",
    )
    return labels


def life_annotations(life: Life) -> dict[str, str]:
    trigger = life.triggers.get(life.trigger)
    return {**(trigger.annotations if trigger is not None else {}), "rollback": life.id}


def trigger_labels(config: Config, trigger: Trigger) -> dict[str, str]:
    plan = config.plan(trigger.plan)
    return {
        **trigger.labels,
        "instance": config.instance,
        "plan": trigger.plan,
        "service": ",".join(plan.services) if plan is not None else "",
        "trigger": trigger.name,
        "severity": trigger.severity,
    }
