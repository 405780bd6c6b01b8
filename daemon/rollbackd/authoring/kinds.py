"""The kinds of files that people write."""

from __future__ import annotations

from typing import NamedTuple

from rollbackd.config.models.base import Model
from rollbackd.config.models.instance import InstanceModel
from rollbackd.config.models.plans import PlanModel
from rollbackd.config.models.triggers import TriggerFileModel


class Kind(NamedTuple):
    model: type[Model]
    file: str  # where such a file usually lies


KINDS = {
    "config": Kind(InstanceModel, "rollbackd.yml"),
    "trigger": Kind(TriggerFileModel, "triggers/*.yml"),
    "plan": Kind(PlanModel, "plans/NAME/plan.yml"),
}
