"""The file of incidents that a backtest is scored against."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rollbackd.config.models.base import Model
from rollbackd.config.models.instance import Version
from rollbackd.config.models.types import Moment, Text
from rollbackd.core.model import Ms


class IncidentModel(Model):
    start: Annotated[Ms, Moment(), Field(description="when something was wrong: 2026-11-01T10:00:00Z")]
    end: Annotated[Ms, Moment(), Field(description="when it was right again, after the start")]
    note: Annotated[str, Text(), Field(description="what it was")] = ""


class IncidentsFileModel(Model):
    version: Annotated[Version, Field(description="of the file's form")]
    incidents: Annotated[list[IncidentModel], Field(min_length=1, description="they may overlap")]
