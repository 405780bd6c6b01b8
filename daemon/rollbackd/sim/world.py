"""What one daemon process acts upon: the driver's `World`, over the simulated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rollbackd.core import signals as s
from rollbackd.core.effects import Ask, AskScrapes, KeepAlert, Page, RunCheck, RunStep, StopStep, WriteReport
from rollbackd.sim import tape

if TYPE_CHECKING:
    from asyncio import Handle
    from collections.abc import Callable

    from rollbackd.core.effects import Effect
    from rollbackd.core.model import Measure, Ms
    from rollbackd.driver import Loop
    from rollbackd.sim.disk import Disk
    from rollbackd.sim.host import DaemonClock, Host
    from rollbackd.sim.loop import SimulatedLoop
    from rollbackd.sim.prometheus import Prometheus
    from rollbackd.sim.service import Service

AGAIN: Ms = 1_000
DEAF_FOR: Ms = 10_000

_NAMES = {
    Ask: "ask",
    AskScrapes: "ask_scrapes",
    RunStep: "run_step",
    StopStep: "stop_step",
    RunCheck: "run_check",
    Page: "page",
    KeepAlert: "keep_alert",
    WriteReport: "write_report",
}


class Surroundings:
    """What is there whether or not a daemon runs. `troubles`: the faults that are on, name → amount;
    `aimed`: which receiver or check they are about."""

    def __init__(
        self,
        loop: SimulatedLoop,
        record: Callable[[tape.Record], None],
        troubles: dict[str, Ms],
        aimed: dict[str, str],
        service: Service,
        prometheus: Prometheus,
        host: Host,
        disk: Disk,
    ) -> None:
        self.loop = loop
        self.record = record
        self.troubles = troubles
        self.aimed = aimed
        self.service = service
        self.prometheus = prometheus
        self.host = host
        self.disk = disk

    def ails(self, trouble: str, name: str) -> bool:
        return trouble in self.troubles and self.aimed.get(trouble, "") in ("", name)


class SimulatedWorld:
    """Answers come as callbacks of the simulated loop; those for a process that is gone are dropped."""

    def __init__(self, around: Surroundings, driver: Loop, clock: DaemonClock) -> None:
        self._around = around
        self._driver = driver
        self._clock = clock
        self._under_way: dict[str, Handle] = {}
        self._together: dict[tuple[str, tuple[Ms, ...]], list[Ask]] = {}
        self.gone = False

    # driver.World

    def start(self, effect: Effect) -> None:
        around = self._around
        fields = msgspec.to_builtins(effect)
        around.record(
            tape.Started(around.loop.now, self._clock.now(), effect.key, _NAMES[type(effect)], fields)
        )
        match effect:
            case Ask():
                self._ask(effect)
            case AskScrapes():
                self._later(effect.key, 5, self._scrapes, effect)
            case RunStep():
                around.host.run(effect, self._clock.steady, self._post)
            case StopStep():
                around.host.stop(effect, self._post)
            case RunCheck():
                rest = max(0, effect.not_before - self._clock.now())
                self._later(effect.key, rest + 20, self._check, effect)
            case Page():
                self._page(effect)
            case KeepAlert():
                pass  # a maintained state: nothing comes back
            case WriteReport():
                self._later(effect.key, 40, self._write, effect)

    def cancel(self, effect: Effect) -> None:
        self._around.record(tape.Cancelled(self._around.loop.now, effect.key))
        if isinstance(effect, RunCheck | Page) and (handle := self._under_way.pop(effect.key, None)):
            handle.cancel()

    def halted(self, reason: str) -> None:
        self._around.record(tape.Halted(self._around.loop.now, reason))

    def free_reserve(self) -> bool:
        return self._around.disk.free_reserve()

    # Its own

    def _post(self, signal: s.Signal) -> None:
        if not self.gone:
            self._driver.post(signal)

    def _later(self, key: str, after: Ms, callback: Callable[..., None], *arguments: object) -> None:
        loop = self._around.loop
        self._under_way[key] = loop.at(loop.now + after, self._unless_gone, callback, arguments)

    def _unless_gone(self, callback: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if not self.gone:
            callback(*arguments)

    def _ask(self, ask: Ask) -> None:
        """Waits until Prometheus' clock has passed the window, as the real source does (T2)."""
        prometheus, now = self._around.prometheus, self._around.loop.now
        short = max(0, ask.ends[-1] + ask.delay - now - prometheus.skew)
        slow = self._around.troubles.get("late_answers", 0)
        behind = short > ask.budget
        hangs = slow >= ask.budget or "drips" in self._around.troubles
        after = 5 if behind else ask.budget if hangs else short + 5 + slow
        if ask.family is None:
            self._later(ask.key, after, self._answer, ask, behind or hangs)
            return
        together = (ask.family.key, ask.ends)
        if together not in self._together:
            self._later("/".join(map(str, together)), after, self._answer_many, together, behind or hangs)
        self._together.setdefault(together, []).append(ask)

    def _answer(self, ask: Ask, late: bool) -> None:
        self._post(self._answered(ask, late))

    def _answer_many(self, together: tuple[str, tuple[Ms, ...]], late: bool) -> None:
        """Triggers that differ in a label's value are asked at once (W11)."""
        asks = self._together.pop(together)
        self._post(s.ManyAnswered(tuple(self._answered(ask, late) for ask in asks)))

    def _answered(self, ask: Ask, late: bool) -> s.WindowsAnswered:
        around = self._around
        now, steady = around.loop.now, self._clock.now()
        failed = s.Unreachable("not in time") if late else around.prometheus.why_not()
        answers: tuple[s.QueryAnswer, ...]
        answers = (failed,) * len(ask.queries) if failed else around.prometheus.answers(ask, now)
        skew = None if isinstance(failed, s.Unreachable) else now + around.prometheus.skew - steady
        told = tuple(_told(query.role, found) for query, found in zip(ask.queries, answers, strict=True))
        around.record(tape.Told(now, steady, ask.watch, ask.ends, ask.interval, told, skew))
        return s.WindowsAnswered(ask.watch, ask.ends, answers, skew)

    def _scrapes(self, ask: AskScrapes) -> None:
        self._post(s.ScrapesSeen(ask.group, ask.at, self._around.prometheus.scrapes(ask.at)))

    # Checks

    def _check(self, effect: RunCheck) -> None:
        answered = self._look(effect)
        next_time = self._clock.now() + AGAIN
        if effect.until is not None and answered.answer != "pass" and next_time <= effect.until:
            self._later(effect.key, AGAIN, self._check, effect)
            return
        around = self._around
        around.record(
            tape.Probed(around.loop.now, effect.key, effect.check.name, answered.answer, answered.status)
        )
        self._post(answered)

    def _write(self, effect: WriteReport) -> None:
        self._post(s.ReportWritten(effect.life, effect.number, {f"{effect.life}.md": "0" * 64}))

    def _look(self, effect: RunCheck) -> s.CheckAnswered:
        check = effect.check
        if check.measure is not None:
            return self._measure(effect.key, check.measure)
        if check.run is not None:
            return self._command(effect, check.run.argv[-1])
        if check.query is None:
            raise ValueError(f"{effect.key} asks nothing")
        kind = check.query.expr.partition("{")[0]
        value = self._around.prometheus.value(check.query.expr, self._around.loop.now)
        if value is None or self._around.ails("checks_cannot_tell", kind):
            return s.CheckAnswered(effect.key, "cannot_tell", detail="no value")
        holds = check.query.passes.holds(value) and not self._around.ails("checks_fail", kind)
        return s.CheckAnswered(effect.key, "pass" if holds else "fail", detail=f"{value:g}")

    def _measure(self, key: str, measure: Measure) -> s.CheckAnswered:
        value = self._around.prometheus.value(measure.expr, measure.at)
        if value is None:
            return s.CheckAnswered(key, "cannot_tell", detail="no value")
        return s.CheckAnswered(key, "pass", output=repr(value))

    def _command(self, effect: RunCheck, name: str) -> s.CheckAnswered:
        around = self._around
        kind = name.partition("-")[0]
        if around.ails("checks_cannot_tell", kind):
            return s.CheckAnswered(effect.key, "cannot_tell", detail="timed out")
        failing = around.ails("checks_fail", kind)
        if kind == "probe":
            life, step = effect.env["ROLLBACK_ID"], effect.env["ROLLBACK_STEP"]
            status = 1 if failing else 0 if (life, step) in around.host.done else 20
        elif kind == "reversible":
            status = 20 if failing else 0
        else:
            status = int(failing)
        output = around.service.releases.get(effect.env["ROLLBACK_PLAN"], "") if kind == "release" else ""
        return s.CheckAnswered(effect.key, "fail" if status else "pass", status=status, output=output)

    # Pages

    def _page(self, page: Page) -> None:
        if self._around.ails("receiver_refuses", page.receiver):
            self._later(page.key, 60, self._answer_page, page, "503")
        elif self._around.ails("receiver_deaf", page.receiver):
            self._later(page.key, 30, self._deliver, page)
            self._later(page.key, DEAF_FOR, self._answer_page, page, "no answer in time")
        else:
            slow = 8_000 if self._around.ails("receiver_slow", page.receiver) else 0
            self._later(page.key, 30 + slow, self._take_page, page)

    def _take_page(self, page: Page) -> None:
        self._deliver(page)
        self._answer_page(page, "")

    def _deliver(self, page: Page) -> None:
        self._around.record(
            tape.Delivered(
                self._around.loop.now, page.page, page.receiver, page.status, page.dedup, page.kind
            )
        )

    def _answer_page(self, page: Page, refused: str) -> None:
        self._post(s.PageAnswered(page.page, page.receiver, not refused, refused))


def _told(role: str, answer: s.QueryAnswer) -> tape.Answer:
    match answer:
        case s.Series(windows=windows):
            return tape.Answer(role, windows)  # type: ignore[arg-type]
        case s.Unreachable():
            return tape.Answer(role, None, "unreachable")  # type: ignore[arg-type]
        case s.Unusable():
            return tape.Answer(role, None, "unusable")  # type: ignore[arg-type]
