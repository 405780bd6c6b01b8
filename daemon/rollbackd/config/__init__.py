"""YAML → core values, or every error at once as file:line:col."""

from rollbackd.config.folder import hash_folder
from rollbackd.config.loading import Loaded, WebSettings, WorldSettings, check_paths, load, state_dir_of
from rollbackd.config.problem import ConfigErrors, Problem

__all__ = [
    "ConfigErrors",
    "Loaded",
    "Problem",
    "WebSettings",
    "WorldSettings",
    "check_paths",
    "hash_folder",
    "load",
    "state_dir_of",
]
