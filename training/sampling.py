"""Which pictures an epoch shows, and in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.datasets import PreparedCases
from training.recipe import Recipe, Sampling


def epoch_order(train: PreparedCases, recipe: Recipe, epoch: int) -> NDArray[np.int64]:
    """Return the rows that epoch ``epoch`` shows, int64 [steps, batch]: the same for the same recipe and epoch."""
    rng = np.random.default_rng([recipe.seed, epoch])
    rows: list[NDArray[np.int64]] = []
    sources = np.array([case.source for case in train.cases])
    for source in dict.fromkeys(sources.tolist()):
        sampling = recipe.sampling.get(source, Sampling())
        for label, times in ((1, sampling.fractured), (0, sampling.normals)):
            rows.extend(_repeated(np.flatnonzero((sources == source) & (train.labels == label)), times, rng))
    order = rng.permutation(np.concatenate(rows))
    steps = max(1, len(order) // recipe.batch)
    return np.resize(order, steps * recipe.batch).reshape(steps, recipe.batch).astype(np.int64)


def _repeated(rows: NDArray[np.int64], times: float, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    whole, part = divmod(times, 1.0)
    # no draw for a whole number: it draws nothing by its meaning, and must not move the draws after it
    drawn = [rng.choice(rows, round(part * len(rows)), replace=False)] if part else []
    return [np.tile(rows, int(whole)), *drawn]
