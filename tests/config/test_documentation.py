"""docs/configuration.md names every key, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rollbackd.config.models import checks, http, instance, plans, triggers
from rollbackd.config.models.base import Model, fields, walk
from rollbackd.config.yaml_source import read

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
GOOD = Path(__file__).parent / "good"
SECTIONS: dict[str, type[Model]] = {
    "rollbackd.yml": instance.InstanceModel,
    "prometheus": instance.PrometheusModel,
    "basic_auth": http.BasicAuthModel,
    "authorization": http.AuthorizationModel,
    "tls_config": http.TlsConfigModel,
    "http_headers": http.HttpHeaderModel,
    "web": instance.WebModel,
    "actions": instance.ActionsModel,
    "action of a severity": instance.ActionModel,
    "limits": instance.LimitsModel,
    "receivers": instance.ReceiverModel,
    "alertmanager": instance.AlertmanagerModel,
    "webhook": instance.WebhookModel,
    "ladders": instance.RungModel,
    "triggers file": triggers.TriggerFileModel,
    "groups": triggers.GroupModel,
    "triggers": triggers.TriggerModel,
    "ratio": triggers.RatioModel,
    "parts of all and any": triggers.PartModel,
    "traffic": triggers.TrafficModel,
    "recovered": triggers.ConditionModel,
    "plan.yml": plans.PlanModel,
    "phases": plans.PhaseModel,
    "steps": plans.StepModel,
    "retry": plans.RetryModel,
    "verify": plans.StepVerifyModel,
    "release": plans.ReleaseModel,
    "reversible_while": plans.ReversibleWhileModel,
    "safety_checks": checks.SafetyCheckModel,
    "verification": checks.VerificationModel,
    "http": checks.HttpCheckModel,
}


def tables() -> dict[str, list[str]]:
    """The keys of each section's table, in its order."""
    sections = re.split(r"^### (.+)$", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return {title: re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE) for title, body in pairs}


def test_every_model_has_a_section() -> None:
    assert list(tables()) == list(SECTIONS)
    reached = {instance.InstanceModel, triggers.TriggerFileModel, plans.PlanModel}
    todo = list(reached)
    while todo:
        inner = {field.model for field in fields(todo.pop()).values() if field.model is not None}
        todo += inner - reached
        reached |= inner
    assert reached == set(SECTIONS.values())


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_names_the_keys_of_its_model(title: str) -> None:
    assert tables()[title] == list(fields(SECTIONS[title]))


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_described(title: str) -> None:
    assert all(info.description for info in SECTIONS[title].model_fields.values())


def test_the_good_set_uses_nearly_every_key() -> None:
    """So that the mutants of it reach them."""
    used: set[tuple[str, str]] = set()
    known: set[tuple[str, str]] = set()
    roots: list[tuple[type[Model], str]] = [
        (instance.InstanceModel, "rollbackd.yml"),
        (triggers.TriggerFileModel, "triggers/api.yml"),
        (plans.PlanModel, "plans/api/plan.yml"),
    ]
    for model, name in roots:
        document = read(GOOD / name, name, name)
        for visited in walk(model, document.data):
            used |= {(visited.model.__name__, key) for key in visited.mapping}
            known |= {(visited.model.__name__, key) for key in fields(visited.model)}
    assert len(used & known) > 0.75 * len(known)
