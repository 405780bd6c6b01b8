"""The unit, its drop-in, and what they may be loosened to."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "rollbackd.service"
LOOSENED = SYSTEMD / "loosened.conf"

# systemd's own score: 0 nothing is exposed, 10 everything is. Under User= every line that would bring
# the unit below 8 implies NoNewPrivileges=, and with it the end of sudo: the drop-in takes those back.
EXPOSURE = 2.2
EXPOSURE_LOOSENED = 8.6

# systemd.exec(5): under User= each of these implies NoNewPrivileges=.
NO_NEW_PRIVILEGES = {
    "DynamicUser",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "PrivateDevices",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "SystemCallLog",
}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (Debian: package systemd)"
)


def settings(file: Path, section: str) -> dict[str, list[str]]:
    """What a section says: every value of every key, in order."""
    said: dict[str, list[str]] = defaultdict(list)
    current = ""
    for line in file.read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif "=" in line and not line.startswith("#") and current == section:
            key, value = line.split("=", 1)
            said[key].append(value)
    return dict(said)


def comments(file: Path) -> str:
    return "\n".join(line for line in file.read_text().splitlines() if line.startswith("#"))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as it would be installed, with a program that every machine has in place of its own."""
    unit = tmp_path / UNIT.name
    text, replaced = re.subn(r"(?m)^(Exec\w+)=\S+", r"\1=/bin/true", UNIT.read_text())
    assert replaced == 2
    unit.write_text(text)
    return unit


@pytest.fixture
def loosened(installed: Path) -> Path:
    folder = installed.with_name(f"{installed.name}.d")
    folder.mkdir()
    shutil.copy(LOOSENED, folder)
    return installed


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def exposure(unit: Path) -> float:
    said = analyze("security", "--offline=true", unit)
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert score, said.stdout
    return float(score[1])


@needs_systemd
@pytest.mark.parametrize("variant", ["installed", "loosened"])
def test_verify_has_nothing_to_say(variant: str, request: pytest.FixtureRequest) -> None:
    said = analyze("verify", "--man=no", request.getfixturevalue(variant))
    assert (said.returncode, said.stdout) == (0, "")


@needs_systemd
def test_verify_would_speak_up(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("KillMode=process", "KillMode=proces"))
    assert "kill mode" in analyze("verify", "--man=no", installed).stdout


@needs_systemd
def test_exposure_is_bounded(installed: Path) -> None:
    assert exposure(installed) <= EXPOSURE


@needs_systemd
def test_exposure_of_the_drop_in_is_bounded(loosened: Path) -> None:
    assert exposure(loosened) <= EXPOSURE_LOOSENED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("ExecStart", "/usr/bin/rollbackd run --config /etc/rollbackd/rollbackd.yml"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("User", "rollbackd"),
        ("StateDirectory", "rollbackd"),
        ("RuntimeDirectory", "rollbackd"),
        ("RuntimeDirectoryPreserve", "yes"),
        ("WatchdogSec", "60s"),
        ("Restart", "always"),
        ("RestartPreventExitStatus", "78"),
        ("KillMode", "process"),
        ("Delegate", "yes"),
        ("OOMPolicy", "continue"),
        ("TasksMax", "1024"),  # fault 43
        ("LimitNOFILE", "16384"),
    ],
)
def test_the_unit_says(key: str, value: str) -> None:
    assert settings(UNIT, "Service")[key] == [value]


def test_it_never_stops_trying() -> None:
    assert settings(UNIT, "Unit")["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize(
    "key",
    [
        "PrivateTmp",  # pulls /tmp from under a step that outlives the daemon
        "MemoryDenyWriteExecute",  # Node
        "ProtectControlGroups",  # the cgroups of the steps
        "PrivateUsers",  # the peer's credentials on the socket
        "MemoryMax",  # one script would take the daemon with it
        "RemoveIPC",
    ],
)
def test_left_out_everywhere_with_a_reason(key: str) -> None:
    assert key not in settings(UNIT, "Service") | settings(LOOSENED, "Service")
    assert f"{key}=" in comments(UNIT)


def test_the_drop_in_lets_sudo_through() -> None:
    """All that implies NoNewPrivileges= is taken back there, and nothing that the unit does not say."""
    ours, taken_back = settings(UNIT, "Service"), settings(LOOSENED, "Service")
    assert taken_back.keys() <= ours.keys()
    implied = NO_NEW_PRIVILEGES & ours.keys()
    assert {key: taken_back.get(key) for key in implied} == {
        key: [""] if key.startswith(("SystemCall", "RestrictAddress")) else ["no"] for key in implied
    }


def test_user_and_folders_are_the_unit_s() -> None:
    user = next(line.split() for line in lines(SYSTEMD / "rollbackd.sysusers.conf"))
    assert user[:2] == ["u", settings(UNIT, "Service")["User"][0]]
    assert user[-1] == f"/var/lib/{settings(UNIT, 'Service')['StateDirectory'][0]}"
    folders = {line.split()[1]: line.split()[2:5] for line in lines(SYSTEMD / "rollbackd.tmpfiles.conf")}
    assert folders == {
        "/etc/rollbackd": ["0750", "root", "rollbackd"],
        "/etc/rollbackd/credentials": ["0750", "root", "rollbackd"],
    }


def lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
