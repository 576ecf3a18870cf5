"""Novelty: 1.0 just above the 99th percentile of calibration, far above it for what was never seen."""

from __future__ import annotations

import numpy as np
import pytest

from training.novelty import fit_novelty


def _features(count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(5, 40))
    return (rng.normal(size=(count, 5)) @ mixing + rng.normal(0, 0.1, (count, 40))).astype(np.float32)


def test_less_than_one_percent_of_calibration_lies_above_one() -> None:
    calibration = _features(1000, 2)
    score = fit_novelty(_features(800, 1), calibration, components=5).score(calibration)
    assert np.sum(score > 1) == 4, "the 996th of 1,000 is the upper 95 % bound of the 99th percentile"


def test_the_limit_lies_midway_between_two_pictures() -> None:
    calibration = _features(1000, 2)
    score = np.sort(fit_novelty(_features(800, 1), calibration, components=5).score(calibration))
    assert 1 - score[995] == pytest.approx(score[996] - 1, abs=1e-6)
    assert score[996] - score[995] > 1e-5, "or the drawn pictures prove nothing"


def test_of_unseen_pictures_of_the_same_kind_one_in_a_hundred_at_most_is_called_new() -> None:
    rates = []
    for seed in range(20):
        fitted = fit_novelty(_features(800, 1), _features(500, 100 + seed), components=5)
        rates.append(float(np.mean(fitted.score(_features(4000, 200 + seed)) > 1)))
    assert np.mean(np.array(rates) <= 0.01) >= 0.85


def test_a_shift_along_the_data_and_off_it_are_both_novel() -> None:
    fitted = fit_novelty(_features(800, 1), _features(400, 2), components=5)
    seen = _features(50, 3)
    along = seen * 6
    off = seen + np.float32(3.0) * np.resize([1, -1], 40).astype(np.float32)
    assert np.median(fitted.score(seen)) < 1
    assert np.min(fitted.score(off)) > 1
    assert np.median(fitted.score(along)) > 1.5


def test_fewer_pictures_than_components_still_fit() -> None:
    fitted = fit_novelty(_features(10, 1), _features(10, 2))
    assert np.isfinite(fitted.score(_features(3, 3))).all()
