"""The pictures of an epoch as augmented batches, the same for the same recipe, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from training.augment import augment
from training.datasets import PreparedCases
from training.reading import without_margin
from training.recipe import Recipe
from training.sampling import epoch_order

Tensor = Any


class Feed:
    """The training set in main memory, dealt out in batches."""

    def __init__(self, train: PreparedCases, recipe: Recipe) -> None:
        self._train, self._recipe = train, recipe
        self.steps_per_epoch = len(epoch_order(train, recipe, 0))
        with tf.device("/CPU:0"):
            self._images = tf.convert_to_tensor(train.images)
            self._masks = tf.convert_to_tensor(train.masks)
            self._facts = tf.constant(np.stack([train.labels, train.place_known], 1).astype(np.float32))

    def batches(self, epoch: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give the batches of ``epoch`` but the first ``skip``.

        Each is images float32 [B,S,S,1] in 0..255, masks float32 [B,S/4,S/4,1] in 0..1, and facts float32 [B,2]: the
        label, and 1 where the place of the fractures is known.
        """
        order = epoch_order(self._train, self._recipe, epoch)[skip:]
        seed = tf.constant([self._recipe.seed, epoch], tf.int32)

        def make(step: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            images = tf.cast(tf.gather(self._images, rows), tf.float32)
            if self._recipe.model.margin:
                images = without_margin(images, self._recipe.model.margin)
            masks = tf.cast(tf.gather(self._masks, rows), tf.float32)[..., None] / 255.0
            step_seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(step, tf.int32))
            images, masks = augment(images, masks, step_seed, self._recipe.augmentation)
            return images, masks, tf.gather(self._facts, rows)

        steps = tf.data.Dataset.from_tensor_slices(order).enumerate(skip)
        return iter(steps.map(make, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))
