"""Feeding a training: this project's feed beside Keras' ImageDataGenerator from folders, into the same network.

    osteo bench train-input --batch 16

The seeds' way decodes, resizes and turns every picture in every epoch; ours decodes once and augments inside the
graph. Both feed the same training step of the same network, in turns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from rich.table import Table

from radiograph.phantom_dataset import write_dataset
from serving.bench import plots
from serving.bench.summary import ratio, rounded, say, summarise, take_turns, times
from training.datasets import MASK_STRIDE, Case, load, prepare_cases
from training.feed import Feed
from training.model import build_model
from training.recipe import Recipe, Sampling
from training.step import Optimizer, make_step, set_learning

FEED: Final = "osteo's feed"
GENERATOR: Final = "ImageDataGenerator"
NETWORK: Final = "network alone"
_STEPS: Final = 150
"""Steps of an epoch on FracAtlas, about."""
_IN_STORE: Final = 3
"""Batches that a feed which lay still has ready, or is about to have; they would be dealt in no time."""
Batch = tuple[Any, Any, Any]
"""Images, masks and facts, as ``training.feed`` deals them."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Both inputs without end, a training step of the network, and a batch that lies ready for it."""

    batch: int
    inputs: Mapping[str, Iterator[Batch]]
    step: Callable[[Batch], object]
    ready: Batch
    alone: dict[str, list[float]] = field(default_factory=dict)
    fed: dict[str, list[float]] = field(default_factory=dict)


def set_up(
    recipe: Recipe, folder: Path | None, count: int, scratch: Path, sides: tuple[int, int] = (1200, 1500)
) -> Bench:
    """Return everything to measure: the data of ``folder``, or ``count`` phantoms of ``sides`` px in ``scratch``.

    ``folder`` is a tree train/<class>, which both ways read.
    """
    tree = folder or write_dataset(scratch, count, seed=1, size=sides).by_class
    cases = [case for case in load(tree) if case.split == "train"]
    say(f"Preparing {len(cases)} radiographs once, for {FEED} …")
    prepared = prepare_cases(cases, recipe.model.input_size)
    feed = Feed(prepared, _with_long_epochs(recipe, cases))
    inputs = {FEED: _epochs(feed), GENERATOR: _generated(tree / "train", recipe)}
    return Bench(recipe.batch, inputs, training_step(recipe), next(_epochs(feed)))


def _with_long_epochs(recipe: Recipe, cases: Sequence[Case]) -> Recipe:
    """Return ``recipe`` with every picture shown so often that an epoch is as long as a real one.

    With few pictures the feed would otherwise be set up anew every few steps, which no training does.
    """
    times_shown = math.ceil(_STEPS * recipe.batch / len(cases))
    often = Sampling(float(times_shown), float(times_shown))
    return replace(recipe, sampling={case.source: often for case in cases})


def shrunk(recipe: Recipe, backbone: str, size: int, batch: int) -> Recipe:
    """Return ``recipe`` with this network and batch, from random weights: its speed does not depend on them."""
    model = replace(recipe.model, backbone=backbone, input_size=size, weights="none")
    return replace(recipe, model=model, batch=batch, start="")


def training_step(recipe: Recipe) -> Callable[[Batch], object]:
    """Return one step of the recipe's last stage, the one that most of the time goes into; it ends when it is done."""
    stage = recipe.stages[-1]
    network = build_model(recipe.model)
    set_learning(network, recipe, stage)
    average = [tf.Variable(weight.numpy(), trainable=False) for weight in network.weights]
    optimizer = Optimizer(network, recipe, stage)
    step = make_step(network, average, optimizer, recipe, np.ones(2), tf.distribute.get_strategy())
    momentum = tf.constant(recipe.ema, tf.float32)
    return lambda batch: [float(told) for told in step(*batch, momentum)]


def _epochs(feed: Feed) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from feed.batches(epoch)
        epoch += 1


def _generated(train: Path, recipe: Recipe) -> Iterator[Batch]:
    """Deal the pictures as the seeds do, augmented alike; their masks are empty and their places unknown.

    Classes are numbered by the order of their folders' names, which no speed depends on.
    """
    how, size = recipe.augmentation, recipe.model.input_size
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=how.rotation,
        zoom_range=how.zoom,
        width_shift_range=how.shift,
        height_shift_range=how.shift,
        brightness_range=(1 - how.contrast, 1 + how.contrast),
        horizontal_flip=how.flip_horizontal,
        vertical_flip=how.flip_vertical,
    )
    dealt = generator.flow_from_directory(
        str(train), (size, size), color_mode="grayscale", class_mode="binary", batch_size=recipe.batch, seed=recipe.seed
    )
    cells = size // MASK_STRIDE
    masks = tf.zeros([recipe.batch, cells, cells, 1])
    for images, labels in dealt:
        if len(images) == recipe.batch:
            facts = np.stack([labels, np.zeros_like(labels)], 1)
            yield tf.constant(images, tf.float32), masks, tf.constant(facts, tf.float32)


def run(bench: Bench, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure the inputs alone, the network alone and the network fed by each, and return the figures."""
    bench.step(bench.ready)  # builds the graph
    arms: list[Callable[[], object]] = []
    bench.fed[NETWORK] = []
    arms.append(partial(_turn, partial(bench.step, bench.ready), seconds, bench.fed[NETWORK]))
    for name, dealt in bench.inputs.items():
        bench.alone[name], bench.fed[name] = [], []
        arms.append(partial(_turn, partial(next, dealt), seconds, bench.alone[name]))
        arms.append(partial(_turn, partial(_fed_step, bench, dealt), seconds, bench.fed[name]))
    take_turns(arms, rounds, "Training steps")
    return figures(bench)


def _fed_step(bench: Bench, dealt: Iterator[Batch]) -> None:
    bench.step(next(dealt))


def _turn(call: Callable[[], object], seconds: float, into: list[float]) -> None:
    for _ in range(_IN_STORE):
        call()
    into += times(call, seconds, least=2)


def figures(bench: Bench) -> dict[str, Any]:
    """Return what was measured, for JSON: images a second, and the network's share of the time of a step."""

    def per_second(taken: list[float]) -> float | None:
        return rounded(bench.batch / statistics.median(taken))

    alone = statistics.median(bench.fed[NETWORK])
    return {
        "batch": bench.batch,
        NETWORK: {**summarise(bench.fed[NETWORK]).figures(), "images_per_second": per_second(bench.fed[NETWORK])},
        "inputs": {
            name: {
                "alone_images_per_second": per_second(bench.alone[name]),
                "images_per_second": per_second(bench.fed[name]),
                **summarise(bench.fed[name]).figures(),
                "network_share": rounded(alone / statistics.median(bench.fed[name]), 3),
            }
            for name in bench.inputs
        },
        "input_times_as_fast": ratio(bench.alone[GENERATOR], bench.alone[FEED]),
        "training_times_as_fast": ratio(bench.fed[GENERATOR], bench.fed[FEED]),
    }


def table(told: Mapping[str, Any]) -> Table:
    """Return the table of a run."""
    shown = Table("input", title=f"Training in batches of {told['batch']}, images a second")
    for name in ("input alone", "training", "step p50 ms", "the network's share of a step"):
        shown.add_column(name, justify="right")
    for name, way in told["inputs"].items():
        rates = (f"{way['alone_images_per_second']:.1f}", f"{way['images_per_second']:.1f}")
        shown.add_row(name, *rates, f"{way['p50_ms']:.0f}", f"{way['network_share']:.0%}")
    network = told[NETWORK]
    shown.add_row(NETWORK, "", f"{network['images_per_second']:.1f}", f"{network['p50_ms']:.0f}", "100%")
    return shown


def plot(told: Mapping[str, Any], path: Path) -> Path:
    """Draw images a second, of the inputs alone and of the training that they feed."""
    rates = {f"{name}, alone": way["alone_images_per_second"] for name, way in told["inputs"].items()}
    rates |= {f"training from {name}": way["images_per_second"] for name, way in told["inputs"].items()}
    rates[NETWORK] = told[NETWORK]["images_per_second"]
    return plots.bars(path, f"Training input, batches of {told['batch']}", "images/s", rates)
