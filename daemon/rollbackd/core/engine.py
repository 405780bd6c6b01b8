"""Ties the nouns together: a signal in, events and asks out (see `docs/architecture.md`).

advance(signal, now) -> Advance    decide: what became true
commit()                           the batch is durable: take the new state
wanted(now) -> effects             derived from state, so a restart needs no special path
wake_at()                          when to look again, if nothing happens
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import (
    alignment,
    arming,
    blind,
    capture,
    decision,
    impact,
    ladder,
    operators,
    overrides,
    polling,
    quiet,
    rollback,
    rollout,
    sla,
    validation,
    waiting,
    wanted,
)
from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.alignment import Learner
from rollbackd.core.effects import Ask, AskScrapes, Effect
from rollbackd.core.events import Event
from rollbackd.core.judging import first_unreachable, unreachable
from rollbackd.core.soft import Judged, Soft, watch_key
from rollbackd.core.state import AUTOMATIC, State
from rollbackd.core.turn import Refused, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollbackd.core.model import Config, Ms, Trigger, Verdict
    from rollbackd.core.windows import Applied, Watch

MOST_POLLED = 200
"""Watches looked at in one turn; whoever is left is due at once, and the loop goes on in between."""

SETTLES_WITHIN = 10_000
"""Rounds after which progress must have come to rest; more is a defect, and stops the daemon."""


class Reply(Struct, frozen=True):
    """What a person is told. `conflict`: it was decided already, or it is too late."""

    request: int
    accepted: bool
    text: str
    conflict: bool = False
    capture: str | None = None  # which began with it


class Advance(Struct, frozen=True):
    """One turn's outcome; nothing of it holds until it is committed."""

    events: tuple[Event, ...]
    asks: tuple[Ask | AskScrapes, ...]
    actor: str
    reply: Reply | None = None
    judged: tuple[Judged, ...] = ()


class Engine:
    """The deterministic heart. `advance` and `commit` take turns; nothing comes between."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state if state is not None else State()
        self.soft = Soft()
        self.unreadable = ""
        self._turn: Turn | None = None
        self._turned_at: Ms = 0

    def advance(self, signal: s.Signal, now: Ms) -> Advance:
        turn = Turn(self.state, self.soft, now)
        self._turn, self._turned_at = turn, now
        reply: Reply | None = None
        if isinstance(signal, s.OperatorSpoke):
            reply = self._speak(turn, signal)
        else:
            self._take(turn, signal)
        if not turn.events:  # nobody's word did anything: what follows is the daemon's own
            turn.actor, turn.channel = AUTOMATIC, ""
        self._progress(turn)
        self._poll(turn)
        judged, self.soft.judged = tuple(self.soft.judged), []
        return Advance(tuple(turn.events), tuple(turn.asks), turn.actor, reply, judged)

    def commit(self) -> None:
        if self._turn is None:
            raise RuntimeError("commit without advance")
        self.state = self._turn.state
        self._turn = None

    def wanted(self, now: Ms) -> Iterator[Effect]:
        """Every effect the state calls for, whether or not it is under way."""
        yield from ladder.wanted(self.state, now)
        if not self.unreadable:
            yield from wanted.effects(self.state)

    def wake_at(self) -> Ms | None:
        """When time alone changes something next; it may have come already. The last turn dealt with what
        was past *then*: what came due while its batch was written was not."""
        if self.soft.undecided:
            return self._turned_at
        due = self.soft.next_due()
        later = [at for at in self._alarms() if at > self._turned_at]
        if due is not None and not self.unreadable:
            later.append(due)
        return min(later, default=None)

    def _alarms(self) -> Iterator[Ms]:
        state, soft = self.state, self.soft
        yield from ladder.alarms(state)
        yield from sla.alarms(state)
        yield from rollout.alarms(state)
        yield from capture.alarms(state)
        yield from validation.alarms(state)
        yield from arming.alarms(state)
        yield from blind.alarms(soft)
        yield from decision.alarms(soft.candidates.values())
        for life in state.lives.values():
            yield from waiting.alarms(life, soft)
            yield from rollback.alarms(life)
        for pause in state.pauses:
            if pause.until is not None:
                yield pause.until

    # Taking signals in

    def _take(self, turn: Turn, signal: s.Signal) -> None:
        match signal:
            case s.DaemonStarted():
                self._started(turn, signal)
            case s.ConfigurationLoaded():
                turn.actor, turn.channel = signal.actor or AUTOMATIC, signal.channel
                self._configured(turn, signal)
            case s.ConfigurationRefused():
                turn.actor, turn.channel = signal.actor or AUTOMATIC, signal.channel
                _refused(turn, signal.problem)
            case s.WindowsAnswered():
                self._many_answered(turn, (signal,))
            case s.ScrapesSeen():
                alignment.scrapes_seen(turn, signal)
            case s.ManyAnswered():
                self._many_answered(turn, signal.answers)
            case s.StepBegan():
                rollback.step_began(turn, signal)
            case s.StepExited():
                rollback.step_exited(turn, signal)
            case s.CheckAnswered():
                rollback.check_answered(turn, signal)
            case s.CaptureTaken():
                capture.taken(turn, signal)
            case s.CaptureRemoved():
                capture.removed(turn, signal)
            case s.PageAnswered():
                ladder.page_answered(turn, signal)
            case s.ReportWritten():
                _report_written(turn, signal)
            case s.JournalRecovered():
                turn.emit(
                    e.JournalRecovered(
                        at=turn.now,
                        reason=signal.reason,
                        down=signal.down,
                        reserve_freed=signal.reserve_freed,
                    )
                )
            case s.CheckpointDue():
                self._checkpoint(turn, signal)
            case s.Ticked() | s.OperatorSpoke():
                pass

    def _speak(self, turn: Turn, signal: s.OperatorSpoke) -> Reply:
        turn.actor, turn.channel = signal.actor, signal.channel
        try:
            text = operators.speak(turn, signal.verb)
        except Refused as refused:
            return Reply(signal.request, False, refused.reason, refused.conflict)
        return Reply(signal.request, True, text, capture=turn.capture)

    def _started(self, turn: Turn, signal: s.DaemonStarted) -> None:
        self.unreadable = signal.unreadable
        problem = signal.problem if signal.config is None else None
        turn.emit(e.DaemonStarted(at=turn.now, absent=signal.absent, fresh=signal.fresh, finish_only=problem))
        if signal.config is not None:
            self._configure(turn, signal.config, first=signal.fresh)
        else:
            _refused(turn, signal.problem)
        if signal.unreadable:
            _unreadable(turn, signal.unreadable)
        turn.soft.sync(turn.state, turn.now)

    def _checkpoint(self, turn: Turn, signal: s.CheckpointDue) -> None:
        """Never from a state that lacks what this version cannot read (J2): that would go with the rows."""
        if self.unreadable:
            return
        state = turn.state
        kept = tuple(dict.fromkeys((*signal.kept, *state.lives)))
        turn.emit(e.Checkpoint(at=turn.now, upto=signal.upto, kept=kept, state=state))

    def _configured(self, turn: Turn, signal: s.ConfigurationLoaded) -> None:
        self._configure(turn, signal.config, first=False)
        turn.soft.sync(turn.state, turn.now)

    def _configure(self, turn: Turn, config: Config, *, first: bool) -> None:
        known = turn.state.config
        if known is None or known.hash != config.hash or turn.state.finish_only is not None:
            turn.emit(e.ConfigurationLoaded(at=turn.now, config=config, by=turn.actor, channel=turn.channel))
        arming.count_triggers(turn, first=first)
        ladder.resolve_matter(turn, CONFIGURATION, "the configuration is usable")

    def _many_answered(self, turn: Turn, answers: Sequence[s.WindowsAnswered]) -> None:
        taken = 0
        while (taken := self._pass_over(turn, answers, taken)) < len(answers):
            self._windows_answered(turn, answers[taken])
            taken += 1

    def _pass_over(self, turn: Turn, answers: Sequence[s.WindowsAnswered], start: int) -> int:
        """Take in nearly every window: nothing happens in it, and nothing was amiss before. The first from
        `start` on of which that cannot be said; those before it have changed no state."""
        soft, state, now, judged = turn.soft, turn.state, turn.now, turn.soft.judged
        watches, counting, matters = soft.watches, state.counting, state.matters
        if soft.unreachable_since is not None or not soft.answered or blind.SOURCE in matters:
            return start
        involved = soft.involved(state)
        for index in range(start, len(answers)):
            signal = answers[index]
            watch = watches.get(signal.watch)
            if watch is None or watch.gaps:
                return index
            name = watch.trigger.name
            known = counting.get(name)
            # Nobody may wait for a window of this watch: no life, no disarmed subject, no page.
            if (known is not None and known.first) or name in involved:
                return index
            if (matters and f"blind/{name}" in matters) or not quiet.pass_over(watch, signal, now):
                return index
            if signal.skew is not None:
                soft.skew = signal.skew
            judged.append(_judged(watch, watch.judged, {"ok": len(watch.verdicts)}, now + soft.skew))
        return len(answers)

    def _windows_answered(self, turn: Turn, signal: s.WindowsAnswered) -> None:
        soft = turn.soft
        if signal.skew is not None:
            soft.skew = signal.skew
        watch = soft.watches.get(signal.watch)
        if watch is None:
            blind.source_answered(turn, first_unreachable(signal.answers))
            return
        reason = unreachable(watch.condition, signal.answers)
        blind.source_answered(turn, reason)
        before = len(soft.judged)
        for applied in polling.answered(watch, signal, turn.now, _floor(turn, watch.trigger)):
            self._judged(turn, watch, applied)
        told = len(soft.judged) > before or reason is not None
        if told and blind.SOURCE not in turn.state.matters and _configured_watch(turn, watch):
            blind.check(turn, watch)
        self._ask(turn, watch)

    def _judged(self, turn: Turn, watch: Watch, applied: Applied) -> None:
        """Every window that is judged in full comes by here, in order."""
        soft, trigger = turn.soft, watch.trigger
        soft.judged.append(_judged(watch, applied.end, dict(applied.counts), turn.prom))
        if watch.condition is trigger.condition or watch.key == watch_key(trigger):
            if _configured_watch(turn, watch):
                arming.observe(turn, watch, applied)
                decision.notice(turn, watch, applied)
            waiting.observe(turn, watch, applied)
        soft.recover(turn.state, watch, applied)

    # Going on

    def _progress(self, turn: Turn) -> None:
        """Let time and facts take effect until nothing changes any more."""
        if turn.state.config is None:
            return
        if self.unreadable:
            ladder.climb(turn)
            return
        for _ in range(SETTLES_WITHIN):
            before = len(turn.events)
            overrides.progress(turn)
            capture.progress(turn)
            rollout.progress(turn)
            arming.progress(turn)
            decision.progress(turn)
            for life_id in list(turn.state.lives):
                life = turn.state.lives.get(life_id)
                if life is not None and life.ended is None:
                    (waiting if life.began is None else rollback).progress(turn, life)
            waiting.resolve_ended(turn)
            validation.progress(turn)
            impact.progress(turn)
            sla.progress(turn)
            blind.progress(turn)
            ladder.climb(turn)
            if len(turn.events) == before:
                return
        raise RuntimeError(f"progress does not settle; last: {turn.events[-3:]!r}")

    def _poll(self, turn: Turn) -> None:
        if turn.events:
            turn.soft.sync_lives(turn.state, turn.now)
        if self.unreadable:
            return
        for asker in islice(turn.soft.due(turn.now), MOST_POLLED):
            self._ask(turn, asker)

    def _ask(self, turn: Turn, asker: Watch | Learner) -> None:
        if isinstance(asker, Learner):
            scrapes = asker.ask(turn.now, turn.soft.skew)
            turn.asks += [] if scrapes is None else [scrapes]
        else:
            turn.asks += polling.next_asks(asker, turn.now, turn.soft.skew)
        turn.soft.alarm(asker, asker.due)


def _judged(watch: Watch, end: Ms, counts: dict[Verdict, int], prom: Ms) -> Judged:
    trigger = watch.trigger
    return Judged(trigger.name, trigger.group, end, counts, max(prom - end - trigger.delay, 0))


def _report_written(turn: Turn, signal: s.ReportWritten) -> None:
    """Of a report that is no longer owed (a newer one is) nothing is recorded."""
    if turn.state.owed_reports.get(signal.life) == signal.number:
        turn.emit(e.ReportWritten(at=turn.now, life=signal.life, number=signal.number, files=signal.files))


CONFIGURATION = "configuration/files"


def _refused(turn: Turn, problem: str) -> None:
    refused = e.ConfigurationRefused(at=turn.now, problem=problem, by=turn.actor, channel=turn.channel)
    turn.emit(refused)
    if turn.state.config is None:
        return
    ladder.open_matter(
        turn,
        "configuration",
        "files",
        problem,
        title="rollbackd: the configuration cannot be used",
        text=(
            f"Mend it, then `rollbackd reload`: {problem}\n"
            "If nobody acts: the last good configuration stays in force."
        ),
        labels={"instance": turn.config.instance},
    )


def _unreadable(turn: Turn, problem: str) -> None:
    if turn.state.config is None:
        return
    ladder.open_matter(
        turn,
        "halt",
        "journal",
        problem,
        title="rollbackd: the journal holds events this version does not know",
        text=f"Run the version that wrote it: {problem}\nIf nobody acts: nothing is rolled back.",
        labels={"instance": turn.config.instance},
    )


def _configured_watch(turn: Turn, watch: Watch) -> bool:
    """Whether this is what the files say today; a pinned definition of an open life opens no other."""
    if turn.state.finish_only is not None:
        return False
    counting = turn.state.counting.get(watch.trigger.name)
    return (
        counting is not None
        and counting.fingerprint == watch.trigger.fingerprint
        and watch.key == watch_key(watch.trigger)
    )


def _floor(turn: Turn, trigger: Trigger) -> Callable[[str], Ms]:
    """`arming.floor` of the state as it is when a window is judged."""
    known: tuple[State, Callable[[str], Ms]] | None = None

    def of(subject: str) -> Ms:
        nonlocal known
        if known is None or known[0] is not turn.state:
            known = (turn.state, arming.floor(turn.state, trigger, turn.soft.skew))
        return known[1](subject)

    return of
