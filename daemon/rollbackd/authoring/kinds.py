"""The kinds of files that people write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rollbackd.config.models.base import Model
from rollbackd.config.models.incidents import IncidentsFileModel
from rollbackd.config.models.instance import InstanceModel
from rollbackd.config.models.library import LibraryModel, UseModel
from rollbackd.config.models.plans import PlanModel
from rollbackd.config.models.tests import TestFileModel
from rollbackd.config.models.triggers import TriggerFileModel, TriggerModel


class Kind(NamedTuple):
    model: type[Model]
    file: str  # where such a file usually lies
    instead: Mapping[type[Model], type[Model]] = {}  # an entry may also be the other, with the first's keys


KINDS = {
    "config": Kind(InstanceModel, "rollbackd.yml"),
    "trigger": Kind(TriggerFileModel, "triggers/*.yml", {TriggerModel: UseModel}),
    "plan": Kind(PlanModel, "plans/NAME/plan.yml"),
    "test": Kind(TestFileModel, "triggers/*.test.yml"),
    "incidents": Kind(IncidentsFileModel, "incidents.yml of a backtest"),
    "library": Kind(LibraryModel, "triggers/*.yml of the library"),
}
