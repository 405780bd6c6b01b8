"""`rollbackd.yml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rollbackd.config.models.base import Defines, Model, Refers, one_of
from rollbackd.config.models.http import FilePath, HttpModel
from rollbackd.config.models.types import NAME, Duration, Listen, Text, Url, Whole
from rollbackd.core.model import Action, Ms

Version = Literal["rollbackd/v1"]
Address = Annotated[str, Url()]
Timeout = Annotated[Ms, Duration("100ms", "5m")]
Receivers = Annotated[str, NAME]


class PrometheusModel(HttpModel):
    urls: Annotated[list[Address], Field(min_length=1, max_length=16, description="in order of preference")]
    timeout: Annotated[Timeout, Field(description="of one request")] = 10_000
    params: Annotated[
        dict[Annotated[str, Text()], list[Annotated[str, Text(least=0, secret=True)]]],
        Field(default_factory=dict, description="added to each query"),
    ]
    warnings: Annotated[
        Literal["unusable", "ignore"], Field(description="what an answer with warnings is worth (W2)")
    ] = "unusable"


class WebModel(Model):
    listen: Annotated[tuple[str, int], Listen(), Field(description="HOST:PORT, on loopback")] = (
        "127.0.0.1",
        9797,
    )
    external_url: Annotated[Address | None, Field(description="where people reach the page")] = None


class ActionModel(Model):
    action: Annotated[Action, Field(description="what the severity means (D1)")]
    veto: Annotated[Annotated[Ms, Duration("10s", "1d")] | None, Field(description="the veto window")] = None
    expires: Annotated[
        Annotated[Ms, Duration("1m", "7d")] | None, Field(description="how long an approval is waited for")
    ] = None


def _short(value: Any) -> Any:
    return {"action": value} if isinstance(value, str) else value


ActionOrShort = Annotated[ActionModel, BeforeValidator(_short, json_schema_input_type=Action | ActionModel)]


class ActionsModel(Model):
    critical: Annotated[ActionOrShort, Field(description="auto unless said")] = ActionModel(action="auto")
    high: Annotated[ActionOrShort, Field(description="auto_with_warning unless said")] = ActionModel(
        action="auto_with_warning"
    )
    medium: Annotated[ActionOrShort, Field(description="ask unless said")] = ActionModel(action="ask")


class LimitsModel(Model):
    rollbacks_per_hour: Annotated[int, Whole(1, 1000), Field(description="of this instance")] = 6
    per_service_per_hour: Annotated[int, Whole(1, 1000), Field(description="of each service")] = 2
    brake: Annotated[int, Whole(2, 1000), Field(description="so many plans at once look like one cause")] = 3


class AlertmanagerModel(HttpModel):
    urls: Annotated[list[Address], Field(min_length=1, max_length=16, description="every peer")]
    timeout: Annotated[Timeout, Field(description="of one delivery")] = 10_000


class WebhookModel(HttpModel):
    url: Annotated[Address, Field(description="where pages are posted")]
    secret_file: Annotated[FilePath | None, Field(description="holds the key that signs them")] = None
    timeout: Annotated[Timeout, Field(description="of one delivery")] = 10_000


class ReceiverModel(Model):
    rules = (one_of("alertmanager", "webhook"),)

    name: Annotated[str, NAME, Defines("receiver"), Field(description="what ladders and notify call it")]
    alertmanager: Annotated[AlertmanagerModel | None, Field(description="an Alertmanager cluster")] = None
    webhook: Annotated[WebhookModel | None, Field(description="an HTTP endpoint")] = None


class RungModel(Model):
    after: Annotated[Ms, Duration("0s", "7d"), Field(description="since the matter began")]
    receivers: Annotated[
        list[Receivers], Refers("receiver"), Field(min_length=1, max_length=100, description="who is paged")
    ]
    repeat: Annotated[
        Annotated[Ms, Duration("10s", "1d")] | None, Field(description="page again each; default never")
    ] = None
    until: Annotated[Literal["acked", "resolved"], Field(description="what ends the repeats")] = "acked"
    title: Annotated[str, Text(least=0), Field(description="first line of the page")] = ""
    instructions: Annotated[
        str, Text(most=4000, least=0, lines=True), Field(description="what to do now")
    ] = ""


class InstanceModel(Model):
    version: Annotated[Version, Field(description="of the file's form")]
    instance: Annotated[str, NAME, Field(description="the name of this daemon in pages and metrics")]
    prometheus: Annotated[PrometheusModel, Field(description="what is asked")]
    triggers: Annotated[
        list[FilePath],
        Field(
            default_factory=lambda: ["triggers/*.yml"],
            max_length=100,
            description="files, relative to this one; *.test.yml is skipped",
        ),
    ]
    plans: Annotated[
        list[FilePath],
        Field(
            default_factory=lambda: ["plans/*/plan.yml"],
            max_length=100,
            description="files, relative to this one",
        ),
    ]
    state_dir: Annotated[
        FilePath, Field(description="the daemon's own; absolute, or relative to this file")
    ] = "/var/lib/rollbackd"
    journal: Annotated[Literal["sqlite"], Field(description="where the record is kept")] = "sqlite"
    web: Annotated[WebModel, Field(description="the API and the page")] = WebModel()
    max_action: Annotated[Action, Field(description="no action is higher (D2)")] = "auto"
    actions: Annotated[ActionsModel, Field(description="what each severity means")] = ActionsModel()
    limits: Annotated[LimitsModel, Field(description="when automatic rollbacks stop being automatic")] = (
        LimitsModel()
    )
    receivers: Annotated[
        list[ReceiverModel], Field(default_factory=list, max_length=100, description="who can be told")
    ]
    notify: Annotated[
        list[Receivers],
        Refers("receiver"),
        Field(default_factory=list, max_length=100, description="told of plans without their own"),
    ]
    ladders: Annotated[
        dict[Annotated[str, NAME], Annotated[list[RungModel], Field(min_length=1, max_length=20)]],
        Defines("ladder"),
        Field(default_factory=dict, description="who is paged when, while a matter is open (E1)"),
    ]
