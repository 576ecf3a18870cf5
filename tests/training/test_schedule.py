"""Schedules: cosine, plateau and early stopping, told by the history alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from training.recipe import Stage
from training.schedule import learning_rate, plateau_reduction, should_stop

PLATEAU = Stage(20, 1e-3, schedule="plateau", plateau_factor=0.5, plateau_patience=3, minimum_rate=1e-5)


def _epochs(figure: str, values: list[float]) -> list[dict[str, float]]:
    return [{figure: value} for value in values]


def test_a_cosine_starts_warm_and_ends_near_zero() -> None:
    rates = [learning_rate(Stage(1, 1e-3), step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-3 / 50)
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert np.argmax(rates) == 49
    assert rates[-1] == pytest.approx(0.02e-3, rel=0.01)


@pytest.mark.parametrize(
    ("losses", "reduction"),
    [
        ([], 1.0),
        ([0.9, 0.8, 0.7], 1.0),
        ([0.7, 0.8, 0.8], 1.0),
        ([0.7, 0.8, 0.8, 0.8], 0.5),
        ([0.7, 0.8, 0.8, 0.8, 0.8, 0.8], 0.5),
        ([0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], 0.25),
        ([0.7, 0.8, 0.8, 0.6, 0.7, 0.7], 1.0),
        ([0.7, 0.8, 0.8, 0.8, 0.6, 0.5], 0.5),
    ],
)
def test_a_plateau_cuts_the_rate_each_time_its_patience_is_over(losses: list[float], reduction: float) -> None:
    assert plateau_reduction(PLATEAU, _epochs("val_loss", losses)) == reduction


def test_a_plateau_of_accuracy_waits_for_a_higher_figure() -> None:
    stage = Stage(20, 1e-3, schedule="plateau", plateau_figure="val_accuracy", plateau_patience=2)
    assert plateau_reduction(stage, _epochs("val_accuracy", [0.5, 0.6, 0.7])) == 1.0
    assert plateau_reduction(stage, _epochs("val_accuracy", [0.7, 0.6, 0.7])) == 0.5


def test_other_schedules_know_no_plateau() -> None:
    assert plateau_reduction(Stage(20, 1e-3), _epochs("val_loss", [0.5] * 9)) == 1.0


def test_a_reduced_rate_keeps_to_its_minimum() -> None:
    assert learning_rate(PLATEAU, 100, 1000, 0.25) == pytest.approx(0.25e-3)
    assert learning_rate(PLATEAU, 100, 1000, 1e-6) == pytest.approx(1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_the_plateau_is_that_of_keras() -> None:
    losses = np.random.default_rng(3).uniform(0.4, 0.6, 40).round(2).tolist()
    theirs = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=3, min_lr=1e-5, verbose=0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3))
    theirs.set_model(model)
    theirs.on_train_begin()
    for epoch in range(len(losses)):
        theirs.on_epoch_end(epoch, {"val_loss": losses[epoch]})
        ours = learning_rate(PLATEAU, 100, 1000, plateau_reduction(PLATEAU, _epochs("val_loss", losses[: epoch + 1])))
        assert ours == pytest.approx(float(model.optimizer.learning_rate.numpy()), rel=1e-4)


@pytest.mark.parametrize(
    ("patience", "losses", "stops"),
    [
        (0, [0.5, 0.6, 0.7, 0.8], False),
        (2, [], False),
        (2, [0.5, 0.6], False),
        (2, [0.5, 0.6, 0.7], True),
        (2, [0.5, 0.6, 0.4], False),
        (2, [0.5, 0.5, 0.5], True),
    ],
)
def test_a_stage_stops_when_its_loss_has_not_fallen(patience: int, losses: list[float], stops: bool) -> None:
    assert should_stop(patience, _epochs("val_loss", losses)) is stops
