"""The stage itself: real processes, the plan's real scripts, a real Prometheus or its stand-in."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from rollbackd.demo.daemon import Watchman
from rollbackd.demo.processes import Failure, Kept, Program, until
from rollbackd.demo.stage import BAD, GOOD, Stage, find_prometheus

PLAN = Path(__file__).parents[2] / "plans" / "demo"
ERRORS = 'sum by (cohort) (rate(demo_requests_total{code=~"5.."}[4s]))'
RATIO = f"{ERRORS} / sum by (cohort) (rate(demo_requests_total[4s]))"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: the cohorts' sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name) / "stage"


@pytest.fixture(params=["prometheus", "simulated"])
async def stage(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stage]:
    prometheus = find_prometheus() if request.param == "prometheus" else None
    if request.param == "prometheus" and prometheus is None:
        pytest.skip("no prometheus here: apt-get install prometheus")
    opened = Stage(folder, prometheus=prometheus)
    try:
        await opened.open()
        yield opened
    finally:
        await opened.close()


async def script(stage: Stage, name: str, *arguments: str) -> int:
    """Run one of the plan's scripts as the daemon would."""
    env = {
        "PATH": os.environ["PATH"],
        "DEMO_DIR": str(stage.folder),
        "ROLLBACK_ID": "demo-1",
        "ROLLBACK_STEP": name,
        "ROLLBACK_REASON": "a test",
        "ROLLBACK_PREVIOUS_VERSION": GOOD,
        "ROLLBACK_NEXT_VERSION": BAD,
    }
    process = await asyncio.create_subprocess_exec(f"./scripts/{name}.sh", *arguments, cwd=PLAN, env=env)
    return await process.wait()


async def errors(stage: Stage, cohort: str) -> float | None:
    """The error ratio of a cohort, as the source of metrics sees it."""
    async with (
        ClientSession() as session,
        session.post(f"{stage.prometheus_url}/api/v1/query", data={"query": RATIO}) as answer,
    ):
        result = (await answer.json())["data"]["result"]
    return next((float(one["value"][1]) for one in result if one["metric"]["cohort"] == cohort), None)


async def test_a_bad_release_shows_in_the_metrics_and_the_scripts_undo_it(stage: Stage) -> None:
    await stage.deploy("canary", BAD)
    await stage.weigh("canary", 50)

    async def bad() -> bool:
        return (await errors(stage, "canary") or 0) > 0.2

    await until(bad, "the canary is well")
    assert await errors(stage, "stable") == 0
    assert await script(stage, "previous-installed") == 0
    assert await script(stage, "is-previous") == 20

    for step in (["drain"], ["previous-release"], ["weight", "50"], ["mark-bad"]):
        assert await script(stage, *step) == 0
    assert await script(stage, "is-previous") == 0
    assert (await stage.weight("canary"), await stage.release("canary")) == (50, GOOD)
    assert stage.steps_run() == [
        "demo-1 drain",
        "demo-1 previous-release",
        "demo-1 weight",
        "demo-1 mark-bad",
    ]
    assert (stage.folder / "releases" / BAD / "BAD").exists()

    async def well() -> bool:
        return await errors(stage, "canary") == 0

    await until(well, "the canary answers with errors")


async def test_the_probe_cannot_tell_while_nothing_answers(folder: Path) -> None:
    (folder / "proxy").mkdir(parents=True)
    (folder / "proxy" / "admin").write_text("127.0.0.1:1\n")
    assert await script(Stage(folder, prometheus=None), "is-previous") not in (0, 20)


async def test_a_kept_program_is_started_again_and_ended_for_good(tmp_path: Path) -> None:
    program = Program("sleeper", ["sleep", "600"], tmp_path / "log")
    kept = Kept(program, tmp_path / "pid")
    await kept.start()
    first = program.pid
    os.kill(first, 9)

    async def another() -> bool:
        return (
            program.running and program.pid != first and (tmp_path / "pid").read_text() == f"{program.pid}\n"
        )

    await until(another, "it is not back")
    await kept.stop()
    assert not program.running
    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)


async def test_a_program_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = Program("teapot", ["sh", "-c", "echo short and stout; exit 3"], tmp_path / "log")
    await program.start()

    async def never() -> bool:
        return False

    with pytest.raises(Failure, match=r"(?s)teapot ended before ready.*short and stout"):
        await program.until(never, "ready")
    missing = Program("missing", ["/nonexistent/program"], tmp_path / "log")
    with pytest.raises(Failure, match="missing: /nonexistent/program: No such file"):
        await missing.start()


async def test_a_folder_that_is_too_long_for_a_socket_is_told_with_the_remedy(tmp_path: Path) -> None:
    watchman = Watchman(tmp_path / ("x" * 100), "http://127.0.0.1:9", lambda _: None)
    with pytest.raises(Failure, match="TMPDIR"):
        await watchman.open()
    await watchman.close()
