"""One training step, on one device or on several at once with the answer of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.backbones import backbone
from training.datasets import MASK_STRIDE
from training.kept import Head
from training.losses import location_loss, location_targets, location_unit, picture_loss
from training.model import LOGIT, MAP, freeze
from training.recipe import Recipe, Stage

Tensor = Any
Strategy = Any
"""A ``tf.distribute.Strategy``."""
Step = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
_CLIP_NORM: Final = 5.0


def every_gpu() -> Strategy:
    """Return a strategy that shares each batch between all GPUs where there are several, else TensorFlow's default."""
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def set_learning(network: keras.Model, recipe: Recipe, stage: Stage) -> None:
    """Let those layers of ``network`` learn that ``stage`` of ``recipe`` says, and no others."""
    freeze(
        network,
        recipe.model.backbone,
        stage.first_trainable_block,
        recipe.norms_from_block,
        picture_head_only=stage.learns == "picture head",
    )


class Optimizer:
    """AdamW over the variables of ``network`` that learn, those of the backbone at a rate of their own.

    Each takes the stage's rate, the backbone's times ``stage.backbone_rate``. Its own variables are built at once.
    """

    def __init__(self, network: keras.Model, recipe: Recipe, stage: Stage) -> None:
        variables = network.trainable_variables
        block_of = backbone(recipe.model.backbone).block_of
        deep = [block_of(variable.path.split("/")[0]) is not None for variable in variables]
        apart = stage.backbone_rate != 1 and any(deep)
        self._parts = []
        for factor, of_backbone in ((1.0, False), (stage.backbone_rate, True)) if apart else ((1.0, None),):
            rows = [row for row, is_deep in enumerate(deep) if of_backbone in (None, is_deep)]
            adam = keras.optimizers.AdamW(stage.learning_rate * factor, weight_decay=recipe.weight_decay)
            adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            adam.build([variables[row] for row in rows])
            self._parts.append((factor, rows, adam))

    @property
    def variables(self) -> list[Any]:
        """All that must be kept to go on later."""
        return [variable for _, _, adam in self._parts for variable in adam.variables]

    def set_rate(self, rate: float) -> None:
        """Set the rate of the next steps."""
        for factor, _, adam in self._parts:
            adam.learning_rate.assign(rate * factor)

    def apply(self, gradients: Sequence[Tensor], variables: Sequence[Any]) -> None:
        """Take one step down ``gradients``, in the order of the network's trainable variables."""
        for _, rows, adam in self._parts:
            adam.apply([gradients[row] for row in rows], [variables[row] for row in rows])


def make_step(
    network: keras.Model,
    average: Sequence[tf.Variable],
    optimizer: Optimizer,
    recipe: Recipe,
    class_weights: NDArray[np.float64],
    strategy: Strategy,
    head: Head | None = None,
) -> Step:
    """Return a function of images, masks, facts (as ``training.feed`` deals them) and the average's momentum.

    It takes one step and returns picture loss, location loss and accuracy of the batch. With several replicas each
    takes its rows of the batch; losses, gradients and BatchNorm see the batch as a whole all the same. With ``head``,
    that of ``network``, images are the vectors that it reads (``training.kept``).
    """
    answering: Any = head or network
    shape, side = answering.input_shape[1:], recipe.model.input_size // MASK_STRIDE
    weights = tf.constant(class_weights, tf.float32)

    def replica_step(images: Tensor, masks: Tensor, facts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = _own_rows(recipe.batch)
        labels = facts[rows, 0]
        variables = network.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            answer = answering(images[rows], training=True)
            targets = location_targets(masks, answer[MAP].shape[1])
            unit = location_unit(targets, facts[:, 1])
            each = picture_loss(answer[LOGIT], labels, recipe.loss.smoothing)
            picture = tf.reduce_sum(each * tf.gather(weights, tf.cast(labels, tf.int32))) / recipe.batch
            focal = location_loss(answer[MAP], targets[rows], recipe.loss.focus)
            location = tf.reduce_sum(focal * facts[rows, 1]) / unit
            loss = recipe.loss.picture * picture + recipe.loss.location * location
        optimizer.apply(_whole_gradients(tape.gradient(loss, variables)), variables)
        correct = tf.reduce_sum(tf.cast((answer[LOGIT] > 0) == (labels > 0.5), tf.float32)) / recipe.batch
        return picture, location, correct

    @tf.function
    def train_step(images: Tensor, masks: Tensor, facts: Tensor, momentum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images = tf.ensure_shape(images, [recipe.batch, *shape])
        masks = tf.ensure_shape(masks, [recipe.batch, side, side, 1])
        told = strategy.run(replica_step, args=(images, masks, facts))
        for mean, weight in zip(average, network.weights, strict=True):
            # by the difference, so that what stands still stays the same to the last bit
            mean.assign_add((weight.value - mean) * (1 - momentum))
        picture, location, correct = (strategy.reduce("SUM", value, axis=None) for value in told)
        return picture, location, correct

    step: Step = train_step
    return step


def make_statistics_step(network: keras.Model, strategy: Strategy) -> Callable[[Tensor], None]:
    """Return a function that lets BatchNorm count the statistics of a batch of images and changes nothing else."""

    @tf.function
    def statistics_step(images: Tensor) -> None:
        strategy.run(lambda batch: network(batch[_own_rows(batch.shape[0])], training=True)[LOGIT], args=(images,))

    count: Callable[[Tensor], None] = statistics_step
    return count


def _own_rows(batch: int) -> slice:
    context = tf.distribute.get_replica_context()
    count = context.num_replicas_in_sync
    if count == 1:
        return slice(None)
    bounds = tf.constant([batch * replica // count for replica in range(count + 1)])
    replica = context.replica_id_in_sync_group
    return slice(bounds[replica], bounds[replica + 1])


def _whole_gradients(gradients: list[Tensor]) -> list[Tensor]:
    """Return the batch's gradients, clipped, as this replica's share: the optimizer adds the replicas' up.

    Added up here first because the norm that is clipped is that of the whole batch.
    """
    context = tf.distribute.get_replica_context()
    count = context.num_replicas_in_sync
    whole = gradients if count == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    clipped, _ = tf.clip_by_global_norm(whole, _CLIP_NORM)
    return clipped if count == 1 else [gradient / count for gradient in clipped]
