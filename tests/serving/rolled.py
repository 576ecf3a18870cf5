"""Models to roll on one real server, each with a config file and a registry of its own, as fixtures."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from export.registry import publish_folder
from serving.rollout import Rollout, first_config
from serving.rollout_config import LABELS, parse
from serving.rollout_server import ModelServer
from tests.model_server import QUIET, ROOT, serve

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """One model that can be rolled; ``built`` holds versions 1, 2, 4 (other scores) and 5 (no heat map) to publish."""

    rollout: Rollout
    built: Path
    base: Path

    @property
    def config(self) -> Path:
        """The config file."""
        return Path(self.rollout.config)

    @property
    def state(self) -> Path:
        """The folder of journal, log and reports."""
        return Path(f"{self.config}.rollout")

    def publish(self, version: int, source: Path | None = None) -> Path:
        """Publish a built version, or another folder, under this number."""
        return Path(publish_folder(source or self.built / str(version), self.base, version=version))

    def served(self) -> tuple[dict[str, int], list[int]]:
        """Return labels and available versions as the server tells them."""
        with ModelServer(self.rollout.server, self.rollout.model) as server:
            return server.labels(LABELS), server.available()

    def because(self, why: str) -> Rollout:
        """Return the same rollout with another reason."""
        return replace(self.rollout, why=why)


def reload(rollout: Rollout) -> None:
    """Let the server take the config file as it is."""
    with ModelServer(rollout.server, rollout.model) as server:
        server.reload(parse(Path(rollout.config).read_text(), rollout.config), 60)


@pytest.fixture(scope="session")
def bench_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny versions that keep the served contract, but for 5, which lacks the heat map."""
    folder = tmp_path_factory.getbasetemp() / "bench-versions"
    if not (folder / "done").exists():
        command = [sys.executable, "-m", "serving.bench_models", str(folder), "1", "2", "4=0.4", "5=heatmap"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, **QUIET}, timeout=300)
        (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def rolled_server(bench_versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that takes any config it is given."""
    folder = tmp_path_factory.mktemp("rolled")
    publish_folder(bench_versions / "1", folder / "fracture")
    config = Rollout("", str(folder / "models.config"), "fracture", "", base=str(folder / "fracture"))
    first_config(config)
    flags = (f"--model_config_file={config.config}", "--max_num_load_retries=0")
    allow = "--allow_version_labels_for_unavailable_models=true"
    with serve(folder / "fracture", folder / "server.log", *flags, allow) as server:
        yield server.target


@pytest.fixture
def place(rolled_server: str, bench_versions: Path, tmp_path: Path) -> Place:
    """A model of its own on the server: version 1 is stable."""
    base = tmp_path / "versions"
    config = str(tmp_path / "state" / "models.config")
    rollout = Rollout(rolled_server, config, f"model{next(NUMBERS)}", "tester", base=str(base), seconds=60)
    found = Place(rollout, bench_versions, base)
    found.publish(1)
    first_config(rollout)
    reload(rollout)
    return found
