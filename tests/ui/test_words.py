"""The answer in words, from counts that the model card carries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export import contract
from export.versions import newest
from radiograph import Geometry, Radiograph
from serving.answer import Prediction
from training.metrics import wilson
from ui.reading import OUTSIDE_SCOPE, Reading
from ui.sources import Source
from ui.words import FINDING_SENTENCES, answer, count, meaning, operating_point, percent


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "under 0.1 %"),
        (0.0049, "0.5 %"),
        (0.085, "8.5 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.5, "50 %"),
        (0.843, "84 %"),
        (0.9949, "99 %"),
        (0.996, "99.6 %"),
        (1.0, "over 99.9 %"),
    ],
)
def test_probabilities_are_words(value: float, words: str) -> None:
    assert percent(value) == words


def _share(fractured: int, n: int) -> contract.Metric:
    metric = wilson(fractured, n)
    return contract.Metric(metric.value, metric.low, metric.high, metric.n)


@pytest.fixture(scope="module")
def card(project_root: Path) -> contract.ModelCard:
    """The shipped card with figures of its own; by its counts the test set has 90 fractured of 500."""
    shipped = contract.read_card(newest(project_root / "models" / "fracture"))
    bins = (
        contract.CalibrationBin(0.0, 0.06, _share(5, 300)),
        contract.CalibrationBin(0.06, 0.3, _share(24, 108)),
        contract.CalibrationBin(0.3, 0.36, _share(4, 12)),
        contract.CalibrationBin(0.36, 1.0, _share(57, 80)),
    )
    points = {
        "sensitivity_at_suspicion": contract.Metric(0.932, 0.866, 0.967, 103),
        "specificity_at_suspicion": contract.Metric(0.541, 0.497, 0.585, 486),
        "sensitivity_at_fracture": contract.Metric(0.660, 0.564, 0.744, 103),
        "specificity_at_fracture": contract.Metric(469 / 486, 0.945, 0.978, 486),
    }
    metrics = {f"fracatlas/test/{name}": metric for name, metric in points.items()}
    return replace(shipped, calibration=bins, metrics=metrics)


def _reading(finding: str, probability: float, novelty: float = 0.4, warnings: tuple[str, ...] = ()) -> Reading:
    pixels = np.zeros((40, 40), np.uint8)
    prediction = Prediction(probability, finding, 0.06, 0.36, np.zeros((4, 4), np.float32), novelty, "fracture", 1, 3.0)
    geometry = Geometry(40, 40, 64, 0, 0, 64, 64)
    return Reading(
        Source("a.png", "a.png"), Radiograph(pixels, 8, (40, 40), "PNG", warnings), geometry, prediction, 5.0
    )


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.2, "Of 100 such radiographs in the test set (probability between 6.0 % and 30 %), 22 were fractured"),
        (0.06, "between 6.0 % and 30 %"),
        (1.0, "(probability from 36 %), 71 were"),
        (0.33, "only 12 radiographs"),
        (0.0, "(probability below 6.0 %), 2 were fractured"),
    ],
)
def test_a_probability_means_what_became_of_such_test_radiographs(
    card: contract.ModelCard, probability: float, words: str
) -> None:
    assert words in str(meaning(probability, card))


def test_a_meaning_has_its_interval_its_count_and_the_share_of_the_test_set(card: contract.ModelCard) -> None:
    said = str(meaning(0.2, card))
    assert "95 % interval 15 to 31, from 108 radiographs" in said
    assert "Of the whole test set 18 of 100" in said


def test_a_card_without_counts_says_nothing(card: contract.ModelCard) -> None:
    assert meaning(0.2, replace(card, calibration=())) is None
    assert operating_point(contract.FRACTURE, replace(card, metrics={})) is None


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (contract.FRACTURE, "66 of 100 test radiographs with a fracture (n 103) and, by mistake, by 3 of 100 without"),
        (contract.SUSPICION, "it misses 7 of 100 test radiographs with a fracture (n 103), and 46 of 100 without"),
        (contract.NO_FRACTURE, "7 of 100 test radiographs with a fracture"),
    ],
)
def test_an_operating_point_says_what_it_finds_and_misses(card: contract.ModelCard, finding: str, words: str) -> None:
    assert words in str(operating_point(finding, card))


def test_an_answer_begins_with_the_finding_and_ends_with_the_warnings(card: contract.ModelCard) -> None:
    said = answer(_reading(contract.SUSPICION, 0.2, warnings=("Low resolution.",)), card)
    assert said[0] == FINDING_SENTENCES[contract.SUSPICION]
    assert said[1] == "The probability of a fracture is 20 %."
    assert said[-1] == "Low resolution."
    assert len(said) == 5


def test_outside_the_scope_no_finding_and_no_probability_is_said(card: contract.ModelCard) -> None:
    said = answer(_reading(contract.FRACTURE, 0.9, novelty=1.01, warnings=("Low resolution.",)), card)
    assert said == (OUTSIDE_SCOPE, "Low resolution.")


def test_nouns_agree_with_their_number() -> None:
    assert (count(1, "file"), count(0, "file"), count(3, "file")) == ("1 file", "0 files", "3 files")
