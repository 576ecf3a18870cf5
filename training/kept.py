"""What the part of a network that stays as it is says of pictures, worked out once for each.

Where the picture head alone learns, and from pictures that are mirrored at most, nothing before it ever changes: each
picture has four looks, each look one vector. The folds of a cross-validation that go on from one body share them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from training.backbones import Tensor
from training.datasets import PreparedCases
from training.model import LOGIT, MAP, ModelConfig
from training.reading import without_margin
from training.recipe import Recipe, Stage
from training.sampling import epoch_order

ACROSS: Final = 1
DOWN: Final = 2
"""How a look is mirrored: left and right change places, top and bottom do, or, as the sum, both do."""

_BATCH: Final = 16
_Look = tuple[str, int, bool]
"""The picture's file, how it is mirrored, and whether it is looked at as in training."""


def can_be_kept(recipe: Recipe, stage: Stage) -> bool:
    """Tell whether what the head learns from in ``stage`` is the same each time a picture is shown."""
    return stage.learns == "picture head" and recipe.augmentation.mirrors_at_most


class Head:
    """The picture head of ``network``, by its own layers, on vectors float32 [N,K] that ``Kept`` gives."""

    def __init__(self, network: keras.Model) -> None:
        pooled, cells = (network.get_layer(name).output for name in ("pooled", "map"))
        outputs = {name: network.output[name] for name in (LOGIT, MAP)}
        self._layers = keras.Model([pooled, cells], outputs)
        self._split, self._cells = int(pooled.shape[1]), cells.shape[1:]
        self.input_shape = (None, self._split + int(np.prod(self._cells)))

    def __call__(self, vectors: Tensor, training: bool = False) -> Mapping[str, Tensor]:
        """Return ``LOGIT`` and ``MAP`` as the whole network does."""
        cells = tf.reshape(vectors[:, self._split :], [-1, *self._cells])
        said: Mapping[str, Tensor] = self._layers([vectors[:, : self._split], cells], training=training)
        return said


class Kept:
    """The vectors of pictures, of as many networks as differ before the picture head. It lasts as long as a process.

    A vector is the pooled features and the cells of the map, float32 [K]: 19 kB at 448 px.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(quiet=True)
        self._said: dict[str, dict[_Look, NDArray[np.float32]]] = {}

    def vectors(
        self,
        network: keras.Model,
        config: ModelConfig,
        cases: PreparedCases,
        shown: Sequence[tuple[int, int]],
        *,
        training: bool,
    ) -> NDArray[np.float32]:
        """Return the vectors of ``shown``, pairs of a row of ``cases`` and how it is mirrored, float32 [N,K]."""
        body = keras.Model(network.input, [network.get_layer(name).output for name in ("pooled", "map")])
        said = self._said.setdefault(_digest(body, config), {})
        looks = [(str(cases.cases[row].path), mirrored, training) for row, mirrored in shown]
        missing = {look: pair for look, pair in zip(looks, shown, strict=True) if look not in said}
        if missing:
            said.update(zip(missing, self._look(body, config, cases, list(missing.values()), training), strict=True))
        return np.stack([said[look] for look in looks])

    def outputs(
        self, network: keras.Model, config: ModelConfig, cases: PreparedCases, mirrored: int = 0
    ) -> dict[str, NDArray[np.float32]]:
        """Return ``LOGIT`` and ``MAP`` of ``network`` for ``cases``, or for their mirror images, as it reads them."""
        shown = [(row, mirrored) for row in range(len(cases.cases))]
        vectors = self.vectors(network, config, cases, shown, training=False)
        said = Head(network)(tf.constant(vectors))
        return {name: np.asarray(value) for name, value in said.items()}

    def _look(
        self,
        body: keras.Model,
        config: ModelConfig,
        cases: PreparedCases,
        shown: Sequence[tuple[int, int]],
        training: bool,
    ) -> Iterator[NDArray[np.float32]]:
        @tf.function(reduce_retracing=True)
        def look(images: Tensor) -> Tensor:
            grey = tf.cast(images, tf.float32)
            if training and config.margin:
                grey = without_margin(grey, config.margin)
            pooled, cells = body(grey, training=training)
            return tf.concat([pooled, tf.reshape(cells, [tf.shape(grey)[0], -1])], axis=1)

        words = f"Looking once at {len(shown)} pictures and mirror images"
        if not self._console.is_terminal:
            self._console.print(f"{words}.")
        starts = range(0, len(shown), _BATCH)
        for start in track(starts, words, console=self._console, transient=True):
            part = [turn(cases.images[row], mirrored) for row, mirrored in shown[start : start + _BATCH]]
            yield from np.asarray(look(np.stack(part)))


class KeptFeed:
    """The training set as vectors of ``network``, dealt out in batches as ``training.feed`` deals pictures."""

    def __init__(
        self, train: PreparedCases, recipe: Recipe, network: keras.Model, kept: Kept, epochs: Sequence[int]
    ) -> None:
        self._train, self._recipe = train, recipe
        self._facts = np.stack([train.labels, train.place_known], 1).astype(np.float32)
        drawn = {pair for epoch in epochs for batch in self._shown(epoch) for pair in batch}
        shown = sorted(drawn)
        self._vectors: dict[tuple[int, int], NDArray[np.float32]] = {}
        if shown:
            vectors = kept.vectors(network, recipe.model, train, shown, training=True)
            self._vectors.update(zip(shown, vectors, strict=True))

    def batches(self, epoch: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give the batches of ``epoch`` but the first ``skip``: vectors [B,K], and masks and facts as ``Feed`` does."""
        for batch in self._shown(epoch)[skip:]:
            rows = [row for row, _ in batch]
            masks = np.stack([turn(self._train.masks[row], mirrored) for row, mirrored in batch])
            vectors = np.stack([self._vectors[pair] for pair in batch])
            yield (
                tf.constant(vectors),
                tf.constant(masks[..., None], tf.float32) / 255.0,
                tf.constant(self._facts[rows]),
            )

    def _shown(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Return row and mirroring of each picture of ``epoch``, by batch: the same for the same recipe and epoch."""
        how = self._recipe.augmentation
        order = epoch_order(self._train, self._recipe, epoch)
        rng = np.random.default_rng([self._recipe.seed, epoch, 1])
        across, down = (rng.integers(0, 2, order.shape) * on for on in (how.flip_horizontal, how.flip_vertical))
        mirrored = across * ACROSS + down * DOWN
        return [list(zip(*pair, strict=True)) for pair in zip(order.tolist(), mirrored.tolist(), strict=True)]


def turn(picture: NDArray[np.uint8], mirrored: int) -> NDArray[np.uint8]:
    """Return ``picture`` [H,W,...] mirrored as ``ACROSS``, ``DOWN`` or their sum says."""
    upright = picture[:, ::-1] if mirrored & ACROSS else picture
    return upright[::-1] if mirrored & DOWN else upright


def _digest(body: keras.Model, config: ModelConfig) -> str:
    digest = hashlib.sha256(repr(replace(config, weights="", dense=(), dropout=0.0)).encode())
    for weight in body.weights:
        array: NDArray[Any] = weight.numpy()
        digest.update(array.tobytes())
    return digest.hexdigest()
