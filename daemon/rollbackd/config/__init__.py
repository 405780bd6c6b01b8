"""YAML → core values, or every error at once as file:line:col."""

from rollbackd.config.candidates import Candidates, read_candidates
from rollbackd.config.loading import (
    Checked,
    Loaded,
    WebSettings,
    WorldSettings,
    check_paths,
    examine,
    load,
    state_dir_of,
)
from rollbackd.config.problem import ConfigErrors, Problem
from rollbackd.folder import hash_folder

__all__ = [
    "Candidates",
    "Checked",
    "ConfigErrors",
    "Loaded",
    "Problem",
    "WebSettings",
    "WorldSettings",
    "check_paths",
    "examine",
    "hash_folder",
    "load",
    "read_candidates",
    "state_dir_of",
]
