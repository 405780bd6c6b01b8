"""Plan files → core plans (rules X1–X9, S1, S3)."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple

from rollbackd.config.models.base import walk
from rollbackd.config.models.plans import (
    CaptureModel,
    ItemModel,
    PhaseModel,
    PlanModel,
    ScopeModel,
    StepModel,
    ValidationModel,
)
from rollbackd.config.models.types import Relative
from rollbackd.config.problem import one_line
from rollbackd.core import levels
from rollbackd.core.model import (
    ALL,
    Baseline,
    CaptureItem,
    Check,
    Command,
    Gate,
    HttpGet,
    ImpactQuery,
    Item,
    Limit,
    Manual,
    Phase,
    Plan,
    Query,
    ReversibleWhile,
    Scope,
    Shown,
    Step,
    StepVerify,
    ValidationStage,
)
from rollbackd.core.notation import span
from rollbackd.core.sla import SLA, TARGET
from rollbackd.folder import hash_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rollbackd.config.models.checks import QuestionModel, SafetyCheckModel
    from rollbackd.config.yaml_source import Document, Loc
    from rollbackd.core.model import Ms, StageName, Trigger


class ReadPlan(NamedTuple):
    """A plan whose own values are sound; `hash` names its folder as it is now."""

    document: Document
    model: PlanModel
    hash: str

    @property
    def folder(self) -> Path:
        return self.document.path.parent


def check_programs(document: Document) -> None:
    """Note programs that cannot be run: faults 42 and X2's folders. Looks at the raw data."""
    for loc, program in _programs(document):
        if program.startswith("./") or program.startswith("../"):
            _check_script(document, loc, program)
        elif program.startswith("/"):
            if not os.access(program, os.X_OK):
                document.warn(
                    loc, f"{one_line(program)} is no program here", "install it where the daemon runs"
                )
        elif program[0] in "~$":
            what = f"{one_line(program)} is not expanded: there is no shell"
            document.problem(loc, what, "write the whole path, or a script of the plan: ./scripts/x.sh")
        elif "/" in program:
            document.problem(
                loc, f"{one_line(program)} is neither a path nor a name", f"write ./{one_line(program)}"
            )
        elif shutil.which(program) is None:
            document.warn(loc, f"{one_line(program)} is not on PATH here", "install it where the daemon runs")


def _programs(document: Document) -> Iterator[tuple[Loc, str]]:
    for visited in walk(PlanModel, document.data):
        for key in ("run", "probe"):
            argv = visited.mapping.get(key)
            if isinstance(argv, list) and argv and isinstance(argv[0], str) and argv[0].strip():
                yield (*visited.loc, key, 0), argv[0]


def _check_script(document: Document, loc: Loc, program: str) -> None:
    folder = document.path.parent
    path, shown = folder / program, one_line(program)
    try:
        real = path.resolve()
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "a link leads to itself"
        remedy = "create it, or correct the path"
        if " " in program:
            remedy = f"each argument is an item of its own: [{', '.join(map(one_line, program.split()))}]"
        document.problem(loc, f"{shown} cannot be found ({reason})", remedy)
        return
    if not real.is_relative_to(folder.resolve()):
        document.problem(loc, f"{shown} leads out of the plan's folder", "move it into the folder")
    elif not stat.S_ISREG(mode):
        document.problem(loc, f"{shown} is not a regular file", "name a script")
    elif not mode & 0o111:
        document.problem(loc, f"{shown} is not executable", f"chmod +x {shown}")


def folder_hash(document: Document) -> str | None:
    try:
        return hash_folder(document.path.parent)
    except ValueError as refused:
        what, _, remedy = str(refused).partition("; ")
        document.problem(
            ("plan",), one_line(what, 200), remedy or "keep in the folder only what the plan runs"
        )
    except OSError as error:
        what = f"its folder cannot be read ({error.strerror})"
        document.problem(("plan",), what, "let this user read it")
    return None


def check_plan(document: Document, model: PlanModel) -> None:
    """Note what several values of one plan together have against them."""
    if all(phase.after == "verified" for phase in model.phases):
        document.problem(("phases",), "every phase comes after verification", "remove an `after: verified`")
    if model.verify_windows == 0 and not any(check.on_fail == "fail" for check in model.verification):
        what = "0 leaves verification to the checks, and no check can fail"
        document.problem(("verify_windows",), what, "add a check to `verification`, or write 3")
    if model.reversible_while is not None and model.reversible_while.alternative_plan == model.plan:
        loc = ("reversible_while", "alternative_plan")
        document.problem(loc, "is this plan itself", "name another, or remove it")
    for key, said, most in (("sla", model.sla, SLA), ("target", model.target, TARGET)):
        if said is not None and said > most[model.level]:
            limit = span(most[model.level])
            what = f"{span(said)} is laxer than level {model.level} allows"
            document.problem((key,), what, f"write {limit} or less")
    _check_items(document, model)
    _check_regions(document, model)
    _check_scopes(document, model)
    if model.target is not None and model.target > _sla(model):
        remedy = f"write {span(_sla(model))} or less"
        document.problem(("target",), "is beyond the SLA", remedy)


def _check_scopes(document: Document, model: PlanModel) -> None:
    for name, scope in model.scopes.items():
        loc: Loc = ("scopes", name)
        if name == ALL:
            document.problem(loc, "is the name of the whole plan", "choose another", at_key=True)
        for index, service in enumerate(scope.services or ()):
            if service not in model.services:
                what = f"{service} is no service of the plan"
                document.problem((*loc, "services", index), what, f"name one of {', '.join(model.services)}")
        phases = [phase for phase in model.phases if phase.phase in scope.phases]
        if phases and all(phase.after == "verified" for phase in phases):
            document.problem((*loc, "phases"), "every phase comes after verification", "add what it undoes")
        if scope.widen_to is not None:
            _check_widening(document, model, name)


def _reach(model: PlanModel, scope: ScopeModel) -> tuple[set[str], set[str], set[str]]:
    regions = scope.regions or model.regions
    return set(scope.phases), set(scope.services or model.services), set(regions)


def _check_items(document: Document, model: PlanModel) -> None:
    """A tick names an item by its text."""
    lists: list[tuple[Loc, list[ItemModel]]] = [(("manual_verification",), model.manual_verification)]
    for name, stage in model.validation or ():
        if stage is not None:
            lists.append((("validation", name, "items"), stage.items))
    known: set[str] = set()
    for loc, items in lists:
        for index, item in enumerate(items):
            if item.item in known:
                what = f"`{one_line(item.item)}` stands here twice"
                document.problem((*loc, index, "item"), what, "say how they differ, or remove one")
            known.add(item.item)


def _check_regions(document: Document, model: PlanModel) -> None:
    known = ", ".join(model.regions)
    each = False
    for i, phase in enumerate(model.phases):
        for j, step in enumerate(phase.steps):
            loc: Loc = ("phases", i, "steps", j)
            each = each or step.each is not None
            if step.each is not None and not model.regions:
                document.problem((*loc, "each"), "the plan names no regions", "add `regions: [eu, us]` to it")
                continue
            for index, region in enumerate(step.regions or ()):
                if region not in model.regions:
                    what = f"there is no region {region}"
                    document.problem((*loc, "regions", index), what, f"name one of {known}")
    if model.regions and not each:
        document.problem(("regions",), "no step runs in each of them", "add `each: serial` to a step")
    for name, scope in model.scopes.items():
        for index, region in enumerate(scope.regions or ()):
            if region not in model.regions:
                what = f"there is no region {region}"
                remedy = f"name one of {known}" if known else "add `regions` to the plan"
                document.problem(("scopes", name, "regions", index), what, remedy)


def _check_widening(document: Document, model: PlanModel, name: str) -> None:
    """The wider part is run from its beginning: it must hold this one, and nothing may be run twice that
    cannot be (X7)."""
    part = model.scopes[name]
    loc, to = ("scopes", name, "widen_to"), part.widen_to or ALL
    wider = model.scopes.get(to)
    if wider is None and to != ALL:
        known = [ALL, *(other for other in model.scopes if other != name)]
        document.problem(loc, f"there is no scope {one_line(to)}", f"name one of {', '.join(known)}")
        return
    if wider is not None:
        inner, outer = _reach(model, part), _reach(model, wider)
        if inner == outer or not all(map(set.issubset, inner, outer)):
            document.problem(loc, f"{to} does not hold more than {name}", "name a wider scope, or all")
    points = [
        step.step
        for phase in model.phases
        for step in phase.steps
        if phase.phase in part.phases and step.irreversible
    ]
    if points:
        what = f"step {points[0]} is irreversible, and a wider scope runs it again"
        document.problem(loc, what, "remove `widen_to`")


def _sla(model: PlanModel) -> Ms:
    return SLA[model.level] if model.sla is None else model.sla


def check_alone(document: Document, plan: Plan) -> None:
    """Note why a plan that no trigger names cannot meet its own SLA, started by hand (rule S3)."""
    sums = levels.totals(plan, ())
    if sums.buffer < 0:
        what = f"cannot meet its own SLA: {sums}"
        document.problem(("phases",), what, SHORTEN)


SHORTEN = "shorten estimates, timeouts, settle or verify_windows"


def check_against(document: Document, plan: Plan, trigger: Trigger, where: str) -> None:
    """Note why the plan cannot do what a trigger that names it asks (rule S3)."""
    recovery = trigger.recovery()
    part = plan.narrowed(trigger.scope)
    sums = levels.totals(part, [trigger])
    by = f"trigger {trigger.name}, {where}"
    if sums.buffer < 0:
        takes = f"{span(sums.work)} and {span(sums.verification)} to verify"
        what = f"takes {takes} ({by}), over its SLA of {span(sums.sla)}"
        document.problem(("phases",), what, SHORTEN)
    if plan.verify_within is not None and plan.verify_within < sums.verification:
        what = f"is too short to verify ({by}), which takes {span(sums.verification)}"
        document.problem(("verify_within",), what, f"write {span(sums.verification)} or more")
    queried = any(check.query is not None and check.on_fail == "fail" for check in plan.verification)
    proves_nothing = trigger.per or any(leaf.total or leaf.traffic for leaf in recovery.leaves())
    if proves_nothing and not queried:
        what = f"holds no check with `expr` that can fail, and {by} has per, ratio or traffic"
        document.problem(("verification",), what, "add one: subjects without traffic prove nothing")


def resolve_plan(read: ReadPlan) -> Plan:
    """The plan with every default resolved. Call it for plans without problems."""
    model = read.model
    sla = _sla(model)
    return Plan(
        name=model.plan,
        hash=read.hash,
        owner=model.owner,
        level=model.level,
        services=tuple(dict.fromkeys(model.services)),
        phases=tuple(_phase(phase) for phase in model.phases),
        summary=model.summary,
        type=model.type,
        risk=model.risk,
        operation=model.operation,
        permit=model.permit,
        created=model.created,
        updated=model.updated,
        notify=tuple(dict.fromkeys(model.notify)),
        ladder=model.ladder,
        env=dict(model.env),
        needs_previous=model.needs_previous,
        release=Command(model.release.run, timeout=model.release.timeout) if model.release else None,
        capture=tuple(_capture(item) for item in model.capture),
        reversible_while=_reversible(model),
        safety_checks=tuple(map(_safety_check, model.safety_checks)),
        verification=tuple(_check(check) for check in model.verification),
        manual_verification=_items(model.manual_verification),
        validation=tuple(_stages(model.validation)),
        impact=tuple(ImpactQuery(name, said.expr, dict(said.words)) for name, said in model.impact.items()),
        verify_windows=model.verify_windows,
        settle=model.settle,
        verify_within=model.verify_within,
        timeout=model.timeout,
        sla=sla,
        target=min(TARGET[model.level], sla) if model.target is None else model.target,
        regions=tuple(dict.fromkeys(model.regions)),
        at_once=model.at_once or 0,
        scopes=tuple(_scope(name, scope, model) for name, scope in model.scopes.items()),
        exceptions=_exceptions(model),
    )


def _exceptions(model: PlanModel) -> dict[str, str]:
    said = {name: getattr(model.exceptions, name, None) for name in levels.WANTED}
    return {name: because for name, because in said.items() if because is not None}


def _scope(name: str, model: ScopeModel, plan: PlanModel) -> Scope:
    return Scope(
        name=name,
        phases=tuple(dict.fromkeys(model.phases)),
        services=tuple(dict.fromkeys(model.services or plan.services)),
        widen_to=model.widen_to,
        summary=model.summary,
        regions=tuple(dict.fromkeys(model.regions or ())),
    )


def _items(models: Iterable[ItemModel]) -> tuple[Item, ...]:
    return tuple(Item(model.item, model.owner) for model in models)


def _stages(model: ValidationModel | None) -> Iterator[ValidationStage]:
    if model is None:
        return
    names: tuple[StageName, ...] = ("immediate", "short_term", "long_term")
    for name, stage in zip(names, (model.immediate, model.short_term, model.long_term), strict=True):
        if stage is not None:
            yield ValidationStage(name, tuple(_check(check) for check in stage.checks), _items(stage.items))


def _capture(model: CaptureModel) -> CaptureItem:
    run = Command(model.run, shell=model.shell, timeout=model.timeout) if model.run is not None else None
    return CaptureItem(model.name, run, model.expr, model.timeout)


def _reversible(model: PlanModel) -> ReversibleWhile | None:
    said = model.reversible_while
    if said is None:
        return None
    return ReversibleWhile(
        run=Command(said.run, timeout=said.timeout),
        guards=tuple(dict.fromkeys(said.guards)),
        alternative_plan=said.alternative_plan,
        description=said.description,
    )


def _phase(model: PhaseModel) -> Phase:
    steps = tuple(_step(step) for step in model.steps)
    return Phase(
        name=model.phase,
        steps=steps,
        estimate=model.estimate,
        after_verified=model.after == "verified",
        on_failure=model.on_failure,
    )


def _step(model: StepModel) -> Step:
    verify = model.verify
    run = None
    if model.run is not None and model.timeout is not None:
        run = Command(model.run, shell=model.shell, timeout=model.timeout, env=dict(model.env))
    return Step(
        name=model.step,
        run=run,
        each=model.each or "once",
        regions=tuple(dict.fromkeys(model.regions or ())),
        gate=Gate(model.from_ or "") if model.gate is not None else None,
        manual=Manual(model.manual, model.owner or "") if model.manual is not None else None,
        interrupt="never" if model.irreversible else model.interrupt,
        irreversible=model.irreversible,
        attempts=model.retry.attempts if model.retry is not None else 1,
        backoff=model.retry.backoff if model.retry is not None else 2_000,
        repeatable=model.repeatable,
        probe=Command(model.probe) if model.probe is not None else None,
        expect=model.expect,
        verify=StepVerify(Query(verify.expr, verify.pass_), verify.within) if verify is not None else None,
    )


def _safety_check(model: SafetyCheckModel) -> Check:
    if model.evidence is not None and model.within is not None:
        return Check(model.check, shown=Shown(model.evidence, model.within))
    return _check(model)


def _check(model: QuestionModel) -> Check:
    run = http = query = baseline = None
    if model.run is not None:
        run = Command(model.run, timeout=30_000 if model.timeout is None else model.timeout)
    if model.http is not None:
        timeout = 10_000 if model.timeout is None else model.timeout
        http = HttpGet(model.http.url, model.http.status, dict(model.http.json_), timeout)  # type: ignore[arg-type]
    if model.baseline is not None:
        baseline = Baseline(model.baseline)
    if model.expr is not None and isinstance(model.pass_, Relative):
        query = Query(model.expr, Limit(model.pass_.op, 0.0))
        baseline = Baseline(model.baseline or "", model.pass_.times, model.pass_.plus)
    elif model.expr is not None and isinstance(model.pass_, Limit):
        query = Query(model.expr, model.pass_)
    return Check(
        name=model.check,
        run=run,
        http=http,
        query=query,
        windows=getattr(model, "windows", None),
        on_fail=getattr(model, "on_fail", "fail"),
        every=getattr(model, "every", None),
        prints=model.prints,
        baseline=baseline,
        kind=getattr(model, "kind", None),
    )
