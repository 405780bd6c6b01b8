"""The demo's service: `python -m rollbackd.demo.service COHORT_FOLDER` runs the release that is current.

COHORT_FOLDER/current/release.json   {"version": "1.5.0", "fails": {"after": 300, "share": 0.3}}
COHORT_FOLDER/http.sock              where it answers

`fails` is the release's bug: from the request numbered `after` on, that share of the answers is a 500.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

VERSION_HEADER = "X-Release"


@dataclass
class Release:
    """Answers requests by count, not by chance: 30 % of a hundred are thirty."""

    version: str
    after: int = 0
    share: float = 0.0
    served: int = 0

    @classmethod
    def read(cls, folder: Path) -> Release:
        document = json.loads((folder / "release.json").read_text())
        bug = document.get("fails", {})
        return cls(document["version"], int(bug.get("after", 0)), float(bug.get("share", 0.0)))

    def fails(self) -> bool:
        """Whether this request does; each call is one request."""
        self.served += 1
        bad = self.served - self.after
        return bad > 0 and int(bad * self.share) > int((bad - 1) * self.share)


def application(release: Release) -> web.Application:
    headers = {VERSION_HEADER: release.version}

    async def answer(_: web.Request) -> web.Response:
        if release.fails():
            return web.Response(status=500, text="the cache is full\n", headers=headers)
        return web.Response(text=f"hello from {release.version}\n", headers=headers)

    async def version(_: web.Request) -> web.Response:
        return web.Response(text=release.version)

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_get("/release", version)
    return app


def main(folder: Path) -> None:
    release = Release.read(folder / "current")
    web.run_app(
        application(release),
        path=str(folder / "http.sock"),
        print=None,
        access_log=None,
        shutdown_timeout=1.0,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
