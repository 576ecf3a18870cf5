"""The verbs as an operator runs them: help, wrong words, and the line of JSON that ends each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from radiograph.phantom import phantom

VERBS = ("serve", "export", "prepare", "train-input", "peers", "rollout", "page")


def osteo(project_root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "osteo", "bench", *words]
    return subprocess.run(command, cwd=project_root, capture_output=True, text=True, timeout=250)


def test_the_help_names_every_verb(project_root: Path) -> None:
    shown = osteo(project_root, "--help").stdout
    assert [verb for verb in VERBS if f" {verb} " not in shown] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("serve", "--clients", "0,4"), "'0,4' is no list of whole numbers from 1 to 64"),
        (("serve", "--ways", "carrier-pigeon"), "'carrier-pigeon' is not one of grpc, grpc-file, rest-file, rest"),
        (("peers", "--peers", "nobody"), "'nobody' is not one of seeds, seeds-keras, fastapi,"),
    ],
)
def test_a_wrong_word_is_told_by_a_sentence(project_root: Path, words: tuple[str, ...], sentence: str) -> None:
    run = osteo(project_root, *words)
    assert run.returncode == 2
    assert sentence in " ".join(run.stderr.replace("│", " ").split())
    assert "Traceback" not in run.stderr


def test_a_run_ends_with_one_line_of_json_and_draws_where_asked(project_root: Path, tmp_path: Path) -> None:
    plot = tmp_path / "prepare.png"
    phantom(seed=1, fractured=True, size=(300, 400)).write_png(tmp_path / "wrist.png")
    words = ("--seconds=0.05", "--rounds=1", "--out", str(plot))
    run = osteo(project_root, "prepare", str(tmp_path / "wrist.png"), *words)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert (told["bench"], told["files"][0]["file"]) == ("prepare", "wrist.png")
    assert told["machine"]["commit"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_server_and_the_bare_network_are_measured_in_one_fresh_process(project_root: Path, tiny_base: Path) -> None:
    run = osteo(
        project_root, "serve", "--base", str(tiny_base), "--clients=1", "--ways=grpc", "--seconds=0.1", "--rounds=1"
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["bench"] == "serve"
    assert [arm["failed"] for arm in told["arms"]] == [0] * len(told["arms"])
