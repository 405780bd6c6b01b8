"""What each plan promises: how long it takes, and what is to be shown of it (rules S1, P1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollbackd.config import yaml_source
from rollbackd.config.bundle import gather
from rollbackd.config.plans import resolve_plan
from rollbackd.config.problem import errors
from rollbackd.core import evidence, levels
from rollbackd.folder import hash_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollbackd.config.bundle import Bundle
    from rollbackd.config.plans import ReadPlan
    from rollbackd.core.model import EvidenceKind, Plan, Trigger


class Promise(NamedTuple):
    """Of one plan file. `evidence`: kinds that its level wants, of which the files know nothing."""

    file: str
    plan: Plan
    totals: levels.Totals
    evidence: tuple[EvidenceKind, ...]


def sound_plans(bundle: Bundle) -> Iterator[tuple[ReadPlan, Plan, list[Trigger]]]:
    """The plans without errors, and the triggers that name them."""
    for read in bundle.plans:
        if not errors(read.document.problems):
            named_by = [trigger for _, trigger in bundle.triggers if trigger.plan == read.model.plan]
            yield read, resolve_plan(read), named_by


def promises(bundle: Bundle) -> list[Promise]:
    return [
        Promise(
            read.document.shown,
            plan,
            levels.totals(plan, triggers),
            tuple(evidence.wanted(plan, automatic=bool(triggers))),
        )
        for read, plan, triggers in sound_plans(bundle)
    ]


def hash_of(name: str, path: Path) -> str:
    """The hash of that plan's folder as it is now. `path`: a rollbackd.yml, its folder, or the plan's own.
    LookupError: it is not there. OSError, ValueError: it cannot be hashed."""
    main = path / "rollbackd.yml" if path.is_dir() else path
    if main.name == "plan.yml" or not main.exists():
        file = main.with_name("plan.yml")
        documents = [yaml_source.read(file, str(file), file.name)]
    else:
        documents = gather(main, str(main)).plan_files
    for document in documents:
        if document.data is not None and document.data.get("plan") == name:
            return hash_folder(document.path.parent)
    raise LookupError(f"there is no plan {name}")
