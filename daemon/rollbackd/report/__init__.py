"""A life told to people."""

from rollbackd.report.markdown import markdown
from rollbackd.report.timeline import Entry, timeline, unsettled

__all__ = ["Entry", "markdown", "timeline", "unsettled"]
