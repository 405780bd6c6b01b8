"""`python -m rollbackd.config FILE`: read a configuration and print what it means, as JSON.

The daemon reads its files in this process of their own: what validates them takes twenty megabytes
that the daemon would keep, and whatever a file does to its reader ends with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from rollbackd.config.loading import Loaded, load, state_dir_of
from rollbackd.config.problem import ConfigErrors
from rollbackd.settings import AlertmanagerSettings, WebhookSettings


def document(loaded: Loaded) -> dict[str, object]:
    """What `rollbackd.app.files` reads back."""
    receivers = loaded.world.receivers
    return {
        "core": loaded.core,
        "settings": {
            "prometheus": loaded.world.prometheus,
            "webhooks": [one for one in receivers if isinstance(one, WebhookSettings)],
            "alertmanagers": [one for one in receivers if isinstance(one, AlertmanagerSettings)],
            "external_url": loaded.web.external_url,
            "listen": (loaded.web.host, loaded.web.port),
            "audit": loaded.world.audit,
        },
        "plan_folders": {name: str(folder) for name, folder in loaded.plan_folders.items()},
    }


def answer(path: Path) -> dict[str, object]:
    state_dir = str(state_dir_of(path))
    try:
        return {"state_dir": state_dir, "loaded": document(load(path))}
    except ConfigErrors as errors:
        return {"state_dir": state_dir, "problems": [str(problem) for problem in errors.problems]}


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(answer(Path(sys.argv[1]))))
