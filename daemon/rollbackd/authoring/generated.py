"""What a checkout holds that is generated from the models, and from what the core asks of plans."""

from __future__ import annotations

from rollbackd.authoring import schema
from rollbackd.authoring.kinds import KINDS
from rollbackd.authoring.quick import quick_reference
from rollbackd.authoring.reference import reference


def generated() -> dict[str, str]:
    """The files' texts by their names, from the root of the repository."""
    return {
        "docs/reference.md": reference(),
        "docs/quick-reference.md": quick_reference(),
        **{f"docs/schema/{kind}.json": schema.text(kind) for kind in KINDS},
    }
