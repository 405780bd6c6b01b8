"""Options that many commands share, and what their values may be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rollbackd.cli import where

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon

Command = TypeVar("Command", bound=Callable[..., Any])


_DURATION = re.compile(r"(?=.*[1-9])(?:[0-9]{1,9}(?:ms|[wdhms]))+")


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """`2h`, `1h30m`; stays text, which the daemon reads. (The configuration's own reader costs 200 ms.)"""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _DURATION.fullmatch(value):
            self.fail(f"{value!r} is not a duration above zero; write 30m, 2h or 1h30m", param, ctx)
        return value


class Label(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """`k=v` → the pair."""

    name = "k=v"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, said = value.partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not a label; write name=value", param, ctx)
        return name, said


class Server(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """The address of a Prometheus, by the rules of `prometheus.urls`."""

    name = "URL"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pydantic_core import PydanticCustomError

        from rollbackd.config.models.types import Url

        try:
            return Url().parse(value)
        except PydanticCustomError as error:
            self.fail(error.message(), param, ctx)


class File(click.Path):
    def __init__(self, *, exists: bool = True, folder: bool = False) -> None:
        super().__init__(exists=exists, dir_okay=folder, file_okay=not folder, path_type=Path)


class Out(click.Path):
    """A file to be written, in a folder that is there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}", param, ctx)
        return path


form = partial(click.option, "--format", "form", default="text", show_default=True)
annotated = form(type=click.Choice(["text", "json", "github"]), help="github: annotations of a workflow.")
comment = click.option("-c", "--comment", default="", help="Why, for the record.")


def _said(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("is empty; say why, people will read it", ctx, param)
    return value


comment_needed = click.option(
    "-c", "--comment", required=True, callback=_said, help="Why, for the record; required."
)
reason = click.option("--reason", required=True, callback=_said, help="Why, for the record; required.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
config = click.option(
    "--config", type=File(), help=f"The daemon's configuration; its state_dir says where. [{where.CONFIG}]"
)
revision = click.option("--revision", type=int, help="Conflict if it has moved on from this revision.")
_socket = click.option(
    "--socket", envvar="ROLLBACKD_SOCKET", help="The daemon's socket. [STATE_DIR/rollbackd.sock]"
)
_url = click.option("--url", help="Read over TCP instead, as from http://127.0.0.1:9797.")


def acts(command: Command) -> Command:
    """Gives the command a `daemon` to act on: by its socket alone, which proves who speaks."""

    @_socket
    @config
    @wraps(command)
    def wrapped(*args: Any, socket: str | None, config: Path | None, **kwargs: Any) -> Any:
        return command(*args, daemon=_daemon(socket, config, None), **kwargs)

    return wrapped  # type: ignore[return-value]


def reads(command: Command) -> Command:
    """Gives the command a `daemon` to read from, over its socket or a URL."""

    @_socket
    @config
    @_url
    @wraps(command)
    def wrapped(*args: Any, socket: str | None, config: Path | None, url: str | None, **kwargs: Any) -> Any:
        return command(*args, daemon=_daemon(socket, config, url), **kwargs)

    return wrapped  # type: ignore[return-value]


def _daemon(socket: str | None, config: Path | None, url: str | None) -> Daemon:
    from rollbackd.cli import client

    if url is None:
        return client.over_socket(where.socket_path(socket, config))
    try:
        return client.over_tcp(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error
