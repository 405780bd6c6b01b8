"""Scraping `/metrics` and listing triggers with 10,000 of them: how long, and how long the loop stands still.

python -m bench.bench_scrape [TRIGGERS]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

from tests.web.scene import Scene, config, trigger

from rollbackd.web import views
from rollbackd.web.answers import listed

ROUNDS = 20


async def measure(name: str, work: Callable[[], Awaitable[object]]) -> None:
    took: list[float] = []
    late: list[float] = []

    async def sample() -> None:
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - due)

    await work()
    sampler = asyncio.create_task(sample(), name="sampler")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    sampler.cancel()
    late.sort()
    p99 = late[int(len(late) * 0.99)]
    print(
        f"{name}: {median(took) * 1e3:.1f} ms; the loop late by {median(late) * 1e3:.2f} ms (median), "
        f"{p99 * 1e3:.1f} ms (p99), {late[-1] * 1e3:.1f} ms (most)"
    )


async def main(count: int) -> None:
    scene = Scene(config(triggers=tuple(trigger(f"T{n}", fingerprint=f"f{n}") for n in range(count))))
    print(f"{count} triggers")
    await measure("/metrics", lambda: scene.metrics.exposition(scene.state, scene.soft))
    await measure("/api/v1/triggers", lambda: listed(views.triggers(scene.state, scene.soft)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
