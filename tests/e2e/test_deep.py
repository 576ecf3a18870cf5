"""The seeds' architecture, ResNet152V2, goes the whole road too: few steps from random weights, small pictures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.contract import FINDINGS, read_card
from radiograph import prepare, read
from radiograph.phantom_dataset import write_dataset
from serving.client import FractureClient
from serving.launch import embedded_server
from training.recipe import RECIPES, load_recipe
from training.weights import recipe_of

SIDE = 64


def shortened(name: str) -> str:
    """The recipe with pictures, batches and epochs that a test has time for, and its first stage alone: the frozen."""
    before, first, *_ = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").split("[[stages]]")
    text = f"{before}[[stages]]{first}"
    for entry, value in (("batch", 4), ("input_size", SIDE), ("epochs", 1)):
        text, found = re.subn(rf"^{entry} = \d+$", f"{entry} = {value}", text, flags=re.MULTILINE)
        assert found == 1, entry
    return text


def run(*arguments: object, cwd: Path) -> None:
    command = [sys.executable, "-m", "osteo", *map(str, arguments)]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def trained(name: str, work: Path, project_root: Path) -> tuple[Path, Path]:
    """The folder of a finished run of the recipe from random weights, and the data it trained on."""
    data = write_dataset(work / "data", 12, seed=1, size=(96, 120)).by_manifest
    recipe = work / f"{name}.toml"
    recipe.write_text(shortened(name), encoding="utf-8")
    options = ("--config", recipe, "--data", data, "--run", work / "run", "--weights", "none", "--no-tracking")
    run("train", *options, cwd=project_root)
    return work / "run", data


def test_both_recipes_of_the_seeds_ask_for_their_architecture() -> None:
    for name in ("resnet152v2", "seeds"):
        asked = load_recipe(Path(name)).model
        assert (asked.backbone, asked.weights) == ("resnet152v2", "imagenet")
        assert (asked.dense, asked.dropout) == ((256, 128), 0.5)
        assert load_recipe(Path(name)).stages[0].first_trainable_block is None


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_resnet152v2_trains_exports_and_serves(tmp_path: Path, project_root: Path) -> None:
    folder, data = trained("resnet152v2", tmp_path, project_root)
    base = tmp_path / "models"
    # comparing all formats of a network this large takes minutes; tests/export does it with a small one
    run("export", folder, "--data", data, "--base", base, "--precision", "bfloat16", cwd=project_root)
    card = read_card(base / "1")
    shape = card.recipe["model"]
    assert (card.backbone, shape["dense"], shape["dropout"]) == ("resnet152v2", [256, 128], 0.5)
    picture = next((data / "images").iterdir())
    with embedded_server(base) as server, FractureClient(server.target) as client:
        (prediction,) = client.predict(prepare(read(picture), client.info().input_size).image[None])
    assert 0 < prediction.probability < 1
    assert prediction.finding == FINDINGS[int(np.digitize(prediction.probability, card.thresholds))]
    assert prediction.heatmap.shape == (SIDE // 8, SIDE // 8)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_recipe_of_the_seeds_trains_the_same_network(tmp_path: Path, project_root: Path) -> None:
    folder, _ = trained("seeds", tmp_path, project_root)
    recipe = recipe_of(folder / "best.npz")
    assert recipe.model == replace(load_recipe(Path("resnet152v2")).model, input_size=SIDE, weights="none")
    (epoch,) = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    assert 0 < epoch["loss"] < 10
