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
    urls: Annotated[
        list[Address],
        Field(
            min_length=1,
            max_length=16,
            description="in order of preference. The first that answers is asked; streaks survive the change",
        ),
    ]
    timeout: Annotated[
        Timeout, Field(description="of one request. A window whose answer is later is asked again (W6)")
    ] = 10_000
    params: Annotated[
        dict[Annotated[str, Text()], list[Annotated[str, Text(least=0, secret=True)]]],
        Field(default_factory=dict, description="added to each query. Such as `dedup` for Thanos"),
    ]
    warnings: Annotated[
        Literal["unusable", "ignore"],
        Field(
            description="what an answer with warnings is worth (W2). "
            "Warned is of partial data: unusable means no data"
        ),
    ] = "unusable"


class WebModel(Model):
    listen: Annotated[
        tuple[str, int],
        Listen(),
        Field(
            description="HOST:PORT, on loopback. "
            "Port 0 takes a free one; behind a proxy that has sign-in it may be reached"
        ),
    ] = (
        "127.0.0.1",
        9797,
    )
    external_url: Annotated[
        Address | None, Field(description="where people reach the page. Pages link to it")
    ] = None


class ActionModel(Model):
    action: Annotated[
        Action,
        Field(
            description="what the severity means (D1). "
            "From high to low: act; page and wait for a veto, then act; ask first; tell; only record"
        ),
    ]
    veto: Annotated[
        Annotated[Ms, Duration("10s", "1d")] | None,
        Field(
            description="the veto window. "
            "How long people can stop what `auto_with_warning` announced; 5m where nobody says"
        ),
    ] = None
    expires: Annotated[
        Annotated[Ms, Duration("1m", "7d")] | None,
        Field(
            description="how long an approval is waited for. "
            "Then the life ends `expired`, and its ladder climbs; 15m where nobody says"
        ),
    ] = None


def _short(value: Any) -> Any:
    return {"action": value} if isinstance(value, str) else value


ActionOrShort = Annotated[ActionModel, BeforeValidator(_short, json_schema_input_type=Action | ActionModel)]


class ActionsModel(Model):
    critical: Annotated[ActionOrShort, Field(description="auto unless said. Short for `{action: …}`")] = (
        ActionModel(action="auto")
    )
    high: Annotated[ActionOrShort, Field(description="auto_with_warning unless said. With its `veto`")] = (
        ActionModel(action="auto_with_warning")
    )
    medium: Annotated[ActionOrShort, Field(description="ask unless said. With its `expires`")] = ActionModel(
        action="ask"
    )


class LimitsModel(Model):
    rollbacks_per_hour: Annotated[
        int, Whole(1, 1000), Field(description="of this instance. Beyond them automatic ones ask (D2)")
    ] = 6
    per_service_per_hour: Annotated[
        int, Whole(1, 1000), Field(description="of each service. Beyond them automatic ones ask (D2)")
    ] = 2
    brake: Annotated[
        int,
        Whole(2, 1000),
        Field(description="so many plans at once look like one cause. Then all of them ask (D9)"),
    ] = 3


class CapturesModel(Model):
    keep: Annotated[
        Ms, Duration("1h", "3650d"), Field(description="after it, unless a rollout or rollback needs it")
    ] = 30 * 24 * 3_600_000
    most_mib: Annotated[int, Whole(1, 16_777_216), Field(description="what one item may take, in MiB")] = (
        10_240
    )


class AlertmanagerModel(HttpModel):
    urls: Annotated[
        list[Address],
        Field(
            min_length=1,
            max_length=16,
            description="every peer. Each page goes to all, as Alertmanager wants it",
        ),
    ]
    timeout: Annotated[Timeout, Field(description="of one delivery. What fails is tried again")] = 10_000


class WebhookModel(HttpModel):
    url: Annotated[
        Address, Field(description="where documents are posted. As JSON, each under a key of its own")
    ]
    secret_file: Annotated[
        FilePath | None,
        Field(description="holds the key that signs them. HMAC-SHA256 of the time and the body"),
    ] = None
    timeout: Annotated[Timeout, Field(description="of one delivery")] = 10_000


class ReceiverModel(Model):
    rules = (one_of("alertmanager", "webhook"),)

    name: Annotated[str, NAME, Defines("receiver"), Field(description="what ladders and notify call it")]
    alertmanager: Annotated[
        AlertmanagerModel | None,
        Field(description="an Alertmanager cluster. A page is an alert there until its matter is over (E2)"),
    ] = None
    webhook: Annotated[
        WebhookModel | None,
        Field(description="an HTTP endpoint. Pages are posted until one is accepted (E2)"),
    ] = None


class RungModel(Model):
    after: Annotated[
        Ms, Duration("0s", "7d"), Field(description="since the matter began. Rungs are in the order of it")
    ]
    receivers: Annotated[
        list[Receivers], Refers("receiver"), Field(min_length=1, max_length=100, description="who is paged")
    ]
    repeat: Annotated[
        Annotated[Ms, Duration("10s", "1d")] | None,
        Field(description="page again each; default never. Ends as `until` says"),
    ] = None
    until: Annotated[
        Literal["acked", "resolved"],
        Field(description="what ends the repeats. An acknowledgement lapses after half an hour (E3)"),
    ] = "acked"
    title: Annotated[
        str, Text(least=0), Field(description="first line of the page. Where it is empty, what happened")
    ] = ""
    instructions: Annotated[
        str,
        Text(most=4000, least=0, lines=True),
        Field(description="what to do now. For whom the page wakes"),
    ] = ""


class AuditModel(Model):
    keep: Annotated[
        Annotated[Ms, Duration("1d", "3650d")], Field(description="how long the journal's bodies are kept")
    ] = 365 * 86_400_000
    shorter_because: Annotated[
        str, Text(least=0), Field(description="why `keep` may be under 365 days; needed for that")
    ] = ""
    anchor_file: Annotated[
        FilePath | None, Field(description="the chain's head is appended to it; best on another machine")
    ] = None
    anchor_url: Annotated[WebhookModel | None, Field(description="the chain's head is posted there")] = None


class InstanceModel(Model):
    version: Annotated[Version, Field(description="of the file's form")]
    instance: Annotated[
        str, NAME, Field(description="the name of this daemon in pages and metrics. One for each daemon")
    ]
    prometheus: Annotated[
        PrometheusModel, Field(description="what is asked. One Prometheus, or several that hold the same")
    ]
    triggers: Annotated[
        list[FilePath],
        Field(
            default_factory=lambda: ["triggers/*.yml"],
            max_length=100,
            description="files, relative to this one; *.test.yml is skipped. "
            "`*` stands for any text, not for folders",
        ),
    ]
    plans: Annotated[
        list[FilePath],
        Field(
            default_factory=lambda: ["plans/*/plan.yml"],
            max_length=100,
            description="files, relative to this one. What a plan runs lies in its folder",
        ),
    ]
    state_dir: Annotated[
        FilePath,
        Field(
            description="the daemon's own; absolute, or relative to this file. "
            "Journal, socket, attempts, copies of the plans"
        ),
    ] = "/var/lib/rollbackd"
    journal: Annotated[Literal["sqlite"], Field(description="where the record is kept")] = "sqlite"
    web: Annotated[WebModel, Field(description="the API and the page")] = WebModel()
    audit: Annotated[AuditModel, Field(description="keeping the record, and proving it")] = AuditModel()
    max_action: Annotated[
        Action, Field(description="no action is higher (D2). `shadow` judges and records, and does nothing")
    ] = "auto"
    actions: Annotated[
        ActionsModel, Field(description="what each severity means. An action, or a mapping")
    ] = ActionsModel()
    limits: Annotated[LimitsModel, Field(description="when automatic rollbacks stop being automatic")] = (
        LimitsModel()
    )
    captures: Annotated[CapturesModel, Field(description="how long and how much of them is kept (C1)")] = (
        CapturesModel()
    )
    receivers: Annotated[
        list[ReceiverModel],
        Field(
            default_factory=list,
            max_length=100,
            description="who can be told. Without any nobody could be paged, so max_action must be `shadow`",
        ),
    ]
    notify: Annotated[
        list[Receivers],
        Refers("receiver"),
        Field(
            default_factory=list,
            max_length=100,
            description="told of plans without their own. Receivers by name: of each turn of a life (E2)",
        ),
    ]
    ladders: Annotated[
        dict[Annotated[str, NAME], Annotated[list[RungModel], Field(min_length=1, max_length=20)]],
        Defines("ladder"),
        Field(
            default_factory=dict,
            description="who is paged when, while a matter is open (E1). "
            "`default`, where it is not given, pages all receivers at 0, 5, 15 and 30 minutes",
        ),
    ]
