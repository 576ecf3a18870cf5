"""How far a picture is from those the model was trained on: a class-free Gaussian over pooled features.

Follows the Mahalanobis score of Lee et al. 2018 (arXiv 1807.03888) without classes, in the space of the leading
principal components, plus what these leave over (Ndiour et al. 2020, arXiv 2012.04250).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Novelty:
    """The fitted Gaussian; ``score`` divided by ``unit`` is 1.0 just above the 99th percentile of calibration.

    ``mean``, ``scale`` float32 [F]; ``components`` [F,K] with columns divided by the standard deviation along them;
    ``basis`` [F,K] orthonormal; ``rest`` is the mean squared remainder outside the basis.
    """

    mean: Floats
    scale: Floats
    basis: Floats
    deviations: Floats
    rest: float
    unit: float

    def score(self, features: Floats) -> Floats:
        """Return the novelty of ``features`` float32 [N,F], float32 [N], >= 0."""
        return (_raw_score(self, features) / self.unit).astype(np.float32)


def fit_novelty(train: Floats, calibration: Floats, components: int = 48) -> Novelty:
    """Return the Gaussian of ``train`` [N,F], its unit set on ``calibration`` [M,F], pictures never trained on.

    The unit is the upper 95 % bound of their 99th percentile, not its estimate: of the next pictures of their kind too,
    no more than one in a hundred shall be called new.
    """
    mean = train.mean(0)
    scale = train.std(0) + 1e-3
    standard = (train - mean) / scale
    _, singular, rows = np.linalg.svd(standard, full_matrices=False)
    count = min(components, len(rows))
    basis = rows[:count].T.astype(np.float32)
    deviations = (singular[:count] / np.sqrt(len(train))).astype(np.float32)
    remainder = standard - standard @ basis @ basis.T
    fitted = Novelty(mean, scale, basis, deviations, float((remainder**2).sum(1).mean()), 1.0)
    unit = _bound_of_percentile(_raw_score(fitted, calibration))
    return Novelty(mean, scale, basis, deviations, fitted.rest, unit)


def _bound_of_percentile(scores: Floats) -> float:
    """Return what lies above the 99th percentile with a confidence of 95 % (Wilks 1941).

    It is midway from the order statistic that does to the next score above it, where there is one: no picture of
    calibration lies on the limit itself, where a last digit would decide.
    """
    ordered = np.sort(scores)
    rank = min(int(binom.ppf(0.95, len(ordered), 0.99)), len(ordered) - 1)
    return float(ordered[rank : rank + 2].mean())


def _raw_score(novelty: Novelty, features: Floats) -> Floats:
    standard = (features - novelty.mean) / novelty.scale
    along = standard @ novelty.basis
    remainder = (standard**2).sum(1) - (along**2).sum(1)
    within = ((along / novelty.deviations) ** 2).mean(1)
    score: Floats = np.sqrt((within + np.maximum(remainder, 0) / novelty.rest) / 2)
    return score
