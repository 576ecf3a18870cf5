"""Whether a probability means what it says: Brier score, expected calibration error, and Platt's correction."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from training.metrics import (
    ROUNDS,
    Floats,
    Groups,
    Labels,
    Metric,
    Scores,
    bootstrap,
    mean,
    one_class,
    undefined,
    wilson,
)

_TEMPERATURES: Final = (0.05, 20.0)
_BIASES: Final = (-20.0, 20.0)


def brier(labels: Labels, probabilities: Scores, groups: Groups, *, rounds: int = ROUNDS, seed: int = 0) -> Metric:
    """Return the Brier score (mean squared error of the probability, 0 is perfect) with a bootstrap interval."""
    return mean((np.asarray(probabilities, dtype=np.float64) - labels) ** 2, groups, rounds=rounds, seed=seed)


def calibration_bins(probabilities: Scores, bins: int = 15) -> NDArray[np.intp]:
    """Return the bin of each case, [N] in 0..bins-1, for bins of equal mass; equal probabilities share a bin."""
    column = np.asarray(probabilities, dtype=np.float64)
    edges = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, column, side="right"), dtype=np.intp)


def ece(
    labels: Labels, probabilities: Scores, groups: Groups, *, bins: int = 15, rounds: int = ROUNDS, seed: int = 0
) -> Metric:
    """Return the expected calibration error over bins of equal mass, 0..1, with a bootstrap interval over groups."""
    if not len(labels):
        return undefined(0)
    member = calibration_bins(probabilities, bins)
    gaps = np.zeros((len(member), bins))
    gaps[np.arange(len(member)), member] = np.asarray(probabilities, dtype=np.float64) - labels

    def statistic(weights: Floats) -> Floats:
        return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))

    value = float(np.abs(gaps.sum(axis=0)).sum() / len(member))
    return bootstrap(statistic, value, groups, n=len(member), rounds=rounds, seed=seed)


def fractured_by_probability(
    labels: Labels, probabilities: Scores, thresholds: tuple[float, float], *, least: int = 40, most: int = 4
) -> list[tuple[float, float, Metric]]:
    """Return (low, high, share of fractured with Wilson's interval) for bins of probability from 0 to 1.

    Bins never cross a threshold, so that each belongs to one finding; between thresholds there are as many of equal
    mass as leave ``least`` cases in each, at least one and at most ``most``. A bin without cases is left out. Meant for
    cases that neither trained nor calibrated the model.
    """
    column, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    edges = [0.0]
    for low, high in zip((0.0, *thresholds), (*thresholds, np.nextafter(1.0, 2.0)), strict=True):
        within = column[(column >= low) & (column < high)]
        parts = max(1, min(most, len(within) // least))
        cuts = np.quantile(within, np.linspace(0, 1, parts + 1)[1:-1]) if parts > 1 else np.empty(0)
        edges += [cut for cut in np.unique(cuts).tolist() if low < cut < high] + [min(float(high), 1.0)]
    member = np.searchsorted(edges[1:-1], column, side="right")
    counted = [truth[member == place] for place in range(len(edges) - 1)]
    return [
        (low, high, wilson(int(cases.sum()), len(cases)))
        for low, high, cases in zip(edges[:-1], edges[1:], counted, strict=True)
        if len(cases)
    ]


def calibrated(logits: Scores, temperature: float, bias: float) -> Floats:
    """Return ``sigmoid(logit / temperature + bias)``, float64 [N] in 0..1."""
    return np.asarray(expit(np.asarray(logits, dtype=np.float64) / temperature + bias))


def fit_temperature(logits: Scores, labels: Labels) -> tuple[float, float]:
    """Return (temperature, bias) for ``calibrated`` with the least log-loss on these cases (Platt 1999).

    Fit on validation data. The temperature stays in 0.05..20 and the bias in -20..20, so that classes which separate
    wholly, or logits that say nothing, still give finite numbers. Raises ``ValueError`` with one class only.
    """
    if one_class(labels):
        raise ValueError("Calibration needs both fractured and normal cases.")
    column, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slope, bias = parameters
        shifted = slope * column + bias
        error = expit(shifted) - truth
        value = float(np.mean(np.logaddexp(0.0, shifted) - truth * shifted))
        return value, np.array([np.mean(error * column), np.mean(error)])

    slopes = (1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0])
    options = {"ftol": 1e-14, "gtol": 1e-9}
    fit = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[slopes, _BIASES], method="L-BFGS-B", options=options)
    return float(1 / fit.x[0]), float(fit.x[1])
