"""The container files, as far as they can be checked without an engine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from collector.identity import MIN_KEY_CHARACTERS
from collector.settings import FIELDS, PREFIX
from tests.conftest import Program
from tests.needed import ROOT

INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def _arguments(instruction: str) -> list[str]:
    return [arguments for name, arguments in INSTRUCTIONS if name == instruction]


def _settings(names: list[str]) -> list[str]:
    return [name.removesuffix("_FILE") for name in names if name.startswith(PREFIX)]


def test_copied_files_exist_and_reach_the_engine() -> None:
    """Every COPY from the checkout names something that exists and that .dockerignore lets through."""
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [word for copy in _arguments("COPY") if "--from" not in copy for word in copy.split()[:-1]]

    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if f"!{source}" not in let_through] == []


def test_commands_run_without_a_shell() -> None:
    """Every command is a list of words, none of which is a shell, and the process is not root."""
    commands = _arguments("RUN") + _arguments("ENTRYPOINT") + _arguments("CMD")
    commands += [arguments[arguments.index("[") :] for arguments in _arguments("HEALTHCHECK")]

    for command in commands:
        words = json.loads(command)
        assert words[0] not in ("sh", "bash", "/bin/sh", "/bin/bash")
    assert [int(user.split(":")[0]) > 0 for user in _arguments("USER")] == [True]


def test_environment_holds_settings() -> None:
    """What image and compose set are settings that exist; compose gives each secret as a file it mounts."""
    of_image = [word.split("=")[0] for line in _arguments("ENV") for word in line.split()]
    of_compose = COMPOSE["services"]["spanledger"]["environment"]
    names = _settings([*of_image, *of_compose])

    assert [name for name in names if name.removeprefix(PREFIX).lower() not in FIELDS] == []
    assert {Path(path).name for path in of_compose.values()} == set(COMPOSE["secrets"])


def test_compose_publishes_on_loopback_only() -> None:
    """No port of any service is reachable from another machine."""
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]

    assert ports
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []


def test_mounted_files_exist() -> None:
    """Every file that compose mounts is in the repository, or a volume of its own."""
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_file(), source


def test_keys_are_made_once(tmp_path: Path) -> None:
    """The keys that compose mounts are made by one command, are long enough, and stay when it runs again."""
    script = tmp_path / "make_keys.py"
    script.write_text((ROOT / "deploy" / "make_keys.py").read_text())
    (tmp_path / "secrets").mkdir()
    keys = []
    for _ in range(2):
        subprocess.run([sys.executable, script], check=True, capture_output=True)
        keys.append({file.name: file.read_text().strip() for file in (tmp_path / "secrets").iterdir()})

    assert keys[0] == keys[1]
    assert set(keys[0]) == set(COMPOSE["secrets"])
    assert min(map(len, keys[0].values())) >= MIN_KEY_CHARACTERS


@pytest.mark.parametrize(("file", "checker"), [("prometheus.yml", "promtool"), ("alertmanager.yml", "amtool")])
def test_configurations_are_valid(file: str, checker: str, program: Program, tmp_path: Path) -> None:
    """Prometheus and Alertmanager accept the files that compose mounts into them."""
    token = tmp_path / "admin_token"
    token.write_text("x" * 32)
    config = tmp_path / file
    config.write_text((ROOT / "deploy" / file).read_text().replace("/run/secrets/admin_token", str(token)))
    command = [
        str(program(checker)),
        *(["check", "config"] if checker == "promtool" else ["check-config"]),
        str(config),
    ]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
