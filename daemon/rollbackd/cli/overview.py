"""`status`: everything at a glance. What needs a person comes first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rollbackd.cli import output
from rollbackd.cli.client import Daemon
from rollbackd.cli.text import Doc, clock, labels, moment, span, until, visible, with_distance

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

GLYPHS = {"breach": "X", "ok": ".", "no_data": "_", "low_traffic": "-", "unknown": "?"}
COLOURS = {"breach": "bold red", "ok": "green", "no_data": "yellow", "low_traffic": "dim", "unknown": "blue"}
LEGEND = "X breach  . ok  _ no data  - low traffic  ? unknown"
STATES = {
    "verified": "green",
    "stood_down": "green",
    "failed": "bold red",
    "aborted": "bold red",
    "unverified": "bold red",
    "parked": "bold red",
    "expired": "red",
    "waiting_approval": "bold yellow",
    "waiting_veto": "bold yellow",
    "held": "yellow",
    "running": "cyan",
    "verifying": "cyan",
}
STRIP = 24
MOST_ENDED = 5
_PARTS = ("rollbacks", "triggers", "rollouts", "pauses", "matters")


@dataclass(frozen=True, slots=True)
class Overview:
    """What the daemon said, all at about the same moment (`now`: its wall clock)."""

    rollbacks: Sequence[Doc]
    triggers: Sequence[Doc]
    rollouts: Sequence[Doc]
    pauses: Sequence[Doc]
    matters: Sequence[Doc]
    not_ready: str
    now: datetime

    def documents(self) -> dict[str, object]:
        return {"ready": not self.not_ready, "not_ready": self.not_ready} | {
            part: getattr(self, part) for part in _PARTS
        }


@dataclass(frozen=True, slots=True)
class Need:
    """Something a person must do; `done`: someone has taken it."""

    what: str
    todo: str
    done: str = ""


@dataclass(slots=True)
class Strips:
    """The verdicts seen while watching, of each trigger's worst subject: what the API gives is the newest."""

    seen: dict[str, list[str]] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def add(self, triggers: Iterable[Doc]) -> None:
        for trigger in triggers:
            name, window, verdict = trigger["name"], trigger.get("last_window"), worst(trigger).get("verdict")
            if window is None or verdict is None or self.last.get(name) == window:
                continue
            self.last[name] = window
            self.seen[name] = [*self.seen.get(name, []), verdict][-STRIP:]

    def of(self, trigger: Doc) -> list[str]:
        newest = worst(trigger).get("verdict")
        return self.seen.get(trigger["name"]) or ([newest] if newest else [])


def ask(daemon: Daemon) -> Overview:
    found = {part: daemon.get(part) or [] for part in _PARTS}
    ready = daemon.ask("GET", "-", "ready")
    if ready.status not in (200, 503):
        raise daemon.refusal(ready)
    reasons = "" if ready.status == 200 else ready.body.decode("utf-8", "replace").strip() or "not ready"
    return Overview(**found, not_ready=reasons, now=daemon.now)


def worst(trigger: Doc) -> Doc:
    """The subject to look at: the API puts breaching ones first."""
    subjects = trigger.get("subjects") or []
    return subjects[0] if subjects else {}


def needs(seen: Overview) -> list[Need]:
    """Open matters and rollbacks that wait for a person; those that nobody has taken first."""
    found = [Need(reason, "see the daemon's log") for reason in seen.not_ready.splitlines()]
    paged = set()
    going = {life["id"] for life in seen.rollbacks if life["state"] == "held" and life.get("approval")}
    for matter in seen.matters:
        if matter.get("life") in going and matter.get("cause") in ("approval", "veto"):
            continue  # answered: what it needs is told below
        paged.add(matter.get("life"))
        acked = matter.get("acked")
        by = acked.get("by", "somebody") if isinstance(acked, dict) else "somebody"
        first = str(matter.get("text") or "").strip().partition("\n")[0]
        todo = with_distance(first, seen.now) or f"`rollbackd ack {matter.get('key')}`"
        done = f"acknowledged by {by}" if acked else ""
        found.append(Need(str(matter.get("title") or matter.get("key")), todo, done))
    for life in seen.rollbacks:
        if life["id"] not in paged:
            found += _life_needs(life, seen.now)
    return sorted(found, key=lambda need: bool(need.done))


def _life_needs(life: Doc, now: datetime) -> Iterator[Need]:
    name = life["id"]
    match life["state"]:
        case "waiting_approval":
            by = f"by {until(life['expires'], now)}: " if life.get("expires") else ""
            todo = f"{by}`rollbackd approve {name}` or `rollbackd veto {name}`"
            yield Need(f"{life['plan']}: approve a rollback? ({name})", todo)
        case "waiting_veto":
            at = f" at {until(life['veto_until'], now)}" if life.get("veto_until") else ""
            todo = f"begins by itself{at}; `rollbackd veto {name}` stops it"
            yield Need(f"{life['plan']}: rolls back soon ({name})", todo)
        case "parked":
            todo = f"{life.get('detail') or 'look'}; `rollbackd show {name}`"
            yield Need(f"{life['plan']}: parked ({name})", todo)
        case "held":
            approved = "approved and held" if life.get("approval") else "held"
            yield Need(f"{life['plan']}: {approved} ({name})", f"`rollbackd resume {name}` goes on")


def render(seen: Overview, strips: Strips) -> RenderableType:
    from rich.console import Group

    found = needs(seen)
    first = _needs_table(found) if found else output.note("nothing needs you", "green")
    parts: list[RenderableType] = [first]
    going = [life for life in seen.rollbacks if not life.get("ended")]
    ended = [life for life in seen.rollbacks if life.get("ended")][:MOST_ENDED]
    if going:
        parts += ["", rollbacks_table(going, seen.now), *details(going)]
    if ended:
        parts += ["", *ended_lines(ended, seen.now)]
    if seen.rollouts:
        parts += ["", rollouts_table(seen.rollouts, seen.now)]
    if seen.pauses:
        parts += ["", pauses_table(seen.pauses, seen.now)]
    if seen.triggers:
        parts += ["", triggers_table(seen.triggers, seen.now, strips), output.note(LEGEND)]
    return Group(*parts)


def _needs_table(found: Sequence[Need]) -> Table:
    table = output.table("needs you", "what", "what to do")
    for need in found:
        todo = visible(need.todo) + (f" ({visible(need.done)})" if need.done else "")
        output.row(table, ["! " + visible(need.what), todo], "dim" if need.done else "bold yellow")
    return table


def rollbacks_table(found: Iterable[Doc], now: datetime) -> Table:
    table = output.table("rollbacks", "id", "state", "trigger", "subjects", "action", "since", "SLA")
    for life in found:
        began = life.get("began") or life.get("decided")
        cells: output.Cells = [
            visible(life["id"]),
            state(life["state"]),
            visible(life.get("trigger") or f"by {life.get('by') or 'hand'}"),
            " ".join(labels(subject) for subject in (life.get("subjects") or [])[:3]),
            action(life),
            until(began, now) if began else "",
            sla(life, now),
        ]
        output.row(table, cells)
    return table


def details(found: Iterable[Doc]) -> Iterator[Text]:
    """Sentences need the whole width."""
    for life in found:
        if life.get("detail"):
            yield output.note(f"{visible(life['id'])}: {visible(life['detail'])}", "")


def ended_lines(found: Sequence[Doc], now: datetime) -> Iterator[Text]:
    """One line a rollback, cut where the screen ends."""
    yield output.note("ENDED ROLLBACKS", "bold")
    for life in found:
        line = output.note(visible(life["id"]) + "  ", "").append_text(state(life["state"]))
        line.append(f"  {until(life.get('ended'), now)}")
        by = (life.get("resolution") or {}).get("by")
        said = [f"resolved by {by}" if by else "", "", str(life.get("detail") or "")]
        if life.get("action") == "shadow":
            said[1] = action(life)
        elif moment(life.get("decided")) is not None:
            said[1] = sla(life, now).plain
        line.append("".join(f"  {visible(each)}" for each in said if each))
        line.no_wrap, line.overflow = True, "ellipsis"
        yield line


def action(life: Doc) -> str:
    """What it does; in shadow, what it would have done."""
    would = f" (would: {visible(life['would'])})" if life.get("would") else ""
    return visible(life.get("action") or "") + would


def state(name: str) -> Text:
    return output.note(visible(name), STATES.get(name, ""))


def sla(life: Doc, now: datetime) -> Text:
    """How much of it is used, against the target and the whole (S1: from the decision to verified)."""
    said = life.get("sla") or {}
    began, ended = moment(life.get("decided")), moment(life.get("verified") or life.get("ended"))
    if not said or began is None:
        return output.note("")
    used, whole = ((ended or now) - began).total_seconds(), said["seconds"]
    late = said.get("breached") or used > whole
    style = "bold red" if late else "yellow" if used > (said.get("target_seconds") or whole) else ""
    return output.note(f"{span(used)} of {span(whole)}" + (" BREACHED" if late else ""), style)


def rollouts_table(found: Iterable[Doc], now: datetime) -> Table:
    table = output.table("rollouts", "id", "plan", "state", "versions", "began", "until", "by")
    for rollout in found:
        versions = f"{visible(rollout.get('previous') or '?')} → {visible(rollout.get('next') or '?')}"
        cells = [visible(rollout.get(name) or "") for name in ("id", "plan", "state")]
        cells += [versions, clock(rollout.get("began"))]
        end = until(rollout.get("until"), now) if rollout.get("state") in (None, "open") else ""
        output.row(table, [*cells, end, visible(rollout.get("by") or "")])
    return table


def captures_table(found: Iterable[Doc], now: datetime) -> Table:
    table = output.table("captures", "id", "plan", "state", "began", "items", "files", "rollout", "by")
    for capture in found:
        items = capture["items"]
        files = [artifact for item in items for artifact in item["artifacts"]]
        size = sum(artifact["size"] for artifact in files)
        cells = [visible(capture.get(name) or "") for name in ("id", "plan", "state")]
        cells += [clock(capture.get("began")), str(len(items)), f"{len(files)}, {size / (1 << 20):.1f} MiB"]
        style = "red" if capture["state"] == "failed" else ""
        output.row(table, [*cells, visible(capture.get("rollout") or ""), visible(capture["by"])], style)
    return table


def pauses_table(found: Iterable[Doc], now: datetime) -> Table:
    table = output.table("paused", "what", "until", "by", "why")
    for pause in found:
        end = until(pause["until"], now) if pause.get("until") else "unpaused"
        by, why = visible(pause.get("by") or ""), visible(pause.get("comment") or "")
        output.row(table, [visible(paused(pause)), end, by, why], "yellow")
    return table


def paused(pause: Doc) -> str:
    for kind in ("service", "trigger"):
        if pause.get(kind):
            return f"{kind} {pause[kind]}"
    return "everything"


def triggers_table(found: Iterable[Doc], now: datetime, strips: Strips) -> Table:
    table = output.table("triggers", "name", "plan", "verdicts", "streak", "subject", "last window", "state")
    for trigger in found:
        subject = worst(trigger)
        streak = f"{subject.get('streak', 0)}/{trigger.get('windows', '?')}"
        cells: output.Cells = [
            visible(trigger["name"]),
            visible(trigger.get("plan") or ""),
            _strip(strips.of(trigger)),
            output.note(streak, "bold red" if subject.get("streak") else ""),
            labels(subject["labels"]) if subject.get("labels") else "",
            _age(trigger, now),
            _standing(trigger, subject),
        ]
        output.row(table, cells)
    return table


def _strip(verdicts: Iterable[str]) -> Text:
    text = output.note("", "")
    for verdict in verdicts:
        text.append(GLYPHS.get(verdict, "?"), COLOURS.get(verdict, ""))
    return text


def _age(trigger: Doc, now: datetime) -> Text:
    """Red once three windows are missing: the daemon answers, but knows nothing new."""
    end = moment(trigger.get("last_window"))
    if end is None:
        return output.note("none", "yellow")
    age = max(0.0, (now - end).total_seconds())
    late = age > 4 * float(trigger.get("interval_seconds") or 15)
    return output.note(f"{span(age)} ago" + (" LATE" if late else ""), "bold red" if late else "")


def _standing(trigger: Doc, subject: Doc) -> Text:
    if trigger.get("blind"):
        why = " ".join(visible(trigger[name]) for name in ("blind", "problem") if trigger.get(name))
        return output.note(f"BLIND {why}", "bold red")
    if subject.get("disarmed"):
        return output.note(f"disarmed: {visible(subject['disarmed'])}", "yellow")
    armed = "armed" if trigger.get("armed") else "not armed"
    problem = visible(trigger.get("problem") or "")
    return output.note(f"{armed} {problem}".strip(), "" if trigger.get("armed") else "dim")
