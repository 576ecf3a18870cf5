"""The Makefile: what it promises a newcomer, and that Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import processes


def make(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Return the finished call of make, free of what a make around the tests hands down."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, timeout=120)


@pytest.fixture
def fresh(project_root: Path, tmp_path: Path) -> Path:
    """A folder with what set-up reads and nothing set up."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(project_root / name, tmp_path)
    return tmp_path


def python_of_version(folder: Path, version: tuple[int, int]) -> Path:
    """Return a program that answers a question about its version as a Python of ``version`` would."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec python3 -c "import sys; sys.version_info = {(*version, 0)}; $2"\n')
    script.chmod(0o755)
    return script


def test_make_alone_lists_every_target_for_users(project_root: Path) -> None:
    listed = set(re.findall(r"^  make (\w+)", make(cwd=project_root).stdout, flags=re.MULTILINE))
    assert listed == {"help", "install", "run", "test", "lint", "conformance", "reproduce", "lock", "clean"}


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_a_python_that_does_not_fit_is_told_in_a_sentence(fresh: Path, version: tuple[int, int]) -> None:
    run = make("install", f"PYTHON={python_of_version(fresh, version)}", cwd=fresh)
    assert run.returncode != 0
    assert "This needs Python 3.11, 3.12 or 3.13" in run.stderr
    assert not (fresh / ".venv").exists()


def test_no_python_at_all_is_told_in_a_sentence(fresh: Path) -> None:
    run = make("install", "PYTHON=no-such-python", cwd=fresh)
    assert run.returncode != 0
    assert "This needs Python 3.11, 3.12 or 3.13" in run.stderr


def test_set_up_starts_in_a_fresh_checkout(fresh: Path) -> None:
    assert "pip install" in make("--dry-run", "install", cwd=fresh).stdout


@pytest.mark.parametrize("target", ["install", "run", "lint"])
def test_nothing_is_installed_a_second_time(fresh: Path, target: str) -> None:
    (fresh / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/pip", ".installed", ".installed-dev"):
        (fresh / ".venv" / name).touch()
    assert "pip install" not in make("--dry-run", target, cwd=fresh).stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements.lock"])
def test_a_changed_requirement_is_installed(fresh: Path, changed: str) -> None:
    (fresh / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/pip", ".installed", ".installed-dev"):
        (fresh / ".venv" / name).touch()
    stamp = (fresh / ".venv" / ".installed").stat().st_mtime
    os.utime(fresh / changed, (stamp + 10, stamp + 10))
    assert "pip install" in make("--dry-run", "test", cwd=fresh).stdout


def test_the_ports_can_be_chosen(project_root: Path) -> None:
    run = make("--dry-run", "run", "UI_PORT=1", "GRPC_PORT=2", "REST_PORT=3", cwd=project_root)
    assert "osteo up --ui-port 1 --grpc-port 2 --rest-port 3" in run.stdout


def test_reproduce_trains_the_shipped_recipe_on_every_data_set(project_root: Path) -> None:
    run = make("--dry-run", "reproduce", "DATA=a b", cwd=project_root)
    lines = [line.removeprefix(".venv/bin/") for line in run.stdout.splitlines() if "osteo " in line]
    *steps, pasting, body, last, export = lines
    assert pasting == "osteo data paste a --out runs"
    assert body.startswith("osteo train ")
    assert body.endswith(" --data a --data b --data runs/a-pasted")
    assert all(line.startswith("osteo train ") for line in (*steps, last))
    assert all(line.endswith(" --data a --data b") for line in (*steps, last, export))
    assert export.startswith("osteo export runs/fracture ")
    assert len(steps) == 3
    for recipe in ("fracture-384", "fracture-448", "fracture-renewed", "fracture-body", "fracture"):
        assert f"--config {recipe} " in run.stdout
        assert (project_root / "training" / "recipes" / f"{recipe}.toml").exists()


@pytest.mark.parametrize(("target", "missing"), [("conformance", "SERVER="), ("reproduce", "DATA=")])
def test_a_target_without_its_argument_says_what_it_needs(project_root: Path, target: str, missing: str) -> None:
    run = make(target, cwd=project_root)
    assert run.returncode != 0
    assert missing in run.stderr


@pytest.mark.slow
def test_make_run_tells_where_everything_is_and_ctrl_c_leaves_no_process(project_root: Path, tmp_path: Path) -> None:
    ports = {name: processes.free_port() for name in ("UI_PORT", "GRPC_PORT", "REST_PORT")}
    command = ["make", "run", *(f"{name}={port}" for name, port in ports.items())]
    running = processes.start(command, tmp_path / "output.txt", cwd=project_root)
    try:
        running.wait_until(
            lambda output: all(f":{port}" in output for port in ports.values()) and "version" in output.lower(), 150
        )
        told = [line for line in running.output().splitlines() if any(f":{port}" in line for port in ports.values())]
        assert len(told) == len(ports)
    finally:
        left = running.interrupt(whole_group=True)
    assert left == []
    assert "Traceback" not in running.output()
