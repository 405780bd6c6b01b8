"""`rollbackd.yml` → settings of the world, ladders, actions (rules D1, D2, E1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rollbackd.config.triggers import Severities
from rollbackd.core.model import Captures, Limits, Ms, Rung
from rollbackd.settings import (
    AlertmanagerSettings,
    AuditSettings,
    Authorization,
    BasicAuth,
    HttpHeader,
    HttpSettings,
    PrometheusSettings,
    ReceiverSettings,
    TlsConfig,
    WebhookSettings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rollbackd.config.models.http import HttpModel
    from rollbackd.config.models.instance import (
        ActionModel,
        ActionsModel,
        InstanceModel,
        ReceiverModel,
        WebhookModel,
    )
    from rollbackd.config.yaml_source import Document, Loc
    from rollbackd.core.model import Severity

_FIRST_HOUR: tuple[tuple[Ms, str, tuple[str, ...]], ...] = (
    (
        0,
        "",
        (
            "read the failed step's output",
            "check what it relies on: backups, images, access",
            "run it once more with verbose output",
            "tell the incident commander",
        ),
    ),
    (
        5 * 60_000,
        "open for 5 minutes: to a senior SRE",
        (
            "bring in a senior SRE",
            "try the steps by hand",
            "look for what blocks them",
            "consider a part of the plan",
            "tell the engineering director",
        ),
    ),
    (
        15 * 60_000,
        "open for 15 minutes: to the CTO or VP Engineering",
        (
            "bring in the CTO or VP Engineering",
            "call the vendor's support if it is theirs",
            "consider fixing forward instead",
            "begin disaster recovery",
            "prepare word to customers",
        ),
    ),
    (
        30 * 60_000,
        "open for 30 minutes: to the whole incident response team",
        (
            "bring in the whole incident response team",
            "consider building the service anew",
            "restore from the disaster recovery backups",
            "tell customers as planned",
            "prepare the review",
        ),
    ),
)
"""What helps where a rollback failed, by level; the ladder carries every other matter too, so it says so."""


def _instructions(level: int, actions: tuple[str, ...]) -> str:
    listed = "\n".join(f"{number}. {action}" for number, action in enumerate(actions, 1))
    return f"Where a rollback failed (level {level}):\n{listed}"


def default_ladder(receivers: tuple[str, ...]) -> tuple[Rung, ...]:
    """All receivers at 0, 5, 15 and 30 minutes (rule E1). No rung without a receiver."""
    if not receivers:
        return ()
    return tuple(
        Rung(
            after=after,
            receivers=receivers,
            title=title,
            instructions=_instructions(level, actions),
        )
        for level, (after, title, actions) in enumerate(_FIRST_HOUR, 1)
    )


def severities(model: ActionsModel) -> dict[Severity, Severities]:
    return {
        "critical": _severity(model.critical),
        "high": _severity(model.high),
        "medium": _severity(model.medium),
    }


def _severity(model: ActionModel) -> Severities:
    said = {"veto": model.veto, "expires": model.expires}
    return Severities(model.action, **{key: value for key, value in said.items() if value is not None})


def limits(model: InstanceModel) -> Limits:
    said = model.limits
    return Limits(said.rollbacks_per_hour, said.per_service_per_hour, said.brake)


def captures(model: InstanceModel) -> Captures:
    return Captures(model.captures.keep, model.captures.most_mib << 20)


def ladders(model: InstanceModel) -> dict[str, tuple[Rung, ...]]:
    """Those of the file, and `default` in any case."""
    receivers = tuple(receiver.name for receiver in model.receivers)
    named = {
        name: tuple(
            Rung(
                after=rung.after,
                receivers=tuple(dict.fromkeys(rung.receivers)),
                repeat=rung.repeat,
                until=rung.until,
                title=rung.title,
                instructions=rung.instructions,
            )
            for rung in rungs
        )
        for name, rungs in model.ladders.items()
    }
    return {"default": default_ladder(receivers)} | named


YEAR: Ms = 365 * 86_400_000
"""What compliance asks for."""


def check_instance(document: Document, model: InstanceModel) -> None:
    """Note what several values of `rollbackd.yml` together have against them."""
    for name, rungs in model.ladders.items():
        for index in range(1, len(rungs)):
            if rungs[index].after <= rungs[index - 1].after:
                loc = ("ladders", name, index, "after")
                document.problem(loc, "is not later than the rung before", "put the rungs in order")
    if model.audit.keep < YEAR and not model.audit.shorter_because:
        remedy = "write 365d or more, or say why not under `shorter_because`"
        document.problem(("audit", "keep"), "is under 365d, which a record is kept for", remedy)
    if not model.receivers and model.max_action != "shadow":
        what = f"there is none, and max_action is {model.max_action}: nobody could be paged"
        document.problem(("receivers",), what, "add a receiver, or write `max_action: shadow`")


def check_secret_files(document: Document) -> None:
    """Warn of files that cannot be read here; a check needs no secrets. Looks at the raw data."""
    data = document.data
    if data is None:
        return
    _look(document, data.get("prometheus"), ("prometheus",))
    receivers = data.get("receivers")
    audit = data.get("audit")
    if isinstance(audit, dict):
        _look(document, audit.get("anchor_url"), ("audit", "anchor_url"))
    for index, receiver in enumerate(receivers if isinstance(receivers, list) else ()):
        for kind in ("alertmanager", "webhook"):
            if isinstance(receiver, dict):
                _look(document, receiver.get(kind), ("receivers", index, kind))


def _look(document: Document, value: object, loc: Loc) -> None:
    """Any key that ends in `_file`, and the `files` of headers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key.endswith("_file"):
                _readable(document, inner, (*loc, key))
            elif key == "files" and isinstance(inner, list):
                for index, name in enumerate(inner):
                    if isinstance(name, str):
                        _readable(document, name, (*loc, key, index))
            else:
                _look(document, inner, (*loc, key))


def _readable(document: Document, name: str, loc: Loc) -> None:
    path = os.path.join(document.path.parent, name)  # pathlib's is_file raises where a name is too long
    if not (os.path.isfile(path) and os.access(path, os.R_OK)):
        document.warn(loc, "cannot be read here", "create it where the daemon runs, readable by it alone")


def prometheus(model: InstanceModel, folder: Path) -> PrometheusSettings:
    said = model.prometheus
    return PrometheusSettings(
        urls=tuple(dict.fromkeys(said.urls)),
        timeout=said.timeout,
        params={name: tuple(values) for name, values in said.params.items()},
        warnings=said.warnings,
        http=_http(said, folder),
    )


def receivers(model: InstanceModel, folder: Path) -> tuple[ReceiverSettings, ...]:
    return tuple(_receiver(receiver, folder) for receiver in model.receivers)


def _receiver(model: ReceiverModel, folder: Path) -> ReceiverSettings:
    if model.alertmanager is not None:
        peers = model.alertmanager
        urls = tuple(dict.fromkeys(peers.urls))
        return AlertmanagerSettings(model.name, urls, _http(peers, folder), peers.timeout)
    hook = model.webhook
    if hook is None:
        raise ValueError(
            f"receiver {model.name} is neither of what a receiver can be"
        )  # see the model's rules
    return _webhook(model.name, hook, folder)


def audit(model: InstanceModel, folder: Path) -> AuditSettings:
    said = model.audit
    hook = said.anchor_url
    url = None if hook is None else _webhook("anchor_url", hook, folder)
    return AuditSettings(said.keep, _file(said.anchor_file, folder), url)


def _webhook(name: str, hook: WebhookModel, folder: Path) -> WebhookSettings:
    return WebhookSettings(name, hook.url, _file(hook.secret_file, folder), _http(hook, folder), hook.timeout)


def _file(name: str | None, folder: Path) -> str | None:
    return None if name is None else str(folder / name)


def _http(model: HttpModel, folder: Path) -> HttpSettings:
    basic, token, tls = model.basic_auth, model.authorization, model.tls_config
    return HttpSettings(
        basic_auth=BasicAuth(basic.username, basic.password, _file(basic.password_file, folder))
        if basic
        else None,
        authorization=Authorization(token.type, token.credentials, _file(token.credentials_file, folder))
        if token
        else None,
        tls_config=TlsConfig(
            ca_file=_file(tls.ca_file, folder),
            cert_file=_file(tls.cert_file, folder),
            key_file=_file(tls.key_file, folder),
            server_name=tls.server_name,
            insecure_skip_verify=tls.insecure_skip_verify,
            min_version=tls.min_version,
        ),
        http_headers={
            name: HttpHeader(
                tuple(header.values),
                tuple(header.secrets),
                tuple(str(folder / each) for each in header.files),
            )
            for name, header in model.http_headers.items()
        },
    )
