"""A file of triggers that is to be tried out, as it would be under a configuration or by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollbackd.config import instance
from rollbackd.config.bundle import Bundle, gather, judge
from rollbackd.config.problem import ConfigErrors, errors, in_order
from rollbackd.config.yaml_source import read

if TYPE_CHECKING:
    from pathlib import Path

    from rollbackd.core.model import Action, Trigger
    from rollbackd.settings import PrometheusSettings


@dataclass(frozen=True, slots=True)
class Candidates:
    """The triggers of a file, in its order. `prometheus`, `state_dir`: as the configuration says, where there
    is one."""

    triggers: tuple[Trigger, ...]
    max_action: Action = "auto"
    prometheus: PrometheusSettings | None = None
    state_dir: Path | None = None


def read_candidates(path: Path, config: Path | None = None) -> Candidates:
    """What `path`, a file of triggers, means. With `config`, a rollbackd.yml: under its settings and plans,
    in place of its triggers, of which the file may be a changed copy. ConfigErrors: the errors of both; what
    is wrong inside a plan does not matter here."""
    bundle = Bundle() if config is None else gather(config, str(config))
    file = read(path, str(path), path.name)
    bundle.trigger_files = [file]
    judge(bundle)
    problems = [*file.problems, *(bundle.instance.problems if bundle.instance is not None else ())]
    if found := errors(problems):
        raise ConfigErrors(in_order(found))
    triggers = tuple(trigger for _, trigger in bundle.triggers)
    settings = bundle.settings
    if settings is None or config is None:
        return Candidates(triggers)
    folder = config.absolute().parent
    return Candidates(
        triggers,
        settings.max_action,
        instance.prometheus(settings, folder),
        folder / os.fspath(settings.state_dir),
    )
