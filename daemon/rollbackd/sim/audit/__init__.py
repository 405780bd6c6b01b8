"""Judges a tape by the rules alone; shares no line with the engine."""

from rollbackd.sim.audit.auditor import Auditor

__all__ = ["Auditor"]
