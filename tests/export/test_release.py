"""A release: a trained run becomes a version that carries its calibration, its figures and its golden cases."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from export import contract
from export.golden import GOLDEN
from export.release import Report, release_weights
from export.versions import versions
from radiograph.phantom_dataset import write_dataset
from training.crossval import RESULT
from training.metrics import Metric
from training.model import ModelConfig
from training.recipe import Recipe, Stage
from training.run import load_splits, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty phantoms in train, val and test."""
    return write_dataset(tmp_path_factory.mktemp("data"), 40, seed=5).by_manifest


@pytest.fixture(scope="module")
def released(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version that one epoch at 64 px makes, with everything reported."""
    work = tmp_path_factory.mktemp("work")
    recipe = Recipe(
        name="tiny",
        batch=4,
        model=ModelConfig(weights="none", input_size=64, width=16, dense=(8,)),
        stages=(Stage(1, 1e-3),),
    )
    weights = train(recipe, load_splits([data], recipe, work / "cache"), work / "run", Console(quiet=True))
    outside = work / "outside"
    outside.mkdir()
    (outside / "no picture.txt").write_text("neither a radiograph nor a picture")
    folds = work / RESULT
    metrics = {"auc": asdict(Metric(0.9, 0.8, 0.95, 30))}
    folds.write_text(json.dumps({"source": "small", "count": 5, "metrics": metrics}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        folder, evaluations = release_weights(weights, [data], work / "versions", report=Report([data], outside, folds))
    assert [evaluation.split for evaluation in evaluations] == ["test"]
    return folder


def test_the_version_is_published_under_the_first_number(released: Path) -> None:
    assert versions(released.parent) == [1]


def test_the_card_has_test_figures_with_their_n(released: Path, data: Path) -> None:
    card = contract.read_card(released)
    tested = card.metrics[f"{data.name}/test/auc"]
    assert tested.n == sum(",test," in line for line in (data / "manifest.csv").read_text().splitlines())
    assert tested.low <= tested.value <= tested.high


def test_the_card_has_what_lies_outside_and_the_cross_validation(released: Path, data: Path) -> None:
    card = contract.read_card(released)
    assert card.metrics[f"{data.name}/test/flagged_of_outside"].value == 1.0
    assert card.metrics["small/5-fold/auc"] == contract.Metric(0.9, 0.8, 0.95, 30)


def test_the_card_counts_fractures_by_probability(released: Path, data: Path) -> None:
    card = contract.read_card(released)
    assert sum(counted.fractured.n for counted in card.calibration) == card.metrics[f"{data.name}/test/auc"].n
    assert card.calibration[0].low == 0.0


def test_golden_cases_and_warm_up_come_with_the_version(released: Path) -> None:
    assert (released / GOLDEN).is_file()
    assert (released / contract.WARMUP_PATH).is_file()
