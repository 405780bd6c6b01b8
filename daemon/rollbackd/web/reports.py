"""The report of one rollback in the form that was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from rollbackd.report import markdown
from rollbackd.report.document import encoded
from rollbackd.web.answers import POLICY, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life
    from rollbackd.report.parts import Earlier
    from rollbackd.web.archive import Archive

LONGEST = 1 << 20
"""bytes of a Markdown report; the others are bounded by what they show"""

STYLED = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""The content policy of a page: its own style, no script, nothing fetched."""


def as_markdown(life: Life, rows: Sequence[Recorded], before: Sequence[Earlier]) -> bytes:
    return _cut(markdown(life, list(rows), before))


def as_html(life: Life, rows: Sequence[Recorded], before: Sequence[Earlier]) -> bytes:
    from rollbackd.report.page import page  # Jinja is needed by nobody else in the daemon

    return page(life, rows, before).encode("utf-8", "backslashreplace")


FORMATS: Mapping[str, tuple[str, Callable[[Life, Sequence[Recorded], Sequence[Earlier]], bytes]]] = {
    "md": ("text/markdown", as_markdown),
    "html": ("text/html", as_html),
    "json": ("application/json", encoded),
}
"""By name, which is a file's extension too: the content type, and what makes it."""


async def answer(archive: Archive, target: str, form: str) -> web.Response:
    """Raises Problem."""
    if form not in FORMATS:
        raise Problem("bad_data", f"format: expected one of {', '.join(FORMATS)}")
    life, rows = await archive.find(target)
    before = await archive.earlier(life)
    kind, make = FORMATS[form]
    body = await asyncio.to_thread(make, life, rows, before)
    response = web.Response(body=body, content_type=kind, charset="utf-8")
    if form == "html":
        response.headers[POLICY] = STYLED
    return response


def _cut(report: str) -> bytes:
    """At most `LONGEST`, whole lines, and what is missing is said."""
    body = report.encode()
    if len(body) <= LONGEST:
        return body
    sizes = f"{LONGEST >> 10} KiB of {len(body) >> 10}"
    note = f"\n\n_Cut here, at {sizes}: the journal has the rest._\n".encode()
    kept, _, _ = body[: LONGEST - len(note)].rpartition(b"\n")
    return kept + note
