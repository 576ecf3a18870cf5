"""What training lowers: the picture's cross-entropy and the location map's focal loss."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

Tensor = Any


def picture_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy of each picture, float32 [N], with labels 0 and 1 drawn together by ``smoothing``."""
    smooth = labels * (1 - smoothing) + smoothing / 2
    return tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)


def location_targets(masks: Tensor, side: int) -> Tensor:
    """Return the share of each map cell within a fracture, float32 [N, side, side], of masks float32 [N,M,M,1]."""
    ratio = masks.shape[1] // side
    return tf.nn.avg_pool2d(masks, ratio, ratio, "VALID")[..., 0]


def location_loss(cells: Tensor, targets: Tensor, focus: float) -> Tensor:
    """Return the focal loss of each picture's map, summed over cells, float32 [N] (Li et al. 2020, arXiv 2006.04388).

    ``cells`` are log-odds and ``targets`` shares in 0..1, both float32 [N,H,W]; ``focus`` is the loss' gamma.
    """
    distance = tf.abs(targets - tf.sigmoid(cells)) ** focus
    focal = distance * tf.nn.sigmoid_cross_entropy_with_logits(targets, cells)
    return tf.reduce_sum(focal, axis=[1, 2])


def location_unit(targets: Tensor, known: Tensor) -> Tensor:
    """Return what a batch's location losses are divided by: its fractured cells whose place is known, 8 at least."""
    return tf.maximum(tf.reduce_sum(tf.reduce_sum(targets, axis=[1, 2]) * known), 8.0)
