"""Fitting: two or more stages, an average of the weights, checkpoints that survive a kill at any moment."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from training import checkpoint
from training.checkpoint import Checkpoint
from training.datasets import PreparedCases
from training.feed import Feed
from training.kept import Head, Kept, KeptFeed, can_be_kept
from training.model import build_model
from training.progress import RunProgress
from training.recipe import Recipe, RecipeError, Stage, recipe_from_dict
from training.renew import renew
from training.sampling import epoch_order
from training.schedule import learning_rate, plateau_reduction, should_stop
from training.step import Optimizer, Step, Strategy, every_gpu, make_statistics_step, make_step, set_learning
from training.validate import Epoch, outputs, still_features, validation_figures
from training.weights import load_weights, save_weights

_STATISTICS_BATCHES: Final = 60
_STILL: Final = 0.75
"""Share of pooled features that may be the same for every picture before a run says that something is wrong."""
CHECKPOINT: Final = "checkpoint.npz"
WEIGHTS: Final = "best.npz"


class RunError(Exception):
    """A training run cannot start or go on; the message says why and what to do."""


def fit(
    recipe: Recipe,
    train: PreparedCases,
    val: PreparedCases,
    run: Path,
    *,
    console: Console | None = None,
    on_epoch: Callable[[list[Epoch]], None] | None = None,
    checkpoint_seconds: float = 90.0,
    strategy: Strategy | None = None,
    kept: Kept | None = None,
) -> list[Epoch]:
    """Train into the folder ``run`` and return its history, an entry an epoch; ``on_epoch`` gets it as it grows.

    Goes on from the run's checkpoint where there is one, with the pictures an undisturbed run would have seen. The
    weights with the best validation score so far lie in ``run/best.npz``. ``strategy`` (default: all GPUs) shares the
    work between devices; ``kept`` is what earlier runs upon the same body have seen already. Raises ``RunError`` where
    the folder holds a run of another recipe, ``CheckpointError`` where its state is damaged, ``WriteError`` where a
    state cannot be written; none loses what was there.
    """
    console = console or Console()
    keras.utils.set_random_seed(recipe.seed)
    saved = checkpoint.load(run / CHECKPOINT, say=console.print)
    if saved is not None and not _same_recipe(saved, recipe):
        raise RunError(f"{run} holds a run of another recipe. Choose another folder with --run, or remove that one.")
    strategy = strategy or every_gpu()
    if strategy.num_replicas_in_sync > 1:
        console.print(f"Sharing each batch of {recipe.batch} between {strategy.num_replicas_in_sync} devices.")
    with strategy.scope():
        network = _first_network(recipe) if saved is None else build_model(replace(recipe.model, weights="none"))
        if saved is None and recipe.renew_from_block is not None:
            renew(network, recipe, Feed(train, recipe), strategy)
    kept = kept or Kept(console)
    state = _State(recipe, network, train, val, run, console, on_epoch, checkpoint_seconds, strategy, kept)
    if saved is not None:
        state.restore(saved)
    if on_epoch is not None:
        on_epoch(list(state.history))
    for index, stage in enumerate(recipe.stages):
        if index >= state.stage:
            state.run_stage(index, stage, saved if saved is not None and saved.stage == index else None)
    return state.history


def _first_network(recipe: Recipe) -> keras.Model:
    if not recipe.start:
        return build_model(recipe.model)
    network = build_model(replace(recipe.model, weights="none"))
    load_weights(network, Path(recipe.start))
    return network


def _same_recipe(saved: Checkpoint, recipe: Recipe) -> bool:
    """Tell whether they agree; what an older version of the program did not write is at its default."""
    try:
        return recipe_from_dict(saved.recipe) == recipe_from_dict(json.loads(json.dumps(recipe.as_dict())))
    except RecipeError:
        return False


class _State:
    """One run in progress: the network, its average, and where it stands."""

    def __init__(
        self,
        recipe: Recipe,
        network: keras.Model,
        train: PreparedCases,
        val: PreparedCases,
        run: Path,
        console: Console,
        on_epoch: Callable[[list[Epoch]], None] | None,
        checkpoint_seconds: float,
        strategy: Strategy,
        kept: Kept,
    ) -> None:
        self.recipe, self.network, self.strategy, self.kept = recipe, network, strategy, kept
        self.train, self.val = train, val
        self.run, self.console, self.on_epoch = run, console, on_epoch
        self.checkpoint_seconds = checkpoint_seconds
        self.pictures: Feed | None = None
        self.steps_per_epoch = len(epoch_order(train, recipe, 0))
        self.average = [tf.Variable(weight.numpy(), trainable=False) for weight in network.weights]
        self.history: list[Epoch] = []
        self.stage = self.step = 0
        self.sums = np.zeros(5)  # of the epoch so far: picture loss, location loss, accuracy, steps, seconds
        balanced = len(train.labels) / (2 * np.maximum(np.bincount(train.labels, minlength=2), 1))
        self.class_weights = balanced if recipe.class_weight == "balanced" else np.ones(2)
        self.progress = RunProgress(console, sum(stage.epochs for stage in recipe.stages), self.steps_per_epoch)

    def restore(self, saved: Checkpoint) -> None:
        _assign(self.network.variables, saved.arrays["model"])
        _assign(self.average, saved.arrays["average"])
        self.history, self.stage, self.step = list(saved.history), saved.stage, saved.step
        if len(saved.sums) == len(self.sums):
            self.sums = np.array(saved.sums, float)
        self.console.print(f"Going on from step {self.step}, epoch {self.step // self.steps_per_epoch + 1}.")

    def run_stage(self, index: int, stage: Stage, saved: Checkpoint | None) -> None:
        self.stage = index
        set_learning(self.network, self.recipe, stage)
        with self.strategy.scope():
            optimizer = Optimizer(self.network, self.recipe, stage)
        if saved is not None and "optimizer" in saved.arrays:
            _assign(optimizer.variables, saved.arrays["optimizer"])
        begin = sum(s.epochs for s in self.recipe.stages[:index]) * self.steps_per_epoch
        total = stage.epochs * self.steps_per_epoch
        head = Head(self.network) if can_be_kept(self.recipe, stage) else None
        feed = self._feed(range(self.step // self.steps_per_epoch, (begin + total) // self.steps_per_epoch), head)
        train_step = make_step(
            self.network, self.average, optimizer, self.recipe, self.class_weights, self.strategy, head
        )
        while self.step - begin < total and not should_stop(self.recipe.patience, self._stage_history()):
            self._run_epoch(stage, optimizer, train_step, feed, begin, total)
        self.step = begin + total
        self.stage = index + 1
        self._save(None)

    def _feed(self, epochs: Sequence[int], head: Head | None) -> Feed | KeptFeed:
        if head is not None:
            return KeptFeed(self.train, self.recipe, self.network, self.kept, epochs)
        self.pictures = self.pictures or Feed(self.train, self.recipe)
        return self.pictures

    def _run_epoch(
        self, stage: Stage, optimizer: Optimizer, train_step: Step, feed: Feed | KeptFeed, begin: int, total: int
    ) -> None:
        epoch, done = divmod(self.step, self.steps_per_epoch)
        reduction = plateau_reduction(stage, self._stage_history())
        last = saved_at = time.monotonic()
        with self.progress.epoch(epoch, done) as advance:
            for images, masks, facts in feed.batches(epoch, done):
                rate = learning_rate(stage, self.step - begin, total, reduction)
                optimizer.set_rate(rate)
                momentum = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
                told = train_step(images, masks, facts, tf.constant(momentum, tf.float32))
                now = time.monotonic()
                self.sums += np.array([*told, 1.0, now - last], float)
                self.step, last = self.step + 1, now
                advance(self.sums[0] / self.sums[3])
                # not after the last step: a run killed while validating must validate that epoch again
                if self.step % self.steps_per_epoch and now - saved_at > self.checkpoint_seconds:
                    self._save(optimizer)
                    saved_at = time.monotonic()
        self._finish_epoch(epoch, rate, feed)
        self._save(optimizer)

    def _finish_epoch(self, epoch: int, rate: float, feed: Feed | KeptFeed) -> None:
        picture, location, correct, steps, seconds = self.sums
        self.sums = np.zeros_like(self.sums)
        raw = [variable.numpy() for variable in self.network.weights]
        _assign(self.network.weights, [variable.numpy() for variable in self.average])
        if isinstance(feed, KeptFeed):
            said = self.kept.outputs(self.network, self.recipe.model, self.val)
        else:
            self._refresh_statistics(epoch + 1, feed)
            said = outputs(self.network, self.val.images)
        figures = validation_figures(said, self.val)
        figures["val_still_features"] = still_features(self.network, self.val.images)
        entry: Epoch = {
            "epoch": epoch + 1,
            "stage": self.stage + 1,
            "learning_rate": rate,
            "loss": picture / steps,
            "location_loss": location / steps,
            "accuracy": correct / steps,
            "images_per_second": steps * self.recipe.batch / max(seconds, 1e-9),
            "seconds": seconds,
            **figures,
        }
        best = max((past["val_score"] for past in self.history), default=-math.inf)
        self.history.append(entry)
        if figures["val_score"] > best:
            save_weights(self.network, self.recipe, self.run / WEIGHTS)
        _assign(self.network.weights, raw)
        self.console.print("  ".join(f"{key} {value:.4g}" for key, value in entry.items()), soft_wrap=True)
        if figures["val_still_features"] > _STILL and self.recipe.stages[self.stage].learns == "network":
            self.console.print(
                f"{figures['val_still_features']:.0%} of the deepest features are the same for all validation "
                "pictures: this part of the network is dead. Begin again with a lower learning_rate.",
                soft_wrap=True,
            )
        if self.on_epoch is not None:
            self.on_epoch(list(self.history))

    def _refresh_statistics(self, epoch: int, feed: Feed) -> None:
        """Let the head's BatchNorm see the averaged weights, whose features are not those it was counting.

        Follows the last step of stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407).
        """
        if self.recipe.ema == 0:
            return
        count = make_statistics_step(self.network, self.strategy)
        for images, _, _ in itertools.islice(feed.batches(epoch), _STATISTICS_BATCHES):
            count(images)

    def _stage_history(self) -> list[Epoch]:
        return [entry for entry in self.history if entry["stage"] == self.stage + 1]

    def _save(self, optimizer: Optimizer | None) -> None:
        arrays = {
            "model": [variable.numpy() for variable in self.network.variables],
            "average": [variable.numpy() for variable in self.average],
        }
        if optimizer is not None:
            arrays["optimizer"] = [variable.numpy() for variable in optimizer.variables]
        state = Checkpoint(self.step, self.stage, arrays, self.history, self.recipe.as_dict(), self.sums.tolist())
        checkpoint.save(self.run / CHECKPOINT, state)


def _assign(variables: Any, arrays: Any) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
