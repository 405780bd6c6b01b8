"""What a step may do, and what the runner makes of it (rules X2, X5, X6, W7; faults 33–45)."""

from __future__ import annotations

import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.runner.stage import Boot, Stage, alive, end, pid_in, until

from rollbackd.core.model import Step

ENDS = [
    ("exit 0", "exited", 0),
    ("exit 1", "exited", 1),
    ("exit 20", "exited", 20),
    ("kill -9 $$", "exited", 137),
    ("kill -TERM $$", "exited", 143),
    ("false | true", "exited", 0),
    ("cat", "exited", 0),  # fault 44: asks for input
    ("read answer || exit 7", "exited", 7),
]


@pytest.mark.parametrize(("text", "outcome", "status"), ENDS)
async def test_how_it_ends_is_told(stage: Stage, text: str, outcome: str, status: int) -> None:
    told = await stage.run(stage.step(text))
    assert (told.outcome, told.status, told.tree_gone) == (outcome, status, True)
    assert stage.began()
    assert stage.starts() == 1


NEVER_STARTED = [
    (["./nowhere.sh"], "no such file in the plan's folder"),  # fault 42
    (["no-such-program-anywhere"], "not found on PATH"),
    (["./plain.txt"], "chmod +x"),
    (["./odd-interpreter"], "interpreter on its #! line"),
    (["./no-shebang"], "begin it with a #! line"),
    (["./plain.d"], "not executable"),
    (["true", "nul\0byte"], "null"),
    (["true", "x" * 200_000], "too long"),
]


@pytest.mark.parametrize(("argv", "detail"), NEVER_STARTED, ids=lambda value: str(value)[:30])
async def test_what_cannot_be_started_says_why(stage: Stage, argv: list[str], detail: str) -> None:
    (stage.plan / "plain.txt").write_text("#!/bin/sh\n")
    (stage.plan / "plain.d").mkdir()
    for name, first in (("odd-interpreter", "#!/no/such/interpreter"), ("no-shebang", "words")):
        (stage.plan / name).write_text(f"{first}\n")
        (stage.plan / name).chmod(0o755)
    told = await stage.run(stage.effect(argv))
    assert told.outcome == "unstarted"
    assert detail in told.detail
    assert not stage.began()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\nb", "-rf", "x" * 300])
async def test_a_name_is_a_name(stage: Stage, name: str) -> None:
    effect = stage.step("exit 0")
    odd = type(effect)(name, 1, "phase", "step", effect.plan_hash, effect.run, {})
    told = await stage.run(odd)
    assert told.outcome == "unstarted"
    assert "is not a name" in told.detail
    assert stage.starts() == 0


async def test_a_step_of_a_region_runs(stage: Stage) -> None:
    """As the model names it, with the longest names that a plan may give."""
    name = Step("s" * 100, each="serial").here("r" * 100).name
    effect = stage.step("exit 0")
    told = await stage.run(type(effect)("api-1", 1, "phase", name, effect.plan_hash, effect.run, {}))
    assert (told.outcome, told.status) == ("exited", 0)


async def test_the_stored_folder_must_be_there(stage: Stage) -> None:
    effect = stage.effect(["true"])
    told = await stage.run(type(effect)("api-1", 1, "phase", "step", "ffff", effect.run, {}))
    assert told.outcome == "unstarted"
    assert "reload" in told.detail


async def test_the_environment_is_exactly_the_allowlist(stage: Stage) -> None:
    """X2: PATH, HOME, LANG, ROLLBACK_*, what the plan names, and the mark; the plan changes no ROLLBACK_*."""
    daemon = {"PATH": os.environ["PATH"], "HOME": "/h", "LANG": "C.UTF-8", "SECRET": "s3cret"}
    told = await stage.run(
        stage.effect(
            [sys.executable, "-I", "-c", "import os; print(sorted(os.environ.items()))"],
            env={"ROLLBACK_PLAN": "api", "ROLLBACK_REASON": "$(touch /tmp/x)\x1b[31m"},
            plan_env={"KUBECONFIG": "/k", "ROLLBACK_PLAN": "other"},
        ),
        environ=daemon,
    )
    seen = dict(eval(told.output))
    assert len(seen.pop("ROLLBACKD_TOKEN")) == 32
    seen.pop("LC_CTYPE", None)  # Python's own doing
    assert seen == {
        "PATH": os.environ["PATH"],
        "HOME": "/h",
        "LANG": "C.UTF-8",
        "KUBECONFIG": "/k",
        "ROLLBACK_PLAN": "api",
        "ROLLBACK_REASON": "$(touch /tmp/x)\x1b[31m",
    }


async def test_no_shell_unless_the_plan_says_so(stage: Stage) -> None:
    told = await stage.run(stage.effect(["echo", "$HOME;", "`id`"]))
    assert told.output == "$HOME; `id`\n"
    async with stage.runner() as runner:
        runner.start(stage.effect(["echo $((6*7))"], 2, shell=True))
        assert (await stage.exited(2)).output == "42\n"


async def test_it_inherits_the_lock_and_nothing_else(stage: Stage) -> None:
    code = (
        "import os; links = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')];"
        "print(*(os.readlink(link) for link in links if os.path.lexists(link)))"
    )
    told = await stage.run(stage.effect([sys.executable, "-I", "-c", code]))
    names = [Path(name.split(":")[0]).name for name in told.output.split()]
    assert sorted(names) == ["lock", "null", "pipe", "pipe"]


async def test_signals_are_as_a_login_shell_has_them(stage: Stage) -> None:
    told = await stage.run(stage.effect(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]))
    threads_own = 1 << 31 | 1 << 32  # the C library's, in every program
    assert [int(line.split()[1], 16) & ~threads_own for line in told.output.splitlines()] == [0, 0]


OUTPUTS = [
    ("printf 'a\\nb'", "a\nb", 3),
    ("printf '\\377\\376\\0\\033[31m'", "\ufffd\ufffd\0\x1b[31m", 8),  # fault 38
    ("echo to-stderr >&2", "to-stderr\n", 10),
    ("head -c 1048576 /dev/zero | tr '\\0' x; echo", "x" * 2047 + "\n", 1048577),  # a 1 MB line
]


@pytest.mark.parametrize(("text", "output", "size"), OUTPUTS)
async def test_output_is_for_people(stage: Stage, text: str, output: str, size: int) -> None:
    told = await stage.run(stage.step(text))
    assert (told.output, told.output_bytes) == (output, size)


async def test_a_flood_is_counted_not_kept(stage: Stage) -> None:
    """Fault 37."""
    size = 64 * 1024 * 1024
    told = await stage.run(stage.step(f"echo first; head -c {size} /dev/zero; printf last"))
    assert told.output_bytes == size + 10
    assert told.output.endswith("last")
    kept = (stage.directory() / "output").read_bytes()
    assert len(kept) == 256 * 1024
    assert kept.startswith(b"first\n")
    assert told.output_sha256 == sha256(kept).hexdigest()


async def test_what_was_kept_of_the_output_is_told_by_its_hash(stage: Stage) -> None:
    """J1: so that the record proves the file beside it."""
    told = await stage.run(stage.step("printf 'a\\nb'"))
    assert told.output_sha256 == sha256(b"a\nb").hexdigest()


EXPECTATIONS = [
    ("echo all drained now", "drained", True),
    ("echo all drained now", "^drained", False),
    ("echo one; echo drained", "^drained$", True),
    ("echo drained; exit 3", "drained", True),
    ("true", "drained", False),
    ("head -c 400000 /dev/zero; echo drained", "drained", True),  # beyond what is kept: among the last lines
    ("echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "(a+)+$", False),  # for ever, if it were let
    ("echo x", "(", False),
]


@pytest.mark.parametrize(("text", "expect", "matched"), EXPECTATIONS)
async def test_expect(stage: Stage, text: str, expect: str, matched: bool) -> None:
    told = await stage.run(stage.step(text, expect=expect))
    assert told.outcome == "exited"
    assert told.expect_matched is matched


TIMEOUTS = [
    ("sleep 600", "a hang"),  # fault 33
    ("trap '' TERM; while :; do sleep 600; done", "ignores TERM"),  # fault 34
    ("setsid sh -c 'echo $$ > grandchild; exec sleep 600' & wait", "own session"),  # fault 35
    (
        "setsid -f sh -c 'trap \"\" TERM; echo $$ > grandchild; sleep 600 & wait; sleep 600'; sleep 600",
        "both",
    ),
    ("kill -STOP $$", "stopped"),
    ("trap '' TERM; for n in $(seq 100); do (sleep 600; :) & done; sleep 600", "a hundred"),  # fault 43
]


@pytest.mark.parametrize("text", [text for text, _ in TIMEOUTS], ids=[name for _, name in TIMEOUTS])
async def test_a_timeout_stops_the_whole_tree(stage: Stage, text: str) -> None:
    told = await stage.run(stage.step(text, timeout=300))
    assert (told.outcome, told.tree_gone) == ("timed_out", True)
    assert not alive(int(stage.log.read_text()))
    if "grandchild" in text:
        assert not alive(await pid_in(stage.plan / "grandchild"))


async def test_term_comes_first(stage: Stage) -> None:
    text = "trap 'echo cleaned up; exit 9' TERM; echo up; while :; do sleep 0.05; done"
    told = await stage.run(stage.step(text, timeout=400), grace=20_000)
    assert (told.outcome, told.status, told.tree_gone) == ("timed_out", 9, True)
    assert told.output.startswith("up\n")
    assert told.output.endswith("cleaned up\n")


async def test_a_grandchild_that_holds_the_output_holds_up_nothing(stage: Stage) -> None:
    """Fault 36: the outcome is told at the step's own end; the grandchild lives, and may go on writing."""
    told = await stage.run(
        stage.step(
            "(while [ ! -e go ]; do sleep 0.02; done; seq 100000; touch fine; exec sleep 600) & exit 0"
        )
    )
    assert (told.outcome, told.status, told.tree_gone) == ("exited", 0, False)
    (stage.plan / "go").touch()
    await until((stage.plan / "fine").exists)  # writing did not end it
    while left := left_by(stage):
        for pid in left:
            end(pid)


def left_by(stage: Stage) -> list[int]:
    """Processes whose folder is the stage's plan: what a step left behind."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and alive(int(entry)):
            try:
                folder = os.readlink(f"/proc/{entry}/cwd")
            except OSError:
                continue
            if folder == str(stage.plan):
                found.append(int(entry))
    return found


async def test_interrupt_never(stage: Stage) -> None:
    """X9: its timeout does not touch it; a person's order does."""
    effect = stage.step("touch up; while [ ! -e go ]; do sleep 0.05; done", timeout=1, interruptible=False)
    async with stage.runner() as runner:
        runner.start(effect)
        await until((stage.plan / "up").exists)
        pid = int(stage.log.read_text())
        assert alive(pid)
        (stage.plan / "go").touch()
        told = await stage.exited()
    assert (told.outcome, told.status) == ("exited", 0)


@pytest.mark.parametrize("interruptible", [True, False])
async def test_stop(stage: Stage, interruptible: bool) -> None:
    async with stage.runner() as runner:
        runner.start(stage.step("sleep 600 & sleep 600", interruptible=interruptible))
        await until(stage.began)
        runner.stop_step(stage.stop())
        runner.stop_step(stage.stop())
        told = await stage.exited()
    assert (told.outcome, told.tree_gone) == ("stopped", True)


async def test_too_old_a_decision_starts_nothing(stage: Stage) -> None:
    """W7."""
    told = await stage.run(stage.step("exit 0", not_after=Boot().now() - 1))
    assert told.outcome == "refused"
    assert "too old" in told.detail
    assert (stage.starts(), stage.began()) == (0, False)


async def test_a_decision_of_another_boot_starts_nothing(stage: Stage) -> None:
    effect = stage.step("exit 0", not_after=Boot().now() + 60_000)
    told = await stage.run(effect, boot="00000000-0000-0000-0000-000000000000")
    assert told.outcome == "refused"
    assert stage.starts() == 0


async def test_in_time_it_runs(stage: Stage) -> None:
    told = await stage.run(stage.step("exit 0", not_after=Boot().now() + 60_000))
    assert told.outcome == "exited"


async def test_what_is_stored_stays_among_us(stage: Stage) -> None:
    await stage.run(stage.step("exit 0"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in stage.directory().iterdir()}
    assert {name: mode for name, mode in modes.items() if mode != 0o600} == {}
    assert set(modes) == {"request.json", "lock", "claim", "exit", "output"}
    folder = stage.directory()
    assert [parent.stat().st_mode & 0o777 for parent in (folder, *folder.parents[:2])] == [0o700] * 3


CGROUPS = (
    Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")
)


@pytest.fixture
def cgroup(tmp_path: Path) -> Any:
    path = CGROUPS / f"rollbackd-test-{os.getpid()}-{tmp_path.name}"
    try:
        path.mkdir()
        (path / "cgroup.procs").open("w").close()
    except OSError:
        pytest.skip("no cgroup v2 that may be divided")
    yield path
    path.rmdir()


async def test_a_cgroup_of_its_own(stage: Stage, cgroup: Path) -> None:
    text = "cat /proc/self/cgroup; trap '' TERM; (trap '' TERM; setsid sleep 600) & sleep 600"
    async with stage.runner(cgroup=str(cgroup)) as runner:
        runner.start(stage.step(text))
        await until(lambda: _names(cgroup).count("sleep") == 2)
        runner.stop_step(stage.stop())
        told = await stage.exited()
        assert (told.outcome, told.tree_gone) == ("stopped", True)
        assert f"{cgroup.name}/step-" in told.output
        await until(lambda: not _cgroups(cgroup))


async def test_the_cgroup_is_waited_for_without_a_wrapper(stage: Stage, cgroup: Path) -> None:
    """X3: what dropped both lock and mark is still known by its cgroup, and stopped by order."""
    hide = "import os; os.closerange(3, 100); os.execve('/bin/sleep', ['sleep', '600'], {})"
    async with stage.runner(cgroup=str(cgroup)) as runner:
        runner.start(stage.effect([sys.executable, "-I", "-c", hide]))
        await until(stage.began)
        await until(lambda: _names(cgroup) == ["sleep"])
        _kill_wrapper(stage)
        assert stage.exits() == []
        runner.stop_step(stage.stop())
        told = await stage.exited()
        assert (told.outcome, told.tree_gone) == ("in_doubt", True)
        assert _inhabitants(cgroup) == []
    async with stage.runner(cgroup=str(cgroup)):
        assert _cgroups(cgroup) == []


def _cgroups(cgroup: Path) -> list[Path]:
    return list(cgroup.glob("step-*"))


def _inhabitants(cgroup: Path) -> list[int]:
    return [int(pid) for file in cgroup.glob("step-*/cgroup.procs") for pid in file.read_text().split()]


def _names(cgroup: Path) -> list[str]:
    files = [Path(f"/proc/{pid}/comm") for pid in _inhabitants(cgroup)]
    return [file.read_text().strip() for file in files if file.exists()]


def _kill_wrapper(stage: Stage) -> None:
    end(json.loads((stage.directory() / "claim").read_text())["pid"])
