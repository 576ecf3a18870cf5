"""Learning rates, and when a stage has learned what it can: plain functions of the history, so a resumed run agrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from training.recipe import Stage

_WARM_UP_STEPS: Final = 50
_COSINE_FLOOR: Final = 0.02
_SMALLEST_GAIN: Final = 1e-4
"""A change of the watched figure below this is none (Keras' ``min_delta`` of ReduceLROnPlateau)."""


def learning_rate(stage: Stage, step: int, total: int, reduction: float = 1.0) -> float:
    """Return the rate for ``step`` of the ``total`` of its stage; ``reduction`` is what a plateau asks for."""
    warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
    if stage.schedule == "cosine":
        return (
            stage.learning_rate
            * warm
            * (_COSINE_FLOOR + (1 - _COSINE_FLOOR) * (1 + math.cos(math.pi * step / total)) / 2)
        )
    return max(stage.learning_rate * reduction, stage.minimum_rate) * warm


def plateau_reduction(stage: Stage, epochs: Sequence[dict[str, float]]) -> float:
    """Return the factor on the learning rate after ``epochs``, the stage's own so far: 1.0 while it gets better.

    Each ``plateau_patience`` epochs in a row without a gain in ``plateau_figure`` multiply it by ``plateau_factor``,
    as Keras' ReduceLROnPlateau does.
    """
    reduction = 1.0
    if stage.schedule != "plateau":
        return reduction
    sign = 1 if stage.plateau_figure == "val_loss" else -1
    best, waited = math.inf, 0
    for epoch in epochs:
        value = sign * epoch[stage.plateau_figure]
        waited += 1
        if value < best - _SMALLEST_GAIN:
            best, waited = value, 0
        elif waited >= stage.plateau_patience:
            reduction, waited = reduction * stage.plateau_factor, 0
    return reduction


def should_stop(patience: int, epochs: Sequence[dict[str, float]]) -> bool:
    """Tell whether the validation loss of a stage's ``epochs`` has not fallen for ``patience`` of them (0: never)."""
    losses = [epoch["val_loss"] for epoch in epochs]
    return patience > 0 and len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])
