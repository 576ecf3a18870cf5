"""Figures of a two-class reader, each with the number of cases behind it and a 95 % interval.

Labels are 0 (no fracture) and 1 (fracture); scores and probabilities rise with suspicion. Intervals of ranking figures
come from a bootstrap over groups (a group is a patient, or what stands for one), those of proportions from Wilson.
An undefined figure (one class only, no cases) has the value NaN and the interval 0..1: nothing is known of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, classification_report, roc_auc_score

Labels: TypeAlias = NDArray[np.integer]
Scores: TypeAlias = NDArray[np.floating]
Groups: TypeAlias = NDArray[np.generic]
Floats: TypeAlias = NDArray[np.float64]

ROUNDS: Final = 2000
CLEARANCE: Final = 0.01
"""Share of normals, and of fractures, that a threshold may give up to lie clear of any picture's probability."""
_CHUNK: Final = 200
_Z: Final = 1.959963984540054


@dataclass(frozen=True)
class Metric:
    """One figure with the number of cases behind it and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"undefined (n {self.n})"
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f}, n {self.n})"


@dataclass(frozen=True)
class Rates:
    """What a reader does at one threshold: the four counts, and the three proportions with Wilson intervals."""

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    sensitivity: Metric
    specificity: Metric
    accuracy: Metric

    @property
    def confusion(self) -> list[list[int]]:
        """Rows are the truth (normal, fractured), columns what was said, as scikit-learn lays it out."""
        return [[self.true_negatives, self.false_positives], [self.false_negatives, self.true_positives]]


def undefined(n: int) -> Metric:
    """Return the figure of which nothing is known: NaN with the interval 0..1."""
    return Metric(math.nan, 0.0, 1.0, n)


def wilson(k: int, n: int) -> Metric:
    """Return the proportion ``k / n`` with Wilson's 95 % score interval (Wilson 1927); undefined when ``n`` is 0.

    Raises ``ValueError`` unless ``0 <= k <= n``.
    """
    if not 0 <= k <= n:
        raise ValueError(f"A proportion needs 0 <= k <= n, not {k} of {n}.")
    if n == 0:
        return undefined(0)
    share, z2 = k / n, _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At the ends the interval touches 0 or 1 exactly; rounding must not take it past the value.
    return Metric(share, 0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half, n)


def group_weights(groups: Groups, rounds: int = ROUNDS, seed: int = 0) -> Iterator[Floats]:
    """Yield bootstrap weights, float64 [at most 200, N]: how often each case's group was drawn in each round.

    Groups are drawn whole, as many as there are, with replacement; the same seed gives the same draws.
    """
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1 if member.size else 0
    random = np.random.default_rng(seed)
    for start in range(0, rounds if count else 0, _CHUNK):
        size = min(_CHUNK, rounds - start)
        draws = random.multinomial(count, np.full(count, 1.0 / count), size=size)
        yield draws[:, member].astype(np.float64)


def bootstrap(
    statistic: Callable[[Floats], Floats], value: float, groups: Groups, *, n: int, rounds: int = ROUNDS, seed: int = 0
) -> Metric:
    """Return ``value`` with the percentile interval of ``statistic``, which maps weights [R, N] to figures [R].

    Rounds in which the figure is undefined (NaN) are left out. The interval is widened to hold the value itself, which
    figures biased under resampling (ECE) may otherwise miss.
    """
    if math.isnan(value):
        return undefined(n)
    figures = np.concatenate([statistic(weights) for weights in group_weights(groups, rounds, seed)])
    figures = figures[np.isfinite(figures)]
    if not figures.size:
        return undefined(n)
    low, high = np.percentile(figures, (2.5, 97.5))
    return Metric(value, min(float(low), value), max(float(high), value), n)


def mean(values: Scores, groups: Groups, *, rounds: int = ROUNDS, seed: int = 0) -> Metric:
    """Return the mean of ``values`` [N] with a bootstrap interval over groups."""
    if not len(values):
        return undefined(0)
    column = np.asarray(values, dtype=np.float64)
    return bootstrap(
        lambda weights: (weights @ column) / weights.sum(axis=1),
        float(column.mean()),
        groups,
        n=len(column),
        rounds=rounds,
        seed=seed,
    )


def _by_threshold(labels: Labels, scores: Scores) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Return a function from weights [R, N] to those of positives and of negatives at each distinct score, falling."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ranked = np.asarray(scores, dtype=np.float64)[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    positive = (np.asarray(labels)[order] == 1).astype(np.float64)

    def split(weights: Floats) -> tuple[Floats, Floats]:
        drawn = weights[:, order]
        total = np.add.reduceat(drawn, starts, axis=1)
        positives = np.add.reduceat(drawn * positive, starts, axis=1)
        return positives, total - positives

    return split


def one_class(labels: Labels) -> bool:
    """Return whether fractured or normal cases are missing."""
    return not (np.any(labels == 1) and np.any(labels == 0))


def auc(labels: Labels, scores: Scores, groups: Groups, *, rounds: int = ROUNDS, seed: int = 0) -> Metric:
    """Return the area under the ROC curve with a bootstrap interval over groups; undefined with one class only."""
    if one_class(labels):
        return undefined(len(labels))
    split = _by_threshold(labels, scores)

    def statistic(weights: Floats) -> Floats:
        positives, negatives = split(weights)
        below = negatives.sum(axis=1, keepdims=True) - np.cumsum(negatives, axis=1)
        wins = (positives * (below + negatives / 2)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(wins / (positives.sum(axis=1) * negatives.sum(axis=1)))

    value = float(roc_auc_score(labels, scores))
    return bootstrap(statistic, value, groups, n=len(labels), rounds=rounds, seed=seed)


def average_precision(labels: Labels, scores: Scores, groups: Groups, *, rounds: int = ROUNDS, seed: int = 0) -> Metric:
    """Return the average precision (scikit-learn's, without interpolation) with a bootstrap interval over groups."""
    if one_class(labels):
        return undefined(len(labels))
    split = _by_threshold(labels, scores)

    def statistic(weights: Floats) -> Floats:
        positives, negatives = split(weights)
        found = np.cumsum(positives, axis=1)
        said = found + np.cumsum(negatives, axis=1)
        precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((positives * precision).sum(axis=1) / found[:, -1])

    value = float(average_precision_score(labels, scores))
    return bootstrap(statistic, value, groups, n=len(labels), rounds=rounds, seed=seed)


def rates(labels: Labels, probabilities: Scores, threshold: float) -> Rates:
    """Return the counts and proportions when every case with ``probability >= threshold`` is called fractured."""
    said, truth = np.asarray(probabilities) >= threshold, np.asarray(labels) == 1
    tp, fp = int(np.sum(said & truth)), int(np.sum(said & ~truth))
    fn, tn = int(np.sum(~said & truth)), int(np.sum(~said & ~truth))
    return Rates(
        threshold=float(threshold),
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
        sensitivity=wilson(tp, tp + fn),
        specificity=wilson(tn, tn + fp),
        accuracy=wilson(tp + tn, len(truth)),
    )


def predictive_values(sensitivity: Metric, specificity: Metric, prevalence: float) -> tuple[Metric, Metric]:
    """Return the positive and the negative predictive value at a ``prevalence`` in 0..1, by Bayes' rule.

    The intervals join the ends of the two intervals given, so they are wider than 95 % (conservative).
    """

    def positive(se: float, sp: float) -> float:
        called = se * prevalence + (1 - sp) * (1 - prevalence)
        return se * prevalence / called if called > 0 else math.nan

    def negative(se: float, sp: float) -> float:
        called = sp * (1 - prevalence) + (1 - se) * prevalence
        return sp * (1 - prevalence) / called if called > 0 else math.nan

    n = sensitivity.n + specificity.n

    def joined(rule: Callable[[float, float], float]) -> Metric:
        value = rule(sensitivity.value, specificity.value)
        low, high = rule(sensitivity.low, specificity.low), rule(sensitivity.high, specificity.high)
        if math.isnan(value):
            return undefined(n)
        return Metric(value, 0.0 if math.isnan(low) else low, 1.0 if math.isnan(high) else high, n)

    return joined(positive), joined(negative)


def choose_thresholds(
    labels: Labels, probabilities: Scores, *, sensitivity: float = 0.95, specificity: float = 0.95
) -> tuple[float, float]:
    """Return (suspicion, fracture): the highest threshold of that sensitivity, the lowest of that specificity.

    Each gives up as much as one in a hundred of the other class to stand clear of any picture, in the middle of the
    widest gap between two probabilities: a last digit, or another number format, shall change few findings. When a
    good model meets both at once and they come out crossed they are swapped: suspicion <= fracture, and each then
    still keeps its promise. Raises ``ValueError`` with one class only.
    """
    if one_class(labels):
        raise ValueError("Thresholds need both fractured and normal cases.")
    column = np.asarray(probabilities, dtype=np.float64)
    positives, negatives = np.sort(column[labels == 1]), np.sort(column[labels == 0])
    # The small slack keeps 0.95 × 20 at 19, which binary fractions would otherwise round up.
    kept = math.ceil(sensitivity * len(positives) - 1e-9)
    lowest_found = positives[len(positives) - kept]
    spared = math.ceil(specificity * len(negatives) - 1e-9)
    highest_spared = negatives[spared - 1]
    suspicion = -_clear(-lowest_found, -column, -negatives, 0.0)
    # Normals saturated at 1.0 leave no room below; the threshold must lie above them in float32 too.
    saturated = float(np.nextafter(np.float32(1), np.float32(2)))
    fracture = saturated if highest_spared == 1 else _clear(highest_spared, column, positives, 1.0)
    return float(min(suspicion, fracture)), float(max(suspicion, fracture))


def _clear(start: float, scores: NDArray[np.float64], given_up: NDArray[np.float64], end: float) -> float:
    """Return the middle of the widest gap between ``scores`` from ``start`` up to ``end``, or ``start`` without one.

    No more than ``CLEARANCE`` of ``given_up`` may lie between ``start`` and the gap.
    """
    steps = np.unique(np.r_[start, scores[scores > start], end])
    if len(steps) == 1:
        return start
    price = np.array([np.sum((given_up > start) & (given_up <= step)) for step in steps[:-1]])
    widths = np.where(price <= math.floor(CLEARANCE * len(given_up)), np.diff(steps), 0)
    widest = int(np.argmax(widths))
    return float(steps[widest : widest + 2].mean())


def seed_report(labels: Labels, probabilities: Scores, threshold: float = 0.5) -> Mapping[str, Mapping[str, float]]:
    """Return scikit-learn's classification report of the two classes at ``threshold``, rows by name.

    The row ``accuracy`` has it as its f1-score, as the printed report does.
    """
    said = (np.asarray(probabilities) >= threshold).astype(int)
    names = ["not fractured", "fractured"]
    report = classification_report(labels, said, labels=[0, 1], target_names=names, output_dict=True, zero_division=0.0)
    accuracy = {"f1-score": float(report["accuracy"]), "support": float(len(said))}
    return {name: accuracy if name == "accuracy" else row for name, row in report.items()}
