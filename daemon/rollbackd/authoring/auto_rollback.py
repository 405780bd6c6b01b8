"""The JSON of an `auto_rollback` monitor as triggers that only watch, and a plan (`import auto-rollback`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from rollbackd.authoring.auto_plan import Wanted, plan_files
from rollbackd.authoring.auto_triggers import INTERVAL, Around, Became, carry, is_number
from rollbackd.authoring.folders import File
from rollbackd.authoring.names import Names, name_from
from rollbackd.authoring.sources import Unusable, json_source
from rollbackd.authoring.writing import VERSION, comment, item, modeline, trigger
from rollbackd.config.problem import START, one_line
from rollbackd.core.notation import span

_REMEDY = 'name a file like {"auto_rollback": {"triggers": [{"metric": …, "threshold": …}], …}}'
_KEYS = frozenset(
    [
        "enabled",
        "operation_id",
        "permit_id",
        "triggers",
        "rollback_script",
        "notification_channels",
        "require_manual_confirmation",
        "rollback_timeout_seconds",
        "safety_checks",
    ]
)


@dataclass(slots=True)
class Imported:
    """`files` are empty where no trigger could be carried. `notes`: what is different, and what was lost."""

    plan: str
    triggers: list[Became]
    receivers: list[str]
    notes: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)


def import_auto_rollback(
    path: Path, *, today: date, service: str | None = None, schemas: str = "schema"
) -> Imported:
    """Triggers, a plan and its scripts from the JSON file. `service`: what is watched and rolled back.
    `schemas`: where editors find them, seen from the folder of the files. Unusable: it is something else."""
    document = json_source(path)
    raw = document.get("auto_rollback") if isinstance(document, dict) else None
    if not isinstance(raw, dict) or not isinstance(raw.get("triggers"), list):
        raise Unusable(path, START, "holds no `auto_rollback` with a list of `triggers`", _REMEDY)
    config = _Config(path, raw)
    plan = name_from(config.text("operation_id") or path.stem)
    on, asks = config.flag("enabled", True), config.flag("require_manual_confirmation", False)
    around = Around(plan, service or plan, "medium" if asks else "critical")
    names = Names()
    triggers = [carry(each, around, names) for each in raw["triggers"]]
    channels = {said: name_from(said) for said in config.texts("notification_channels")}
    made = Imported(plan, triggers, list(dict.fromkeys(channels.values())))
    if service is None:
        made.notes.append(
            f"which service it is is not said: {plan} stands for it; correct it, or use --service"
        )
    made.notes += [f"the channel {said} is called {name}" for said, name in channels.items() if said != name]
    made.notes += [f"the key {one_line(key)} is lost" for key in document if key != "auto_rollback"]
    made.notes += [f"the key auto_rollback.{one_line(key)} is lost" for key in raw if key not in _KEYS]
    wanted = Wanted(
        path=path,
        plan=plan,
        service=around.service,
        operation=config.text("operation_id"),
        permit=config.text("permit_id"),
        script=config.text("rollback_script"),
        seconds=config.seconds("rollback_timeout_seconds"),
        receivers=made.receivers,
        checks=config.flags("safety_checks"),
    )
    if any(not each.why for each in triggers):
        about = _about(made.plan, on, asks, config)
        text = _triggers_text(made, about, f"../{schemas}/trigger.json", today)
        plan_made = plan_files(wanted, text, made.notes, f"../../{schemas}/plan.json")
        made.files += [File(f"triggers/{plan}.yml", text), *plan_made]
    made.notes += [note for each in triggers for note in _lost(each)]
    return made


def _lost(trigger: Became) -> list[str]:
    if trigger.why:
        return [f"{trigger.name}: not carried: {trigger.why}"]
    return [f"{trigger.name}: {note}" for note in trigger.notes if " is lost" in note]


class _Config:
    """The JSON's values by key, each of its kind. Unusable where it is of another."""

    def __init__(self, path: Path, raw: Mapping[str, Any]) -> None:
        self.path, self._raw = path, raw

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._of(key, default, "true or false", lambda value: isinstance(value, bool)))

    def text(self, key: str) -> str:
        return str(self._of(key, "", "text of one line", _is_line))

    def texts(self, key: str) -> list[str]:
        return list(self._of(key, [], "a list of texts", lambda value: _is_list(value, _is_line)))

    def seconds(self, key: str) -> float | None:
        kind = "a number of seconds, 1 to 86400"
        said = self._of(key, None, kind, lambda value: is_number(value) and 1 <= value <= 86_400)
        return None if said is None else float(said)

    def flags(self, key: str) -> dict[str, bool]:
        return dict(self._of(key, {}, "a mapping of names to true or false", _is_flags))

    def _of(self, key: str, default: Any, kind: str, right: Callable[[Any], bool]) -> Any:
        value = self._raw.get(key)
        if value is None:
            return default
        if right(value):
            return value
        what = f"auto_rollback.{key}: expected {kind}, got {one_line(str(value))}"
        raise Unusable(self.path, START, what, "correct it")


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _is_list(value: Any, right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= 100 and all(map(right, value))


def _is_flags(value: Any) -> bool:
    return isinstance(value, dict) and _is_list(list(value.values()), lambda each: isinstance(each, bool))


def _about(plan: str, on: bool, asks: bool, config: _Config) -> list[str]:
    then = "medium, which asks people first" if asks else "critical, which acts by itself"
    return [
        f"{config.path.name}, imported by rollbackd: operation {config.text('operation_id') or 'unknown'}.",
        "Nothing acts: they say `action: shadow`." + ("" if on else " (It was not enabled there, either.)"),
        f"Remove those lines once their fires have been right; the severity then says what is done: {then}.",
        f"Triggers act while a rollout is open: `rollbackd rollout begin {plan} --previous V --next V`.",
    ]


def _triggers_text(made: Imported, about: list[str], schema: str, today: date) -> str:
    head = {"name": made.plan, "interval": span(INTERVAL)}
    parts = [modeline(schema), comment(about), f"{VERSION}\ngroups:\n", item(head, 2), "    triggers:\n"]
    for each in made.triggers:
        said = [f"NOT CARRIED: {each.name}: {each.why}"] if each.why else [f"{each.name}: {each.notes[0]}"]
        parts.append(comment([f"import: {note}" for note in [*said, *each.notes[1:]]], 6))
        parts.append("" if each.why else trigger(each.keys, 6, today))
    return "".join(parts)
