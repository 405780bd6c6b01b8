"""From a seed to a life full of trouble, biased towards what is likely to break the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from rollbackd.sim.chance import Chance
from rollbackd.sim.files import EDITIONS, RECEIVERS, SHAPES, SLOW, configuration
from rollbackd.sim.happenings import (
    TROUBLES,
    UNREACHABLE,
    UNUSABLE,
    Ailment,
    Ails,
    Dies,
    Fails,
    Goes,
    Happening,
    Reloads,
    Says,
    Scenario,
    StepGoes,
    Trouble,
    When,
    part_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rollbackd.core.model import Config, Ms, Trigger

SECOND: Ms = 1_000
MINUTE: Ms = 60_000
HOUR: Ms = 3_600_000

MOMENTS = (
    "life_opened",
    "wait_began",
    "veto_opened",
    "wait_ended",
    "life_approved",
    "rollback_began",
    "step_reached",
    "step_ordered",
    "step_started",
    "step_ended",
    "step_staged",
    "step_settled",
    "verification_began",
    "rollback_verified",
    "life_ended",
    "life_parked",
    "life_held",
    "page_promised",
    "page_delivered",
    "rung_reached",
    "matter_opened",
    "gate_approved",
    "phase_failed",
    "scope_widened",
    "subject_disarmed",
    "subject_armed",
    "check_answered",
)
"""Events that trouble likes to follow at once."""

HOLDABLE = (
    *("life_opened", "wait_began", "veto_opened", "rollback_began", "step_ordered", "step_staged"),
    *("step_settled", "verification_began", "verification_began", "verification_began", "life_parked"),
)

MEDDLING = (
    "tick",
    *("ack", "approve", "veto", "hold", "hold", "abort", "abort_now", "resume", "confirm", "resolve"),
    *("pause", "pause", "unpause", "rearm", "start", "begin_rollout", "finish_rollout", "add_evidence"),
)

PARTLY: tuple[Ailment, ...] = (
    *("nan", "infinite", "absent", "low_traffic", "unscraped"),
    *("well", "lost", "lost", "refused"),
)
"""What one part of a condition may come to, while the others go on."""

ANSWERS = (("approve", ""), ("approve", ""), ("confirm", "done"), ("confirm", "done"), ("resume", ""))
"""Of people to a life that is parked."""

STUBBORN: tuple[Goes, ...] = (
    "lost",
    "lost",
    "slow",
    "slow",
    "fails",
    "hangs",
    "leaves_a_child",
    "unexpected",
)

_GOES: tuple[Goes, ...] = get_args(Goes)


def draw(seed: int) -> Scenario:
    """The life of this seed."""
    chance = Chance("life", seed)
    shape = chance.below(SHAPES, "shape")
    config = configuration(shape)
    if shape >= SLOW:
        return _slow(seed, shape, config)
    until = chance.between(8, 16, "faults") * MINUTE
    happenings = list(_begin(chance, config))
    for number in range(chance.pick((1, 2, 2, 3, 4, 6), "recipes")):
        recipe = chance.pick(RECIPES, "recipe", number)
        happenings += recipe(Chance("recipe", seed, number), config, until)
    happenings += _people(chance, config)
    for trigger in config.triggers:
        if trigger.condition.how != "one" and chance.yes(70, "parts", trigger.name):
            happenings += _parts_go_their_own_way(Chance("parts", seed, trigger.name), trigger, until)
    steps = tuple(_always(chance)) or tuple(
        StepGoes("*", chance.between(1, 8, "step", number), chance.pick(_GOES, "goes", number))
        for number in range(chance.pick((0, 1, 1, 2, 3, 5), "bad steps"))
    )
    return Scenario(
        seed,
        shape,
        until,
        tuple(happenings),
        steps,
        drift=chance.pick((0, 0, 200, -200), "drift"),
        fresh=chance.yes(80, "fresh"),
    )


def _slow(seed: int, shape: int, config: Config) -> Scenario:
    """What comes in the day after a success (S4): few things, hours apart."""
    chance = Chance("day", seed)
    until = chance.pick((2, 8, 25), "faults") * HOUR
    plan = chance.pick(config.plans, "plan")
    happenings: list[Happening] = [Says(When(at=20 * SECOND), "start", plan.name)]
    happenings += [
        Says(_soon(chance, "life_parked", nth), *chance.pick(ANSWERS, "parked", nth), who="bob")
        for nth in range(1, 6)
    ]
    for number in range(chance.between(1, 5, "happenings")):
        recipe = chance.pick(AFTERWARDS, "recipe", number)
        happenings += recipe(Chance("afterwards", seed, number), config, until)
    return Scenario(seed, shape, until, tuple(happenings), fresh=chance.yes(80, "fresh"))


def _later(chance: Chance, until: Ms) -> When:
    """Some time after the success; mostly soon."""
    kind = chance.pick(("validation_began",) * 7 + ("stage_ended", "validation_failed"), "kind")
    after = chance.pick((0, 100, 65_000, 200_000, 400_000, 840_000, 899_990, HOUR, 5 * HOUR), "after")
    return When(on=kind, after=min(after, until))


def relapses(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    what: Trouble = chance.pick(("checks_fail", "checks_fail", "checks_fail", "checks_cannot_tell"), "what")
    lasts = chance.pick((50 * SECOND, 3 * MINUTE, 10 * MINUTE, 50 * MINUTE, 3 * HOUR, 30 * HOUR), "lasts")
    of = chance.pick(("lasting", "lasting", "lasting", "healthy", ""), "of")
    yield Fails(_later(chance, until), what, lasts, of)


def absent_for_hours(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    down = chance.pick((2 * SECOND, 10 * MINUTE, 50 * MINUTE, 3 * HOUR, 26 * HOUR), "down")
    yield Dies(_later(chance, until), down, machine=chance.yes(20, "machine"))


def ticked(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    for number in range(chance.between(1, 4, "items")):
        item = str(chance.between(1, 5, number, "item"))
        yield Says(_later(Chance("tick", chance.below(1 << 30, number)), until), "tick", item)


def overtaken(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """By a newer change, or a newer rollback of the same services."""
    plan = chance.pick(config.plans, "plan")
    verb = chance.pick(("begin_rollout", "start"), "verb")
    yield Says(_later(chance, until), verb, plan.name)


def resolved_afterwards(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    verb = chance.pick(("resolve", "resolve", "ack"), "verb")
    yield Says(_later(chance, until), verb)


def reloaded_afterwards(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    yield Reloads(_later(chance, until), chance.pick((*range(EDITIONS), -1), "edition"))


AFTERWARDS: tuple[Callable[[Chance, Config, Ms], Iterator[Happening]], ...] = (
    *(relapses, relapses, relapses, relapses, absent_for_hours, ticked, ticked),
    *(overtaken, resolved_afterwards, reloaded_afterwards),
)


def _always(chance: Chance) -> Iterator[StepGoes]:
    """Now and then each try goes as the first."""
    if chance.yes(15, "always"):
        first, how = chance.between(1, 2, "always from"), chance.pick(STUBBORN, "always goes")
        yield from (StepGoes("*", nth, how) for nth in range(first, first + 6))


def _begin(chance: Chance, config: Config) -> Iterator[Happening]:
    """Rollouts, and a service that gets unwell after them: without a fire there is no life."""
    for plan in config.plans:
        if chance.yes(80, "rollout", plan.name):
            yield Says(
                When(at=chance.between(5, 40, "begins", plan.name) * SECOND), "begin_rollout", plan.name
            )
    trigger = chance.pick(config.triggers, "first")
    at = chance.between(50, 120, "ails") * SECOND
    yield _ails(chance, trigger, When(at=at), "first")
    if chance.yes(45, "another release"):
        later = When(on="life_ended", after=chance.pick((5, 40, 100), "released") * SECOND)
        yield Says(later, "begin_rollout", trigger.plan)
    if chance.yes(60, "once more"):
        more = chance.pick(config.triggers, "more") if chance.yes(50, "of another") else trigger
        later = When(on="life_ended", after=chance.pick((20, 60, 150), "ails again") * SECOND)
        yield _ails(chance, more, later, "second")


def _ails(
    chance: Chance, trigger: Trigger, when: When, key: str, how: Ailment = "breach", *, heals: bool = True
) -> Ails:
    span = trigger.interval * trigger.windows
    lasts = chance.pick((span, span + trigger.interval, 2 * span, 10 * span, 10 * span), key, "lasts")
    subject = chance.pick((-1, -1, 0, 1), key, "subject")
    return Ails(when, trigger.name, how, lasts, subject, heals and chance.yes(85, key, "heals"))


def _parts_go_their_own_way(chance: Chance, trigger: Trigger, until: Ms) -> Iterator[Happening]:
    """Parts of its condition are well while others breach, or go missing, each in a way of its own (W10)."""
    parts = sum(1 for _ in trigger.condition.leaves())
    for number in range(chance.between(2, 7, "spells")):
        own = Chance("part", chance.below(1 << 30, number))
        part = part_of(trigger.name, own.below(parts, "part"))
        at = When(at=own.between(40 * SECOND, until - MINUTE, "at"))
        if own.yes(40, "early"):
            at = When(at=own.between(40, 160, "early at") * SECOND)
        lasts = own.pick((1, 2, 4, 20, 40), "lasts") * trigger.interval + own.between(0, 9, "off") * SECOND
        how = own.pick((*PARTLY, *PARTLY, "breach", "breach", "well"), "how")
        subject = -1 if how in ("lost", "refused") else own.pick((-1, -1, 0, 1), "subject")
        yield Ails(at, part, how, lasts, subject, heals=own.yes(70, "heals"))


def _people(chance: Chance, config: Config) -> Iterator[Happening]:
    """Somebody usually answers, at some time."""
    for nth in (1, 2):
        if chance.yes(70, "confirms", nth):
            answer = chance.pick(("done", "retry", "skip"), "answer", nth)
            yield Says(
                _soon(chance, "life_parked", nth), "confirm", answer, stale=chance.yes(15, "stale", nth)
            )
        if chance.yes(60, "resumes", nth):
            yield Says(_soon(chance, "life_parked", nth, 90), "resume")
        if chance.yes(60, "resolves", nth):
            stale = chance.yes(25, "looked not", nth)
            yield Says(
                _soon(chance, "life_ended", nth), "resolve", stale=stale, twice=chance.yes(20, "twice", nth)
            )
        if chance.yes(50, "approves", nth):
            yield Says(_soon(chance, "wait_began", nth), "approve", stale=chance.yes(20, "old", nth))
        if chance.yes(30, "acks", nth):
            yield Says(_soon(chance, "rung_reached", nth), "ack")
    if any(step.run is None for plan in config.plans for _, step in plan.steps()):
        yield from _asked(chance)
    if any(plan.items() for plan in config.plans) and chance.yes(50, "ticks"):
        kind = chance.pick(("rollback_began", "validation_began"), "ticks on")
        yield Says(_soon(chance, kind, 1), "tick", str(chance.between(1, 3, "item")))
    if chance.yes(20, "rearms"):
        what = chance.pick(("plan", "trigger"), "rearm what")
        yield Says(_soon(chance, "life_ended", 1, 60), "rearm", what)
    if chance.yes(15, "starts"):
        plan = chance.pick(config.plans, "start")
        scope = chance.pick(plan.scope_names(), "start scope")
        yield Says(When(at=chance.between(30, 500, "start at") * SECOND), "start", plan.name, scope)


def _asked(chance: Chance) -> Iterator[Happening]:
    """Whoever is asked answers, and sometimes who must not (X1)."""
    for nth in range(1, 6):
        if chance.yes(80, "gate", nth):
            who = chance.pick(("ann", "bob", "bob"), "who", nth)
            when = _soon(chance, "life_parked", nth)
            stale = chance.yes(10, "gate seen", nth)
            yield Says(when, "approve", stale=stale, who=who, twice=chance.yes(10, "gate twice", nth))
        if chance.yes(60, "hand", nth):
            answer = chance.pick(("done", "done", "skip", "retry"), "by hand", nth)
            yield Says(_soon(chance, "life_parked", nth), "confirm", answer, who="bob")


def _soon(chance: Chance, kind: str, nth: int, seconds: int = 0) -> When:
    after = chance.pick((0, 5, 500, 5_000, 40_000), kind, nth, seconds, "soon")
    return When(on=kind, nth=nth, after=after + seconds * SECOND)


def _moment(chance: Chance, until: Ms) -> When:
    if chance.yes(30, "at"):
        return When(at=chance.between(30 * SECOND, until - MINUTE, "when"))
    after = chance.pick((0, 0, 1, 3, 40, 1_500, 11_000), "after")
    return When(on=chance.pick(MOMENTS, "on"), nth=chance.pick((1, 1, 1, 2, 3), "nth"), after=after)


# Recipes: each a trouble that people have met, or fear


def two_on_one_service(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    at = chance.between(60, 150, "at") * SECOND
    for number, trigger in enumerate(config.triggers[:3]):
        later = chance.pick((0, 1, 10_000, 30_000), number, "later")
        yield _ails(chance, trigger, When(at=at + later), f"both {number}")


def breach_before_the_rollout(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """What was bad already is no reason to undo what came after (W9)."""
    trigger = chance.pick(config.triggers, "trigger")
    lasts = trigger.interval * chance.between(2, 14, "windows")
    yield Ails(When(at=10 * SECOND), trigger.name, "breach", lasts, heals=False)
    yield Says(When(at=10 * SECOND + lasts // 2), "begin_rollout", trigger.plan)
    if chance.yes(50, "unseen"):  # the window before it is judged late
        trigger = chance.pick(config.triggers, "late")
        at = chance.between(40, 90, "late at") * SECOND
        yield Fails(When(at=at - chance.between(1, 16, "silent") * SECOND), "refused", 24 * SECOND)
        yield Ails(When(at=at - trigger.interval), trigger.name, "breach", 300 * SECOND, heals=False)
        yield Says(When(at=at), "begin_rollout", trigger.plan)
    if chance.yes(60, "again"):
        again = 10 * SECOND + lasts + chance.pick((0, 20, 60), "later") * SECOND
        yield _ails(chance, trigger, When(at=again), "again")


def unwell_before_the_first_look(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Nobody knows how long that has been so (W13)."""
    trigger = chance.pick(config.triggers, "trigger")
    lasts = chance.pick((110, 150, 400), "lasts") * SECOND
    yield Ails(When(at=-100 * SECOND), trigger.name, "breach", lasts, heals=False)
    if chance.yes(50, "again"):
        yield _ails(chance, trigger, When(at=lasts), "again")


def nothing_to_see(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """For longer than anybody may not know of it (W5)."""
    trigger = chance.pick(config.triggers, "trigger")
    lasts = chance.pick((380, 460), "lasts") * SECOND
    at = When(at=chance.between(5, 90, "at") * SECOND)
    if chance.yes(40, "the query"):
        yield Fails(at, chance.pick(tuple(UNUSABLE), "unusable"), lasts)
        return
    hows: tuple[Ailment, ...] = ("nan", "infinite", "absent", "unscraped")
    yield Ails(at, trigger.name, chance.pick(hows, "how"), lasts, heals=False)


def held_and_resumed(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    for number in range(chance.between(1, 2, "times")):
        kind = chance.pick(HOLDABLE, number, "kind")
        yield Says(When(on=kind, after=chance.pick((0, 1, 600), number, "after")), "hold")
        lasts = chance.pick((1, 20, 70, 200, 200), number, "lasts") * SECOND
        yield Says(When(on="life_held", nth=number + 1, after=lasts), "resume")


def means_something_else(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """In mid-streak, or in the middle of a life, the files change: a limit, the ceiling, a trigger less."""
    first = config.triggers[0]
    at = chance.between(50, 90, "at") * SECOND
    yield _ails(chance, first, When(at=at), "meanwhile")
    edition = chance.pick((1, 2, 3, 3, 5, 5), "edition")
    early = chance.pick((1, 2, 3), "windows") * first.interval + chance.between(0, 9, "off") * SECOND
    kind = chance.pick(("life_opened", "wait_began", "veto_opened", "rollback_began", "life_ended"), "kind")
    when = When(at=at + early) if chance.yes(40, "early") else When(on=kind, after=early // 8)
    yield Reloads(when, edition)
    if chance.yes(70, "back"):
        yield Reloads(When(on="configuration_loaded", nth=2, after=chance.between(1, 90, "soon") * SECOND), 0)


def started_on_broken_files(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Nothing begins, and what runs is finished, until they are mended (J2)."""
    at = chance.between(40, 200, "at") * SECOND
    yield Reloads(When(at=at), -1)
    yield Dies(When(at=at + chance.between(1, 20, "dies") * SECOND), 2 * SECOND)
    mended = at + chance.between(60, 200, "mended") * SECOND
    yield Reloads(When(at=mended), chance.pick((0, 0, 1), "edition"))
    trigger = chance.pick(config.triggers, "trigger")
    yield _ails(chance, trigger, When(at=at + chance.between(-40, 30, "ails") * SECOND), "meanwhile")
    yield _ails(chance, trigger, When(at=mended + 20 * SECOND), "after")


def cannot_be_told(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """From before the fire on a check fails, or cannot tell."""
    known = [check.name for plan in config.plans for check in plan.safety_checks] * 2
    known += ["reversible" for plan in config.plans if plan.reversible_while is not None] * 2
    of = chance.pick((*known, "release", "verify", "probe"), "of")
    what: Trouble = chance.pick(("checks_fail", "checks_cannot_tell", "checks_cannot_tell"), "what")
    yield Fails(When(at=30 * SECOND), what, chance.pick((90, 300, 500), "lasts") * SECOND, of)


def hard_to_undo(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Step after step goes wrong, and people say what they think of it."""
    for number in range(chance.between(2, 4, "words")):
        kind = chance.pick(("step_ordered", "step_ended", "step_settled", "life_parked"), number, "kind")
        after = chance.pick((0, 100, 2_500, 7_000), number, "after")
        verb = chance.pick(("abort", "abort_now", "abort", "hold", "resume", "confirm"), number, "verb")
        answer = chance.pick(("done", "retry", "retry", "skip"), number, "answer")
        nth = chance.between(1, 3, number, "nth")
        yield Says(When(on=kind, nth=nth, after=after), verb, answer, stale=chance.yes(15, number, "stale"))


def said_no(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """And soon afterwards another trigger or subject of that plan fires (D2)."""
    first = chance.pick(config.triggers, "first")
    yield Ails(When(at=70 * SECOND), first.name, "breach", 200 * SECOND, 0, heals=False)
    kind = chance.pick(("life_opened", "wait_began", "veto_opened"), "kind")
    yield Says(When(on=kind, after=chance.pick((0, 5, 2_000), "after")), "veto")
    for trigger in config.triggers:
        if trigger.plan == first.plan:
            later = When(on="life_ended", after=chance.between(1, 20, trigger.name) * SECOND)
            yield Ails(later, trigger.name, "breach", 200 * SECOND, heals=False)
    if chance.yes(40, "of another release"):
        yield Says(
            When(on="life_ended", after=chance.pick((2, 30), "released") * SECOND),
            "begin_rollout",
            first.plan,
        )


def over_meanwhile(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """What it would undo, or what it may do, changes while a life waits."""
    kind = chance.pick(("life_opened", "wait_began", "veto_opened", "wait_ended"), "kind")
    for nth in (1, 2):
        after = chance.pick((0, 5, 3_000), nth, "after")
        verb = chance.pick(("finish_rollout", "finish_rollout", "pause"), nth, "verb")
        answer = chance.pick(("plan", "trigger"), nth, "about")
        for plan in config.plans if verb == "finish_rollout" else config.plans[:1]:
            answer = plan.name if verb == "finish_rollout" else answer
            yield Says(When(on=kind, nth=nth, after=after), verb, answer)


def both_approved(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Two that ask, on one service: one waits for the other, whose end is a new reason to ask (D3, D7)."""
    at = chance.between(60, 120, "at") * SECOND
    for number, trigger in enumerate(config.triggers):
        yield Ails(When(at=at + 3 * number * SECOND), trigger.name, "breach", 500 * SECOND, heals=False)
    for nth in range(1, 7):
        yield Says(
            When(on="wait_began", nth=nth, after=chance.pick((50, 900, 9_000), nth, "after")), "approve"
        )


def nobody_knows_whether(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Before a phase that is guarded nobody can tell; somebody resumes when it can be told again (I11)."""
    kind = chance.pick(("rollback_began", "rollback_began", "step_settled"), "kind")
    yield Fails(When(on=kind), "checks_cannot_tell", 40 * SECOND, "reversible")
    for nth in (1, 2):
        yield Says(
            When(on="life_parked", nth=nth, after=chance.pick((5, 60), nth, "after") * SECOND), "resume"
        )


def vanishes(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """It breaches on after it was undone, and then there is nothing to see of it any more (S3)."""
    trigger = chance.pick(config.triggers, "trigger")
    yield Ails(When(at=70 * SECOND), trigger.name, "breach", 900 * SECOND, heals=False)
    how: Ailment = chance.pick(("absent", "low_traffic"), "how")
    after = chance.pick((0, 20, 45, 70), "after") * SECOND
    yield Ails(When(on="verification_began", after=after), trigger.name, how, 400 * SECOND, heals=False)


def started_by_hand(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """While a life of the plan waits, which it supersedes; or out of the blue."""
    kind = chance.pick(("life_opened", "wait_began", "wait_ended", "veto_opened"), "kind")
    for plan in config.plans:
        scope = chance.pick(plan.scope_names(), plan.name, "scope")
        yield Says(When(on=kind, after=chance.pick((0, 4, 900), plan.name)), "start", plan.name, scope)


def joins_what_waits(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Another trigger of the plan fires while a life of it waits (D10)."""
    first = chance.pick(config.triggers, "first")
    at = chance.between(60, 120, "at") * SECOND
    for number, trigger in enumerate(t for t in config.triggers if t.plan == first.plan):
        later = number * chance.pick((10, 25, 60), number, "later") * SECOND
        yield Ails(When(at=at + later), trigger.name, "breach", 300 * SECOND, heals=chance.yes(70, "heals"))


def not_enough(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """A part of a plan is rolled back, by hand or by itself, and it breaches on (X7)."""
    parts = [(plan, scope.name) for plan in config.plans for scope in plan.scopes]
    if not parts:
        return
    plan, scope = chance.pick(parts, "part")
    lasts = chance.pick((200, 400, 900), "lasts") * SECOND
    for trigger in config.triggers:
        if (trigger.plan, trigger.scope) == (plan.name, scope):
            yield Ails(
                When(at=70 * SECOND), trigger.name, "breach", lasts, heals=chance.yes(50, trigger.name)
            )
    if chance.yes(60, "by hand"):
        yield Says(When(at=chance.between(60, 200, "at") * SECOND), "start", plan.name, scope)
    if chance.yes(50, "another"):
        other = chance.pick(parts, "other")
        yield Says(
            When(on="rollback_began", after=chance.pick((0, 900, 9_000), "other after")),
            "start",
            other[0].name,
            other[1],
        )
    for nth in (1, 2):
        if chance.yes(30, "meddle", nth):
            verb = chance.pick(("abort", "hold", "resume", "rearm", "finish_rollout"), "verb", nth)
            answer = plan.name if verb == "finish_rollout" else "plan"
            kind = chance.pick(("step_settled", "scope_widened", "step_ended"), "kind", nth)
            yield Says(When(on=kind, after=chance.pick((0, 300, 4_000), "after", nth)), verb, answer)


def one_region_fails(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """While others run, one dies, hangs or is stopped."""
    for plan in config.plans:
        if plan.regions:
            yield Says(When(at=chance.between(40, 200, plan.name) * SECOND), "start", plan.name)
    for number in range(chance.between(1, 3, "words")):
        kind = chance.pick(("step_started", "step_ended", "step_settled", "life_parked"), number, "kind")
        verb = chance.pick(("hold", "resume", "abort", "abort_now", "confirm", "confirm"), number, "verb")
        answer = chance.pick(("done", "retry", "skip"), number, "answer")
        after = chance.pick((0, 100, 2_500, 7_000, 30_000), number, "after")
        yield Says(When(on=kind, nth=chance.between(1, 4, number, "nth"), after=after), verb, answer)


def any_fault(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Whichever, whenever, and long enough for something to happen under it."""
    for number in range(chance.between(1, 3, "how many")):
        own = Chance("any fault", chance.below(1 << 30, number))
        what = own.pick(TROUBLES, "what")
        if what in ("skewed", "wall_jumps", "late_answers"):
            amount = own.pick((-3_000, 4_000, 12_000), "amount")
            amount = abs(amount) if what == "late_answers" else amount
        else:
            amount = 0
        yield Fails(_moment(own, until), what, own.pick((4, 25, 70), "lasts") * SECOND, amount=amount)


def paused_meanwhile(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    about = chance.pick(("plan", "trigger"), "about")
    yield Says(When(at=chance.between(40, 110, "at") * SECOND), "pause", about)
    if chance.yes(60, "both"):
        yield Says(When(at=chance.between(40, 130, "both at") * SECOND), "pause", "plan")
        yield Says(When(at=chance.between(40, 130, "and both at") * SECOND), "pause", "trigger")
    if chance.yes(60, "ends"):
        yield Says(When(on="life_opened", after=chance.between(0, 60, "ends at") * SECOND), "unpause", about)


def full_at_the_worst_moment(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    kind = chance.pick(MOMENTS, "kind")
    what: Trouble = chance.pick(("disk_full", "disk_full", "disk_breaks", "disk_slow"), "what")
    yield Fails(When(on=kind), what, chance.pick((400, 3_000, 20_000), "lasts"))


def past_the_point_of_no_return(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    kind = chance.pick(("life_opened", "rollback_began", "step_settled", "life_parked"), "kind")
    what: Trouble = chance.pick(("checks_fail", "checks_fail", "checks_cannot_tell"), "what")
    yield Fails(When(on=kind), what, chance.pick((2, 60), "lasts") * SECOND, "reversible")


def clears_in_mid_step(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    trigger = chance.pick(config.triggers, "trigger")
    at = chance.between(60, 120, "at") * SECOND
    lasts = (trigger.windows + 1) * trigger.interval + chance.between(0, 30, "more") * SECOND
    yield Ails(When(at=at), trigger.name, "breach", lasts, heals=False)


def comes_and_goes(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """Now and then a window is well, dead, thin or late."""
    trigger = chance.pick(config.triggers, "trigger")
    at = chance.between(50, 100, "at") * SECOND
    hows: tuple[Ailment, ...] = ("breach", "breach", "nan", "absent", "low_traffic", "infinite", "unscraped")
    for number in range(chance.between(4, 12, "times")):
        lasts = trigger.interval * chance.between(1, 3, number, "windows")
        yield Ails(When(at=at), trigger.name, chance.pick(hows, number, "how"), lasts, heals=False)
        at += lasts + chance.pick((0, 0, trigger.interval), number, "gap")


def approval_races_expiry(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    for nth in (1, 2, 3):
        after = chance.between(-3, 3, nth) * chance.pick((1, 500), nth, "scale")
        yield Says(When(on="wait_began", nth=nth, after=after, until=True), "approve", twice=nth == 1)


def veto_races_its_window(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    after = chance.between(-3, 3, "after")
    yield Says(When(on="veto_opened", after=after, until=True), chance.pick(("veto", "approve"), "verb"))
    if chance.yes(50, "clock"):
        yield Fails(When(on="veto_opened", after=0, until=True), "wall_jumps", amount=-HOUR)


def out_for_ten_minutes(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    lasts = chance.pick((MINUTE, 10 * MINUTE), "lasts")
    yield Fails(_moment(chance, until), "ten_minutes_out", lasts)
    trigger = chance.pick(config.triggers, "trigger")
    yield _ails(chance, trigger, When(at=chance.between(60, 200, "at") * SECOND), "meanwhile")


def prometheus_is_odd(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    whats: tuple[Trouble, ...] = (*UNREACHABLE, *UNUSABLE, "frozen", "skewed", "late_answers")
    for number in range(chance.between(1, 3, "how many")):
        own = Chance("odd", chance.below(1 << 30, number))
        what = own.pick(whats, "what")
        amount = own.pick((-90_000, -3_000, 2_000, 60_000, 150_000), "skew") if what == "skewed" else 0
        amount = own.pick((300, 4_000, 12_000), "late") if what == "late_answers" else amount
        yield Fails(_moment(own, until), what, own.pick((3, 20, 70), "lasts") * SECOND, amount=amount)


def scrapes_begin_late(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    """A busy Prometheus: by up to half of the shortest windows' grace (W1)."""
    yield Fails(When(at=MINUTE), "late_scrapes", until, amount=chance.pick((30, 200, 620), "amount"))
    for number, trigger in enumerate(config.triggers[:2]):
        at = chance.between(80, 300, number, "at") * SECOND
        yield _ails(chance, trigger, When(at=at), f"while late {number}")
    if chance.yes(40, "odd"):
        what: Trouble = chance.pick(("refused", "ten_minutes_out", "late_answers", "frozen"), "what")
        yield Fails(_moment(chance, until), what, chance.pick((3, 20), "lasts") * SECOND, amount=300)


def nobody_answers(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    what = chance.pick(("receiver_refuses", "receiver_deaf", "receiver_slow"), "what")
    of = chance.pick(("", *RECEIVERS), "of")
    yield Fails(_moment(chance, until), what, chance.pick((20, 200, 600), "lasts") * SECOND, of)  # type: ignore[arg-type]


def checks_are_odd(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    of = chance.pick(("", "backup", "reversible", "release", "probe", "verify", "healthy", "smoke"), "of")
    what: Trouble = chance.pick(("checks_fail", "checks_cannot_tell"), "what")
    yield Fails(_moment(chance, until), what, chance.pick((5, 40, 400), "lasts") * SECOND, of)


def disk_is_odd(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    what: Trouble = chance.pick(("disk_full", "disk_slow", "disk_breaks"), "what")
    yield Fails(_moment(chance, until), what, chance.pick((1, 7, 50), "lasts") * SECOND)


def dies(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    for number in range(chance.pick((1, 1, 2, 4), "times")):
        own = Chance("dies", chance.below(1 << 30, number))
        down = own.pick((100, 2_000, 2_000, 45_000, 400_000), "down")
        yield Dies(
            _moment(own, until), down, machine=own.yes(15, "machine"), wrappers=own.yes(15, "wrappers")
        )


def time_is_odd(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    amount = chance.pick((-HOUR, HOUR, -24 * HOUR, 72 * HOUR), "amount")
    yield Fails(_moment(chance, until), "wall_jumps", amount=amount)
    if chance.yes(40, "rebooted"):
        yield Fails(When(at=200 * SECOND), "wall_jumps", amount=-HOUR)
        yield Dies(When(at=chance.between(205, 420, "boots") * SECOND), 20 * SECOND, machine=True)
    if chance.yes(50, "suspended"):
        own = Chance("suspended", chance.below(1 << 30, "own"))
        yield Fails(_moment(own, until), "suspended", own.pick((3, 30, 300), "lasts") * SECOND)


def reloaded(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    for number in range(chance.between(1, 3, "times")):
        own = Chance("reloaded", chance.below(1 << 30, number))
        edition = own.pick((*range(EDITIONS), -1), "edition")
        yield Reloads(_moment(own, until), edition, own.pick((1, 1, 4), "storm"))


def people_meddle(chance: Chance, config: Config, until: Ms) -> Iterator[Happening]:
    for number in range(chance.between(1, 5, "times")):
        own = Chance("meddle", chance.below(1 << 30, number))
        verb = own.pick(MEDDLING, "verb")
        answer = own.pick(("done", "retry", "skip"), "answer")
        if verb in ("start", "begin_rollout", "finish_rollout", "add_evidence"):
            answer = own.pick(config.plans, "plan").name
        if verb in ("pause", "unpause", "rearm"):
            answer = own.pick(("plan", "trigger"), "of")
        yield Says(_moment(own, until), verb, answer, stale=own.yes(20, "stale"), twice=own.yes(20, "twice"))
        if verb == "hold" and own.yes(70, "resumes"):
            yield Says(When(on="life_held", after=own.between(1, 90, "resumes at") * SECOND), "resume")


RECIPES: tuple[Callable[[Chance, Config, Ms], Iterator[Happening]], ...] = (
    two_on_one_service,
    breach_before_the_rollout,
    any_fault,
    any_fault,
    any_fault,
    unwell_before_the_first_look,
    nothing_to_see,
    held_and_resumed,
    means_something_else,
    means_something_else,
    started_on_broken_files,
    cannot_be_told,
    hard_to_undo,
    hard_to_undo,
    said_no,
    said_no,
    over_meanwhile,
    over_meanwhile,
    both_approved,
    both_approved,
    vanishes,
    started_by_hand,
    nobody_knows_whether,
    joins_what_waits,
    joins_what_waits,
    not_enough,
    not_enough,
    one_region_fails,
    one_region_fails,
    paused_meanwhile,
    full_at_the_worst_moment,
    past_the_point_of_no_return,
    clears_in_mid_step,
    comes_and_goes,
    approval_races_expiry,
    veto_races_its_window,
    out_for_ten_minutes,
    prometheus_is_odd,
    scrapes_begin_late,
    nobody_answers,
    checks_are_odd,
    disk_is_odd,
    dies,
    dies,
    time_is_odd,
    reloaded,
    people_meddle,
    people_meddle,
)
