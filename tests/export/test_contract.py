"""The model card: written, read back equal, and refused where it is not one of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.contract import CARD_PATH, CalibrationBin, CardError, DataSource, Metric, ModelCard, read_card
from export.versions import newest

CARD = ModelCard(
    name="fracture",
    backbone="efficientnet-lite0",
    input_size=384,
    heatmap_size=48,
    preprocessing="letterbox",
    thresholds=(0.1, 0.6),
    temperature=1.2,
    bias=-0.3,
    precision="float32",
    git="abc",
    created="2026-01-01T00:00:00+00:00",
    sources=(DataSource("fracatlas", "CC BY 4.0", 10, "0" * 64),),
    metrics={"fracatlas/test/auc": Metric(0.9, 0.8, 0.95, 100)},
    recipe={"seed": 7},
    intended_use="research",
    limits=("not a medical device",),
    calibration=(
        CalibrationBin(0.0, 0.1, Metric(0.02, 0.01, 0.06, 120)),
        CalibrationBin(0.1, 1.0, Metric(0.5, 0.4, 0.6, 80)),
    ),
)


def test_a_card_comes_back_equal() -> None:
    assert ModelCard.from_json(CARD.to_json()) == CARD


def test_a_card_from_before_the_counts_has_none() -> None:
    older = json.loads(CARD.to_json())
    del older["calibration"]
    assert ModelCard.from_json(json.dumps(older)).calibration == ()


@pytest.mark.parametrize(("probability", "place"), [(0.0, 0), (0.0999, 0), (0.1, 1), (1.0, 1)])
def test_every_probability_lies_in_one_bin(probability: float, place: int) -> None:
    assert [entry.holds(probability) for entry in CARD.calibration] == [place == 0, place == 1]


def test_a_card_is_read_from_its_place_in_a_version(tmp_path: Path) -> None:
    (tmp_path / CARD_PATH).parent.mkdir()
    (tmp_path / CARD_PATH).write_text(CARD.to_json())
    assert read_card(tmp_path) == CARD


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({**json.loads(CARD.to_json()), "colour": 1})])
def test_other_texts_are_no_cards(text: str) -> None:
    with pytest.raises(CardError):
        ModelCard.from_json(text)


def test_a_version_without_a_card_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="no readable model card"):
        read_card(tmp_path)


def test_the_shipped_card_holds_its_figures_with_n_and_interval(project_root: Path) -> None:
    card = read_card(newest(project_root / "models" / "fracture"))
    auc = card.metrics["fracatlas/test/auc"]
    assert auc.n == 589
    assert 0.8 <= auc.value <= 1
    assert auc.low < auc.value < auc.high
    assert card.thresholds[0] <= card.thresholds[1]
    assert {source.name for source in card.sources} >= {"fracatlas"}
