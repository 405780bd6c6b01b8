"""What is watched: how unwell it is, release by release, and what undoing a release mends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core.model import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Config, Ms
    from rollbackd.sim.happenings import Ailment, Ails

COHORTS = ("blue", "green")


class _Spell:
    """One trigger's view of something being wrong, from `begin` until `end`."""

    __slots__ = ("ails", "begin", "end")

    def __init__(self, ails: Ails, begin: Ms) -> None:
        self.ails = ails
        self.begin = begin
        self.end = begin + ails.lasts


class Service:
    """Moments are the world's true time."""

    def __init__(self, config: Config) -> None:
        self._plans = {trigger.name: trigger.plan for trigger in config.triggers}
        self._steps = {
            (plan.name, scope): {
                step.name
                for phase, step in plan.narrowed(scope).steps()
                if not phase.after_verified and step.run is not None
            }
            for plan in config.plans
            for scope in plan.scope_names()
        }
        self._spells: dict[str, list[_Spell]] = {}
        self._done: dict[tuple[str, str], set[str]] = {}  # life, scope → steps that took effect
        self.releases: dict[str, str] = {plan.name: "next" for plan in config.plans}

    def ails(self, ails: Ails, now: Ms) -> None:
        self._spells.setdefault(ails.trigger, []).append(_Spell(ails, now))

    def how(self, trigger: str, subject: int, at: Ms) -> Ailment | None:
        """What was wrong then, the latest trouble first, a part's own before its trigger's; None: nothing."""
        for how in self._spells_at(trigger, subject, at):
            if how not in ("lost", "refused"):
                return None if how == "well" else how
        return None

    def asked(self, trigger: str, at: Ms) -> Ailment | None:
        """How its queries fail then; None: they do not."""
        return next((how for how in self._spells_at(trigger, -1, at) if how in ("lost", "refused")), None)

    def _spells_at(self, trigger: str, subject: int, at: Ms) -> Iterator[Ailment]:
        for name in dict.fromkeys((trigger, _whole(trigger))):
            for spell in reversed(self._spells.get(name, ())):
                if spell.begin <= at < spell.end and spell.ails.subject in (-1, subject):
                    yield spell.ails.how

    def well(self, plan: str, at: Ms) -> bool:
        return not any(
            self._plans.get(_whole(trigger)) == plan and spell.begin <= at < spell.end
            for trigger, spells in self._spells.items()
            for spell in spells
            if spell.ails.how not in ("well", "lost", "refused")
        )

    def step_done(self, life: str, scope: str, step: str, now: Ms) -> None:
        """A step took effect; the last one of its plan undoes the release, and the last one of a part does
        in every second life."""
        plan, _, number = life.rpartition("-")
        done = self._done.setdefault((life, scope), set())
        done.add(step)
        if not self._steps.get((plan, scope), {step}) <= done or (scope != ALL and int(number) % 2):
            return
        self.releases[plan] = "previous"
        self.over(plan, now)

    def over(self, plan: str, now: Ms) -> None:
        for trigger, spells in self._spells.items():
            if self._plans.get(_whole(trigger)) == plan:
                for spell in spells:
                    if spell.ails.heals and spell.begin <= now:
                        spell.end = min(spell.end, now)

    def all_over(self, now: Ms) -> None:
        """The faults are over: nothing new goes wrong. What is wrong by then ends by itself."""
        for spells in self._spells.values():
            spells[:] = [spell for spell in spells if spell.begin <= now]


def _whole(part: str) -> str:
    """The trigger that has this part."""
    return part.partition("x")[0]
