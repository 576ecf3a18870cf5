"""docs/operations.md: the story of a release runs as printed, against a real server; its tables miss nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from PIL import Image

from export.release import release_weights
from radiograph.phantom import phantom
from radiograph.phantom_dataset import write_dataset
from serving.client import FractureClient
from tests.model_server import ModelServer, serve
from tests.test_monitoring import alerts
from training.model import ModelConfig, build_model
from training.recipe import Recipe
from training.weights import save_weights
from ui.auth import ATTEMPTS, LOCKED_FOR

pytestmark = pytest.mark.timeout(900)
CONFIG = "deploy/rollout/models.config"

STEPS = {
    "export": ("Published models/fracture/2", 1),
    "status": ("2 newest │ verified", 1),
    "stage": ("Version 2 is loaded", 1),
    "check": ("Version 2 passed", 1),
    "canary": ("10 % of the studies go to version 2", 1),
    "promote": ("Version 2 is stable. The one before it stays loaded", 2),
    "ask": ('"version": 2', 2),
    "rollback": ("Version 1 is stable", 1),
    "log": ('"why": "too many suspicions in the morning list"', 1),
}
"""What each command of the story prints, and which version is stable after it."""


def text(project_root: Path) -> str:
    return (project_root / "docs" / "operations.md").read_text(encoding="utf-8")


def boxes(project_root: Path, kind: str) -> dict[str, str]:
    """Return the marked boxes of a kind in their order: the name after the kind, and the commands."""
    found = re.findall(rf"<!-- test: {kind} ?(\w*) -->\n```sh\n(.*?)```", text(project_root), flags=re.DOTALL)
    assert found, f"docs/operations.md has no box marked {kind}"
    return dict(found)


@dataclass
class Site:
    """A site as the document describes it: folders, a server with the stack's flags, and a shell in its folder."""

    folder: Path
    server: ModelServer
    where: str

    def run(self, commands: str) -> str:
        """Return what the commands print; each must succeed."""
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "COLUMNS": "200",
        }
        script = f"set -e\n{self.where}\n{commands}"
        run = subprocess.run(
            ["sh", "-c", script], cwd=self.folder, env=env, capture_output=True, text=True, timeout=600
        )
        assert run.returncode == 0, f"{commands}\n{run.stdout}\n{run.stderr}"
        return run.stdout

    def stable(self) -> int:
        """Return the version that answers a client that asks for none."""
        with FractureClient(self.server.target) as client:
            return client.info().version


def weights(folder: Path) -> Path:
    """Write the weights of a tiny network to ``runs/fracture``, as a training run does."""
    recipe = Recipe(name="tiny", model=ModelConfig(weights="none", input_size=64, width=16, dense=(8,)))
    path = folder / "runs" / "fracture" / "best.npz"
    path.parent.mkdir(parents=True)
    save_weights(build_model(recipe.model), recipe, path)
    return path


@pytest.fixture(scope="module")
def site(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that serves its version 1, with a trained run and its data at hand."""
    folder = tmp_path_factory.mktemp("site")
    data = folder / "data" / "fracatlas"
    data.parent.mkdir()
    shutil.copytree(write_dataset(folder / "drawn", 40, seed=5).by_manifest, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        release_weights([weights(folder)], [data], folder / "models" / "fracture", report=None)
    Image.fromarray(phantom(seed=1, fractured=True).pixels).save(folder / "radiograph.jpg")
    config = folder / CONFIG
    config.parent.mkdir(parents=True)
    # Inside the container the versions stand elsewhere; here both sides see the same folder.
    # The site's own first version is live, whatever number ships.
    shipped = re.sub(r"(versions|value): \d+", r"\1: 1", (project_root / CONFIG).read_text())
    config.write_text(shipped.replace("/models/fracture", str(folder / "models" / "fracture")))
    compose = yaml.safe_load((project_root / "docker-compose.yml").read_text())
    given = compose["services"]["serving-cpu"]["command"]
    moved = {"/rollout": str(config.parent), "/config": str(project_root / "serving")}
    flags = [re.sub(r"=(/rollout|/config)/", lambda m: f"={moved[m[1]]}/", flag) for flag in given]
    flags = [flag for flag in flags if not flag.startswith(("--port", "--rest_api_port"))]
    with serve(folder / "models" / "fracture", folder / "server.log", *flags) as server:
        where = boxes(project_root, "where")[""].replace("127.0.0.1:8500", server.target)
        assert server.target in where
        yield Site(folder, server, where)


@pytest.fixture(scope="module")
def story(project_root: Path, site: Site) -> dict[str, tuple[str, int]]:
    """What each command of the story printed, and which version was stable after it."""
    return {name: (site.run(commands), site.stable()) for name, commands in boxes(project_root, "story").items()}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_story_does_what_the_document_says(story: dict[str, tuple[str, int]], step: str) -> None:
    says, stable = STEPS[step]
    printed, after = story[step]
    assert says in " ".join(printed.split())
    assert after == stable


def test_the_story_has_no_step_that_nobody_looks_at(project_root: Path) -> None:
    assert list(boxes(project_root, "story")) == list(STEPS)


@pytest.mark.slow
def test_the_log_tells_the_whole_story_in_order(story: dict[str, tuple[str, int]]) -> None:
    lines = [json.loads(line) for line in story["log"][0].splitlines()]
    assert [line["did"].split()[0] for line in lines] == ["stage", "canary", "promote", "rollback"]
    assert [(line["from"], line["to"]) for line in lines[2:]] == [(1, 2), (2, 1)]
    assert {line["outcome"] for line in lines} == {"done"}


@pytest.mark.slow
@pytest.mark.usefixtures("story")
def test_what_was_backed_up_is_restored_whole(project_root: Path, site: Site) -> None:
    site.run(boxes(project_root, "backup")[""])
    before = (site.folder / CONFIG).read_text()
    damaged = site.folder / "models" / "fracture" / "1" / "saved_model.pb"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:1000])
    (site.folder / CONFIG).write_text("broken by hand")
    printed = site.run(boxes(project_root, "restore")[""])
    assert printed.count("verified") == 2
    assert "changed" not in printed
    assert damaged.read_bytes() == whole
    assert (site.folder / CONFIG).read_text() == before


def test_every_metric_of_the_server_is_explained_and_no_other(project_root: Path, site: Site) -> None:
    url = f"http://127.0.0.1:{site.server.rest_port}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        shown = set(re.findall(r"^# TYPE (\S+) (\w+)$", page.read().decode(), flags=re.MULTILINE))
    explained = set(re.findall(r"^\| `(:tensorflow:[\w:]+)` \| (\w+)", text(project_root), flags=re.MULTILINE))
    assert explained == shown


def test_every_alert_is_explained_and_no_other(project_root: Path) -> None:
    section = text(project_root).partition("### The alerts")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE) == [rule["alert"] for rule in alerts(project_root)]


def test_the_lockout_is_told_as_it_is(project_root: Path) -> None:
    told = f"After {ATTEMPTS} wrong passwords an address is locked out for {LOCKED_FOR / 60:.0f} minutes"
    assert told in text(project_root)
