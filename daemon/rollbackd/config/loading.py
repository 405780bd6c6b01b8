"""`load` for the daemon, `examine` for people."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from rollbackd.config import instance, lints
from rollbackd.config.bundle import Bundle, gather, judge
from rollbackd.config.families import families
from rollbackd.config.plans import resolve_plan
from rollbackd.config.problem import START, ConfigErrors, Problem, errors, in_order
from rollbackd.config.promises import Promise, promises
from rollbackd.config.suites import Suite, read_instance, suite_of
from rollbackd.config.yaml_source import Document, read
from rollbackd.core.model import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date

    from rollbackd.config.models.instance import InstanceModel
    from rollbackd.settings import AuditSettings, PrometheusSettings, ReceiverSettings

MAIN = "rollbackd.yml"
STATE_DIR = "/var/lib/rollbackd"


@dataclass(frozen=True, slots=True)
class WorldSettings:
    prometheus: PrometheusSettings
    receivers: tuple[ReceiverSettings, ...]
    audit: AuditSettings


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`host` is a loopback address or `localhost`; port 0 takes a free one."""

    host: str
    port: int
    external_url: str | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used. `plan_folders` are where the plans' folders are now: copy them, then
    compare `hash_folder` of the copy with the plan's hash (X2)."""

    path: Path
    core: Config
    world: WorldSettings
    web: WebSettings
    state_dir: Path
    journal: Literal["sqlite"]
    plan_folders: dict[str, Path]
    warnings: tuple[Problem, ...]


def load(path: Path) -> Loaded:
    """The configuration that `path`, a rollbackd.yml, and the files it names make. ConfigErrors: all of
    their problems."""
    bundle = gather(path, str(path))
    judge(bundle)
    problems = in_order(bundle.problems())
    if errors(problems) or bundle.settings is None:
        raise ConfigErrors(problems)
    return _loaded(bundle, bundle.settings, path, tuple(problems))


def _loaded(bundle: Bundle, settings: InstanceModel, path: Path, warnings: tuple[Problem, ...]) -> Loaded:
    folder = path.absolute().parent
    host, port = settings.web.listen
    return Loaded(
        path=path.absolute(),
        core=_core(bundle, settings),
        world=WorldSettings(
            prometheus=instance.prometheus(settings, folder),
            receivers=instance.receivers(settings, folder),
            audit=instance.audit(settings, folder),
        ),
        web=WebSettings(host, port, settings.web.external_url),
        state_dir=folder / settings.state_dir,
        journal=settings.journal,
        plan_folders={plan.model.plan: plan.folder.absolute() for plan in bundle.plans},
        warnings=warnings,
    )


def _core(bundle: Bundle, settings: InstanceModel) -> Config:
    """The core's part, in the order of the files. Its hash does not depend on where the files are."""
    triggers = tuple(trigger for _, trigger in bundle.triggers)
    config = Config(
        hash="",
        instance=settings.instance,
        triggers=triggers,
        plans=tuple(resolve_plan(plan) for plan in bundle.plans),
        max_action=settings.max_action,
        limits=instance.limits(settings),
        captures=instance.captures(settings),
        receivers=tuple(receiver.name for receiver in settings.receivers),
        notify=tuple(dict.fromkeys(settings.notify)),
        ladders=instance.ladders(settings),
        groups=bundle.groups,
        families=families(triggers),
    )
    encoded = msgspec.json.encode(config, order="deterministic")
    return msgspec.structs.replace(config, hash=hashlib.sha256(encoded).hexdigest())


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read: files, and the triggers and plans that could be understood. `whole`: there was a
    rollbackd.yml among them, so what it does not name is not there."""

    problems: list[Problem]
    files: int
    triggers: int
    plans: int
    whole: bool
    disabled: list[lints.Disabled] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)


Ask: TypeAlias = "Callable[[Bundle], list[Problem]]"
"""Finds out more of the triggers that were read."""


def check_paths(paths: Iterable[Path | str]) -> list[Problem]:
    """The problems that `examine` finds."""
    return examine(paths).problems


def examine(paths: Iterable[Path | str], today: date | None = None, ask: Ask | None = None) -> Checked:
    """Every problem of the files, and of what they name, and, where it is said which day it is, what lints
    find; `ask` finds more. A path is a rollbackd.yml, a file of triggers or of tests, a plan.yml, or a
    folder: its rollbackd.yml, or else every file of ours below it but for tests. Without a rollbackd.yml,
    names are not looked up: what would define them may be elsewhere."""
    problems: list[Problem] = []
    bundles: list[Bundle] = []
    loose = Bundle()
    suites: list[Suite] = []
    judged: set[str] = set()
    pending: list[Document] = []
    for path in paths:
        documents = list(_documents(Path(path), str(path), problems))
        for document in documents:
            if _kind(document) == "tests":
                suites.append(suite_of(document, read_instance(None)))
            elif _kind(document) == "instance":
                bundle = gather(document.path, document.shown)
                judge(bundle)
                bundles.append(bundle)
                judged |= {_real(each) for each in bundle.documents()}
            else:
                pending.append(document)
    for document in pending:
        if _real(document) in judged:
            continue
        judged.add(_real(document))
        _sort_in(loose, document, problems)
    judge(loose)
    bundles.append(loose)
    disabled: list[lints.Disabled] = []
    for bundle in bundles:
        settled = _linted(bundle, today, ask)
        problems += settled.problems
        disabled += settled.disabled
    problems += [problem for suite in suites for problem in suite.problems()]
    read_in = [document for bundle in bundles for document in bundle.documents()]
    read_in += [document for suite in suites for document in suite.documents()]
    return Checked(
        in_order(problems),
        files=len({_real(document) for document in read_in}),
        triggers=sum(len(bundle.triggers) for bundle in bundles),
        plans=sum(len(bundle.plans) for bundle in bundles),
        whole=len(bundles) > 1,
        disabled=sorted(disabled),
        promises=[promise for bundle in bundles for promise in promises(bundle)],
    )


def _linted(bundle: Bundle, today: date | None, ask: Ask | None) -> lints.Settled:
    found = bundle.problems()
    if today is None:
        return lints.Settled(found, [])
    seen: set[lints.Needs] = {"file"}
    if bundle.instance is not None:
        seen.add("set")
    found += lints.find(bundle, today)
    if ask is not None:
        seen.add("prometheus")
        found += ask(bundle)
    return lints.settle(bundle.documents(), found, today, seen)


def _real(document: Document) -> str:
    path = document.path
    # Neither takes every text for a path: resolve() raises at links in a circle, realpath() at U+0000.
    return os.path.realpath(path) if os.path.lexists(path) else os.path.abspath(path)


def _sort_in(loose: Bundle, document: Document, problems: list[Problem]) -> None:
    match _kind(document):
        case "triggers":
            loose.trigger_files.append(document)
        case "plan":
            loose.plan_files.append(document)
        case _:
            if document.data is not None:
                remedy = "write `groups:`, `plan:` or `prometheus:`"
                document.problem((), "is neither triggers, nor a plan, nor rollbackd.yml", remedy)
            problems += document.problems


def _kind(document: Document) -> Literal["instance", "triggers", "plan", "tests"] | None:
    """What the file is, by its keys, else by its name."""
    keys = set(document.data or ())
    if "tests" in keys and "groups" not in keys:
        return "tests"
    if "groups" in keys or "templates" in keys:
        return "triggers"
    if "plan" in keys or "phases" in keys:
        return "plan"
    if "prometheus" in keys or "instance" in keys or document.path.name == MAIN:
        return "instance"
    return "plan" if document.path.name == "plan.yml" and document.data is not None else None


def _documents(path: Path, shown: str, problems: list[Problem]) -> Iterator[Document]:
    if not os.path.isdir(path):
        yield read(path, shown, path.name)
        return
    main = path / MAIN
    if os.path.isfile(main):
        yield read(main, os.path.join(shown, MAIN), MAIN)
        return
    found = False
    for name in _yaml_below(path):
        document = read(path / name, os.path.join(shown, name), name)
        if _ours(document):
            found = True
            yield document
    if not found:
        what, remedy = "holds no configuration", "name a rollbackd.yml, triggers or a plan.yml"
        problems.append(Problem(shown, *START, "file", what, remedy))


def _ours(document: Document) -> bool:
    """Other programs' YAML may lie in the same folder."""
    version = document.data.get("version") if document.data is not None else None
    said = isinstance(version, str) and version.startswith("rollbackd/")
    return said or document.path.name in (MAIN, "plan.yml") or document.path.parent.name == "triggers"


def _yaml_below(folder: Path) -> Iterator[str]:
    """`*.yml` below the folder, but for tests and hidden folders."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".yml") and not name.endswith(".test.yml"):
                yield os.path.relpath(os.path.join(parent, name), folder)


def state_dir_of(path: Path) -> Path:
    """Where the state is, also where the rest of the file cannot be used; the default if it does not say."""
    data = read(path, str(path), path.name).data
    named = data.get("state_dir") if data is not None else None
    return path.absolute().parent / (named if isinstance(named, str) else STATE_DIR)
