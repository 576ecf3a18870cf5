"""Counts of fractured by probability, as the model card carries them."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibration import fractured_by_probability

THRESHOLDS = (0.1, 0.4)


def _cases(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that are calibrated by construction."""
    rng = np.random.default_rng(0)
    probability = rng.beta(0.5, 2, count)
    return (rng.random(count) < probability).astype(np.int64), probability


def test_bins_join_from_zero_to_one_and_hold_every_case_once() -> None:
    labels, probability = _cases()
    bins = fractured_by_probability(labels, probability, THRESHOLDS)
    assert [low for low, _, _ in bins] == [0.0, *(high for _, high, _ in bins[:-1])]
    assert bins[-1][1] == 1.0
    assert sum(share.n for _, _, share in bins) == len(labels)
    assert sum(round(share.value * share.n) for _, _, share in bins) == labels.sum()


def test_no_bin_crosses_a_threshold_or_is_small_without_need() -> None:
    labels, probability = _cases()
    bins = fractured_by_probability(labels, probability, THRESHOLDS, least=40, most=4)
    edges = {low for low, _, _ in bins}
    assert set(THRESHOLDS) <= edges
    assert all(share.n >= 38 for _, _, share in bins)
    assert len(bins) > 3


def test_most_intervals_hold_the_probability_of_their_bin() -> None:
    labels, probability = _cases(6000)
    held = []
    for low, high, share in fractured_by_probability(labels, probability, THRESHOLDS):
        within = probability[(probability >= low) & (probability < high)]
        held.append(share.low <= within.mean() <= share.high)
    assert np.mean(held) >= 0.75


@pytest.mark.parametrize("probability", [[0.0, 1.0], [0.1, 0.4], [0.2, 0.2]])
def test_edges_belong_to_the_bin_above_and_empty_bins_are_left_out(probability: list[float]) -> None:
    bins = fractured_by_probability(np.array([0, 1]), np.array(probability), THRESHOLDS)
    assert sum(share.n for _, _, share in bins) == 2
    assert all(any(low <= value < high or value == high == 1 for value in probability) for low, high, _ in bins)
