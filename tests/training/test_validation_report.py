"""Trained weights measured on validation, without an export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from osteo import app
from radiograph.phantom_dataset import write_dataset
from training.datasets import DataError, load, prepare_cases
from training.localisation import pointing_game
from training.model import LOGIT, MAP, build_model
from training.recipe import Recipe
from training.validate import outputs, validation_figures
from training.validation_report import report_on
from training.weights import load_weights, save_weights


def test_the_figures_are_those_of_the_val_split_and_say_their_n(
    tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "sets", 24, seed=5).by_manifest
    network = build_model(replace(tiny_recipe.model, weights="none"))
    save_weights(network, tiny_recipe, tmp_path / "run" / "best.npz")
    told = CliRunner().invoke(app, ["validate", str(tmp_path / "run"), "--data", str(data)], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    report = json.loads(told.stdout.splitlines()[-1])
    val = prepare_cases([case for case in load(data) if case.split == "val"], tiny_recipe.model.input_size)
    load_weights(network, tmp_path / "run" / "best.npz")  # they are kept in half precision
    said = outputs(network, val.images, mirrored=report["mirrored"])
    assert (report["images"], report["fractured"]) == (len(val.cases), int(val.labels.sum()))
    assert report["metrics"]["auc"]["value"] == pytest.approx(roc_auc_score(val.labels, said[LOGIT]))
    precision = average_precision_score(val.labels, said[LOGIT])
    assert report["metrics"]["average_precision"]["value"] == pytest.approx(precision)
    assert report["metrics"]["pointing_game"]["n"] == sum(1 for boxes in val.boxes if boxes)
    figures = validation_figures(said, val)
    assert figures["val_pointing"] == pointing_game(1 / (1 + np.exp(-said[MAP])), val.boxes).value
    assert "map50" in told.stdout


def test_data_without_a_val_split_is_refused(tiny_recipe: Recipe, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "sets", 12, seed=5).by_manifest
    rows = (data / "manifest.csv").read_text(encoding="utf-8")
    (data / "manifest.csv").write_text(rows.replace("val", "train"), encoding="utf-8")
    save_weights(build_model(tiny_recipe.model), tiny_recipe, tmp_path / "best.npz")
    with pytest.raises(DataError, match="val split"):
        report_on(tmp_path / "best.npz", [data], tmp_path / "cache")
