"""A release: a trained run becomes a version that carries its calibration, its figures and its golden cases."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from export import contract
from export.fold import Compute
from export.golden import GOLDEN, SHORT_TOLERANCE, TOLERANCE, read_golden
from export.measure import load_version, measure
from export.release import ReleaseError, Report, release_weights
from export.versions import versions
from radiograph.phantom_dataset import write_dataset
from training.crossval import RESULT
from training.metrics import Metric
from training.model import ModelConfig, build_model
from training.recipe import Recipe, Stage
from training.run import load_splits, train
from training.weights import save_weights


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
        folder, evaluations = release_weights(
            [weights], [data], work / "versions", report=Report([data], outside, folds)
        )
    assert [evaluation.split for evaluation in evaluations] == ["test"]
    return folder


@pytest.fixture(scope="module")
def pair(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A version that serves the mean of two networks, and the digests of their weights."""
    work = tmp_path_factory.mktemp("pair")
    files = []
    for name, margin in (("one", 0.1), ("two", 0.05)):
        shape = ModelConfig(weights="none", input_size=64, width=16, dense=(8,), margin=margin)
        recipe = Recipe(name=name, model=shape)
        files.append(work / f"{name}.npz")
        save_weights(build_model(recipe.model), recipe, files[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        folder, _ = release_weights(files, [data], work / "versions")
    return folder, [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_a_version_of_two_networks_names_both(pair: tuple[Path, list[str]]) -> None:
    folder, digests = pair
    card = contract.read_card(folder)
    assert [card.weights_sha256, *(other.weights_sha256 for other in card.companions)] == digests
    assert [card.recipe["name"], *(other.recipe["name"] for other in card.companions)] == ["one", "two"]


def test_the_card_tells_what_none_of_the_networks_reads(pair: tuple[Path, list[str]], released: Path) -> None:
    told = "The outermost 5% of a picture are not read: a fracture there is missed."
    assert told in contract.read_card(pair[0]).limits
    assert not any("outermost" in limit for limit in contract.read_card(released).limits)


def test_a_version_of_two_networks_answers(pair: tuple[Path, list[str]]) -> None:
    folder, _ = pair
    card = contract.read_card(folder)
    answers = load_version(folder, card.temperature, card.bias)(np.zeros((2, 64, 64, 1), np.uint8))
    assert answers.probability.shape == (2,)
    assert np.isfinite(answers.novelty).all()


def test_weights_of_two_input_sizes_are_refused(data: Path, tmp_path: Path) -> None:
    files = []
    for size in (64, 96):
        recipe = Recipe(name=str(size), model=ModelConfig(weights="none", input_size=size, width=16, dense=(8,)))
        files.append(tmp_path / f"{size}.npz")
        save_weights(build_model(recipe.model), recipe, files[-1])
    with pytest.raises(ReleaseError, match="cannot be served as one model"):
        release_weights(files, [data], tmp_path / "versions")


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


def test_a_cross_validation_beside_the_card_is_held_against_what_should_be_reached(
    released: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data, tmp_path / "fracatlas")
    folds = tmp_path / RESULT
    metrics = {"auc": asdict(Metric(0.9, 0.8, 0.95, 30))}
    folds.write_text(json.dumps({"source": "bonedata", "count": 5, "metrics": metrics}))
    for given, reached in ((None, "not measured"), (folds, "floor")):
        (evaluation,) = measure(released, [tmp_path / "fracatlas"], "test", folds=given)
        assert [row.reached for row in evaluation.targets if row.key == "bonedata/5-fold/auc"] == [reached]


def test_the_card_counts_fractures_by_probability(released: Path, data: Path) -> None:
    card = contract.read_card(released)
    assert sum(counted.fractured.n for counted in card.calibration) == card.metrics[f"{data.name}/test/auc"].n
    assert card.calibration[0].low == 0.0


def test_golden_cases_and_warm_up_come_with_the_version(released: Path) -> None:
    assert (released / GOLDEN).is_file()
    assert (released / contract.WARMUP_PATH).is_file()


def test_golden_cases_of_a_version_in_short_numbers_may_be_further_off(
    released: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = released.parents[1] / "run" / "best.npz"
    short, _ = release_weights([weights], [data], tmp_path / "versions", compute=Compute("bfloat16", 8))
    assert contract.read_card(short).precision.startswith("bfloat16 from stride 8 on, ")
    assert read_golden((short / GOLDEN).read_bytes()).tolerance == SHORT_TOLERANCE
    assert read_golden((released / GOLDEN).read_bytes()).tolerance == TOLERANCE
