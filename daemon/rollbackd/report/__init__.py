"""A life told to people."""

from rollbackd.report.markdown import markdown
from rollbackd.report.timeline import Entry, timeline

__all__ = ["Entry", "markdown", "timeline"]
