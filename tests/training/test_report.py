"""An evaluation says the same to people and to machines, and leaves nothing undefined unsaid."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from radiograph.prepare import Box
from radiograph.regions import RegionRule
from training.baselines import Split, metadata_baselines, metadata_of, named_baseline, shortcut_auc
from training.report import Evaluation, Predictions, assess, compare, json_line, table
from training.targets import hold_against

RULE = RegionRule(threshold=0.2, extent=0.5)


def predictions(n: int = 120, seed: int = 0) -> Predictions:
    """A fair reader of two regions, the foot without fractures, whose maps point right half of the time."""
    random = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(int)
    region = np.where(np.arange(n) % 6 == 1, "foot", "hand")
    logit = random.normal(2.5 * label - 1.2, 1.0)
    heatmaps = np.zeros((n, 8, 8))
    heatmaps[np.arange(n), 2, np.arange(n) % 2] = 1
    boxes: list[list[Box]] = [[(0.0, 0.25, 0.125, 0.375)] if one else [] for one in label]
    return Predictions(
        image=np.array([f"{i}.png" for i in range(n)]),
        label=label,
        probability=1 / (1 + np.exp(-logit)),
        logit=logit,
        group=np.arange(n) // 2,
        region=region,
        view=np.full(n, "frontal"),
        hardware=np.zeros(n, int),
        split="test",
        heatmaps=heatmaps,
        boxes=boxes,
    )


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return assess("phantoms", predictions(), (0.3, 0.7), rule=RULE)


def test_every_figure_has_its_n_and_an_interval_around_it(evaluation: Evaluation) -> None:
    for name, metric in evaluation.metrics.items():
        assert metric.low <= metric.value <= metric.high, name
        assert metric.n > 0, name


def test_the_evaluation_holds_what_the_card_needs(evaluation: Evaluation) -> None:
    wanted = {"auc", "average_precision", "brier", "ece", "ece_uncalibrated", "pointing_game", "energy_in_box", "map50"}
    assert wanted <= set(evaluation.metrics)
    assert {f"sensitivity_at_{p}" for p in ("suspicion", "fracture")} <= set(evaluation.metrics)
    assert "ppv_at_fracture_prevalence_5%" in evaluation.metrics
    assert evaluation.card_metrics()["phantoms/test/auc"] == evaluation.metrics["auc"]


def test_localisation_is_measured_on_the_fractured_alone(evaluation: Evaluation) -> None:
    pointing = evaluation.metrics["pointing_game"]
    assert (pointing.value, pointing.n) == (0.5, 40)


def test_a_stratum_without_fractures_has_a_specificity_but_no_auc(evaluation: Evaluation) -> None:
    foot = evaluation.strata["region"]["foot"]
    assert math.isnan(foot["auc"].value)
    assert foot["sensitivity_at_suspicion"].n == 0
    assert foot["specificity_at_fracture"].n == 20


def test_without_maps_there_is_no_localisation() -> None:
    bare = replace(predictions(), heatmaps=None, boxes=None)
    assert "pointing_game" not in assess("phantoms", bare, (0.3, 0.7), rule=RULE).metrics


def test_the_json_is_one_line_that_reads_back_with_undefined_figures_as_null(evaluation: Evaluation) -> None:
    line = json_line(evaluation)
    assert "\n" not in line
    read = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read["metrics"]["auc"]["value"] == evaluation.metrics["auc"].value
    assert read["strata"]["region"]["foot"]["auc"]["value"] is None
    assert read["points"]["suspicion"]["threshold"] == 0.3
    assert read["images"] == 120


def test_several_evaluations_are_one_line_too(evaluation: Evaluation) -> None:
    assert len(json.loads(json_line([evaluation, evaluation]))) == 2


def test_the_table_for_people_names_figure_interval_and_n(evaluation: Evaluation) -> None:
    text = StringIO()
    Console(file=text, width=120).print(table(evaluation))
    printed = text.getvalue()
    metric = evaluation.metrics["average_precision"]
    assert f"{metric.low:.3f} to {metric.high:.3f}" in printed
    for words in ("phantoms · test · 120 images, 40 fractured", "by region", "undefined", "at suspicion"):
        assert words in printed


def test_two_models_are_compared_on_the_same_pictures() -> None:
    first, second = predictions(), replace(predictions(), probability=np.full(120, 0.5))
    found = compare(("new", "old"), first, second, (0.3, 0.7), (0.4, 0.6))
    assert found.auc.difference > 0.3
    assert found.auc.p < 0.001
    assert json.loads(json_line(found))["calls"]["fracture"]["only_first"] == found.calls["fracture"].only_first


def test_two_models_that_read_other_pictures_are_not_compared() -> None:
    other = replace(predictions(), image=np.array([f"x{i}.png" for i in range(120)]))
    with pytest.raises(ValueError, match="same pictures"):
        compare(("a", "b"), predictions(), other, (0.3, 0.7), (0.3, 0.7))


def test_metadata_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.tile(np.array([[0, 200]], np.uint8), (6, 4))).save(path)
    assert metadata_of([path]).tolist() == [[8, 6, path.stat().st_size, 100, 100]]


def split(n: int, seed: int, shortcut: float) -> Split:
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % 2).astype(int)
    features = random.normal(0, 1, (n, 5))
    features[:, 3] += shortcut * labels
    return Split(features, labels, np.arange(n) // 2)


def test_a_planted_brightness_shortcut_is_found_and_none_where_there_is_none() -> None:
    for metric in metadata_baselines(split(300, 0, 3), split(200, 1, 3)).values():
        assert metric.low > 0.9
    assert shortcut_auc(split(200, 2, 3)).low > 0.9
    assert shortcut_auc(split(200, 3, 0)).low < 0.5


def test_a_region_baseline_knows_names_it_never_saw() -> None:
    train = Split(np.array([["hand"], ["foot"]] * 20), np.array([1, 0] * 20), np.arange(40))
    test = Split(np.array([["hand"], ["foot"], ["hip"]] * 10), np.array([1, 0, 0] * 10), np.arange(30))
    assert named_baseline(train, test).value == 1


def test_a_baseline_of_one_class_is_undefined() -> None:
    alone = Split(np.zeros((4, 5)), np.zeros(4, int), np.arange(4))
    assert math.isnan(shortcut_auc(alone).value)
    assert math.isnan(named_baseline(alone, alone).value)


def test_metadata_are_read_once_and_again_when_the_file_has_changed(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.png", tmp_path / "cache"
    Image.fromarray(np.full((4, 4), 10, np.uint8)).save(path)
    first = metadata_of([path], cache)
    (store,) = cache.iterdir()
    np.save(store, first + 1)
    assert metadata_of([path], cache).tolist() == (first + 1).tolist()
    Image.fromarray(np.full((8, 4), 10, np.uint8)).save(path)
    assert metadata_of([path], cache)[0, :2].tolist() == [4, 8]


def test_the_classification_report_of_the_seeds_is_printed_with_its_accuracy(evaluation: Evaluation) -> None:
    text = StringIO()
    Console(file=text, width=120).print(table(evaluation))
    (accuracy,) = [line for line in text.getvalue().splitlines() if "│accuracy  " in line]
    assert f"{evaluation.seeds['accuracy']['f1-score']:.3f}" in accuracy
    assert "classification report at 0.5" in text.getvalue()


def test_targets_are_printed_and_in_the_line_of_json(evaluation: Evaluation) -> None:
    held = replace(evaluation, targets=hold_against("fracatlas", "test", evaluation.metrics, {}))
    text = StringIO()
    Console(file=text, width=140).print(table(held))
    assert "To reach" in text.getvalue()
    told = {row["key"]: row for row in json.loads(json_line(held))["targets"]}
    assert told["fracatlas/test/auc"]["value"] == evaluation.metrics["auc"].value
    assert told["bonedata/5-fold/auc"]["value"] is None
