"""Finds the daemon: its socket, its configuration, its state directory."""

from __future__ import annotations

from pathlib import Path

from rollbackd.cli.errors import Exit, Failed

CONFIG = Path("/etc/rollbackd/rollbackd.yml")
STATE_DIR = Path("/var/lib/rollbackd")
SOCKET = "rollbackd.sock"
DATABASE = "journal.db"


def socket_path(socket: str | None, config: Path | None) -> str:
    """`socket` where given, else in the state directory."""
    return socket if socket is not None else str(state_dir(config) / SOCKET)


def state_dir(config: Path | None) -> Path:
    """What that file, else the usual one, says; the usual place where there is none. Failed: unreadable."""
    if config is None and not CONFIG.exists():
        return STATE_DIR
    return _said_in(config or CONFIG)


def _said_in(file: Path) -> Path:
    """Its key `state_dir` alone: the rest need not be right for the daemon to be found."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(file.read_text("utf-8"), Loader=loader)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}; name the --socket instead", Exit.CANNOT_TELL) from error
    except (yaml.YAMLError, ValueError) as error:
        at = getattr(error, "problem_mark", None)
        position = f":{at.line + 1}:{at.column + 1}" if at is not None else ""
        raise Failed(
            f"{file}{position}: not YAML; correct it (`rollbackd check`), or name the --socket",
            Exit.CANNOT_TELL,
        ) from error
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == "state_dir" and isinstance(value, yaml.ScalarNode):
                return file.parent / str(value.value)
    return STATE_DIR
