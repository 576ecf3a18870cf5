"""Fitting: two or more stages, an average of the weights, checkpoints that survive a kill at any moment."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training import checkpoint
from training.augment import augment
from training.checkpoint import Checkpoint
from training.datasets import MASK_STRIDE, PreparedCases
from training.model import LOGIT, MAP, build_model, freeze
from training.recipe import Recipe, Stage
from training.sampling import epoch_order
from training.validate import Epoch, outputs, validation_figures
from training.weights import load_weights, save_weights

Tensor = Any
_STATISTICS_BATCHES: Final = 60
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
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint_seconds: float = 90.0,
) -> list[Epoch]:
    """Train into the folder ``run`` and return its history, an entry an epoch.

    Goes on from the run's checkpoint where there is one, with the pictures an undisturbed run would have seen. The
    weights with the best validation score so far lie in ``run/best.npz``. Raises ``RunError`` where the folder
    holds a run of another recipe.
    """
    run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    saved = checkpoint.load(run / CHECKPOINT)
    if saved is not None and saved.recipe != _plain(recipe):
        raise RunError(f"{run} holds a run of another recipe. Choose another folder with --run, or remove that one.")
    network = _first_network(recipe) if saved is None else build_model(replace(recipe.model, weights="none"))
    state = _State(recipe, network, train, val, run, console or Console(), on_epoch, checkpoint_seconds)
    if saved is not None:
        state.restore(saved)
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


def losses(
    answer: dict[str, Tensor], masks: Tensor, labels: Tensor, known: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Return the picture loss (smoothed cross-entropy) and the location loss (focal, Li et al. 2020, arXiv 2006.04388).

    ``masks`` float32 [N,M,M,1] in 0..1; ``known`` float32 [N], 0 where a fracture's place is not known. The location
    loss is the sum over cells divided by the fractured cells of the batch.
    """
    smooth = labels * (1 - recipe.loss.smoothing) + recipe.loss.smoothing / 2
    picture = tf.nn.sigmoid_cross_entropy_with_logits(smooth, answer[LOGIT])
    cells = answer[MAP]
    ratio = masks.shape[1] // cells.shape[1]
    target = tf.nn.avg_pool2d(masks, ratio, ratio, "VALID")[..., 0]
    distance = tf.abs(target - tf.sigmoid(cells)) ** recipe.loss.focus
    focal = distance * tf.nn.sigmoid_cross_entropy_with_logits(target, cells)
    per_picture = tf.reduce_sum(focal, axis=[1, 2]) * known
    positives = tf.reduce_sum(tf.reduce_sum(target, axis=[1, 2]) * known)
    return picture, tf.reduce_sum(per_picture) / tf.maximum(positives, 8.0)


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
        on_epoch: Callable[[Epoch], None] | None,
        checkpoint_seconds: float,
    ) -> None:
        self.recipe, self.network, self.train, self.val = recipe, network, train, val
        self.run, self.console, self.on_epoch = run, console, on_epoch
        self.checkpoint_seconds = checkpoint_seconds
        self.steps_per_epoch = len(epoch_order(train, recipe, 0))
        self.average = [tf.Variable(weight, trainable=False) for weight in network.weights]
        self.history: list[Epoch] = []
        self.stage = self.step = 0
        self.factor = 1.0
        balanced = len(train.labels) / (2 * np.maximum(np.bincount(train.labels, minlength=2), 1))
        self.class_weights = balanced if recipe.class_weight == "balanced" else np.ones(2)
        with tf.device("/CPU:0"):
            self._images = tf.convert_to_tensor(train.images)
            self._masks = tf.convert_to_tensor(train.masks)
            self._facts = tf.constant(np.stack([train.labels, train.place_known], 1).astype(np.float32))

    def restore(self, saved: Checkpoint) -> None:
        _assign(self.network.variables, saved.arrays["model"])
        _assign(self.average, saved.arrays["average"])
        self.history, self.stage, self.step = list(saved.history), saved.stage, saved.step
        self.factor = saved.learning_rate_factor
        self.console.print(f"Going on from step {self.step}, epoch {self.step // self.steps_per_epoch + 1}.")

    def run_stage(self, index: int, stage: Stage, saved: Checkpoint | None) -> None:
        self.stage = index
        freeze(self.network, self.recipe.model.backbone, stage.first_trainable_block)
        optimizer = keras.optimizers.AdamW(stage.learning_rate, self.recipe.weight_decay, global_clipnorm=5.0)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        optimizer.build(self.network.trainable_variables)
        if saved is not None:
            _assign(optimizer.variables, saved.arrays["optimizer"])
        elif index > 0:
            self.factor = 1.0
        train_step = self._make_step(optimizer)
        first_epoch = sum(s.epochs for s in self.recipe.stages[:index])
        begin = first_epoch * self.steps_per_epoch
        total = stage.epochs * self.steps_per_epoch
        while self.step - begin < total:
            self._run_epoch(stage, optimizer, train_step, begin, total)
            if self._should_stop(first_epoch):
                self.step = begin + total
        self.stage = index + 1
        self._save(optimizer)

    def _run_epoch(self, stage: Stage, optimizer: Any, train_step: Any, begin: int, total: int) -> None:
        epoch, done = divmod(self.step, self.steps_per_epoch)
        started = saved_at = time.monotonic()
        sums = np.zeros(4)
        with self._progress() as bar:
            task = bar.add_task(f"Epoch {epoch + 1}", total=self.steps_per_epoch, completed=done)
            for images, masks, facts in self._batches(epoch, done):
                optimizer.learning_rate.assign(_learning_rate(stage, self.step - begin, total) * self.factor)
                momentum = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
                sums += np.array([*train_step(images, masks, facts, tf.constant(momentum, tf.float32)), 1.0], float)
                self.step += 1
                bar.advance(task)
                # not after the last step: a run killed while validating must validate that epoch again
                if self.step % self.steps_per_epoch and time.monotonic() - saved_at > self.checkpoint_seconds:
                    self._save(optimizer)
                    saved_at = time.monotonic()
        seconds = time.monotonic() - started
        self._finish_epoch(epoch, sums, seconds, stage, float(optimizer.learning_rate.numpy()))
        self._save(optimizer)

    def _finish_epoch(self, epoch: int, sums: NDArray[np.float64], seconds: float, stage: Stage, rate: float) -> None:
        picture, location, correct, steps = sums
        steps = max(steps, 1.0)
        raw = [variable.numpy() for variable in self.network.weights]
        _assign(self.network.weights, [variable.numpy() for variable in self.average])
        self._refresh_statistics(epoch + 1)
        figures = validation_figures(outputs(self.network, self.val.images), self.val)
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
        self._plateau(stage)
        self.console.print("  ".join(f"{key} {value:.4g}" for key, value in entry.items()))
        if self.on_epoch is not None:
            self.on_epoch(entry)

    def _refresh_statistics(self, epoch: int) -> None:
        """Let the head's BatchNorm see the averaged weights, whose features are not those it was counting.

        Follows the last step of stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407).
        """
        forward = tf.function(lambda images: self.network(images, training=True)[LOGIT])
        for images, _, _ in itertools.islice(self._batches(epoch, 0), _STATISTICS_BATCHES):
            forward(images)

    def _plateau(self, stage: Stage) -> None:
        """Halve the learning rate when the validation loss has not fallen for two epochs (ReduceLROnPlateau)."""
        if stage.schedule == "plateau" and _epochs_since_best(self.history, "val_loss") == 2:
            self.factor *= 0.5

    def _should_stop(self, first_epoch: int) -> bool:
        in_stage = [entry for entry in self.history if entry["epoch"] > first_epoch]
        return self.recipe.patience > 0 and _epochs_since_best(in_stage, "val_loss") >= self.recipe.patience

    def _batches(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        order = epoch_order(self.train, self.recipe, epoch)[skip:]
        seed = tf.constant([self.recipe.seed, epoch], tf.int32)

        def make(step: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            images = tf.cast(tf.gather(self._images, rows), tf.float32)
            masks = tf.cast(tf.gather(self._masks, rows), tf.float32)[..., None] / 255.0
            step_seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(step, tf.int32))
            images, masks = augment(images, masks, step_seed, self.recipe.augmentation)
            return images, masks, tf.gather(self._facts, rows)

        steps = tf.data.Dataset.from_tensor_slices(order).enumerate(skip)
        return iter(steps.map(make, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))

    def _make_step(self, optimizer: Any) -> Any:
        size = self.recipe.model.input_size
        weights = tf.constant(self.class_weights, tf.float32)

        @tf.function
        def train_step(images: Tensor, masks: Tensor, facts: Tensor, momentum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            images = tf.ensure_shape(images, [None, size, size, 1])
            masks = tf.ensure_shape(masks, [None, size // MASK_STRIDE, size // MASK_STRIDE, 1])
            labels, known = facts[:, 0], facts[:, 1]
            with tf.GradientTape() as tape:
                answer = self.network(images, training=True)
                picture, location = losses(answer, masks, labels, known, self.recipe)
                picture = tf.reduce_mean(picture * tf.gather(weights, tf.cast(labels, tf.int32)))
                loss = self.recipe.loss.picture * picture + self.recipe.loss.location * location
            variables = self.network.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            for average, weight in zip(self.average, self.network.weights, strict=True):
                average.assign(average * momentum + weight.value * (1 - momentum))
            correct = tf.reduce_mean(tf.cast((answer[LOGIT] > 0) == (labels > 0.5), tf.float32))
            return picture, location, correct

        return train_step

    def _save(self, optimizer: Any) -> None:
        arrays = {
            "model": [np.asarray(variable) for variable in self.network.variables],
            "average": [np.asarray(variable) for variable in self.average],
            "optimizer": [np.asarray(variable) for variable in optimizer.variables],
        }
        state = Checkpoint(self.step, self.stage, arrays, self.history, self.factor, _plain(self.recipe))
        checkpoint.save(self.run / CHECKPOINT, state)

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)


def _learning_rate(stage: Stage, step: int, total: int) -> float:
    warm = min(1.0, (step + 1) / 50)
    if stage.schedule != "cosine":
        return stage.learning_rate * warm
    return stage.learning_rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)


def _epochs_since_best(history: list[Epoch], key: str) -> int:
    values = [entry[key] for entry in history]
    return len(values) - 1 - int(np.argmin(values)) if values else 0


def _assign(variables: Any, arrays: Any) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as JSON gives it back: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(recipe.as_dict()))
    return plain
