"""The HTTP API: reading for everyone who may connect, verbs over the unix socket alone."""

from rollbackd.web.daemon import Daemon, ReloadRefused
from rollbackd.web.redaction import redacted
from rollbackd.web.server import Limits, Web, serve

__all__ = ["Daemon", "Limits", "ReloadRefused", "Web", "redacted", "serve"]
