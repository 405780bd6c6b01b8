"""A life told to people."""

from rollbackd.report.markdown import markdown
from rollbackd.report.runs import Run, never_ordered, runs, unsettled
from rollbackd.report.timeline import Entry, timeline

__all__ = ["Entry", "Run", "markdown", "never_ordered", "runs", "timeline", "unsettled"]
