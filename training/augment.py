"""Augmentation inside the graph: one affine warp of picture and box mask together, then grey values and blanking.

Every random number is drawn statelessly from the step's seed, so a resumed run sees the pictures of an undisturbed one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

Tensor = Any
"""A TensorFlow tensor; TensorFlow ships no types."""


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed; zero or 1-wide ranges switch a change off.

    ``rotation`` in degrees either way; ``zoom`` and ``stretch`` as factors either way around 1; ``shift`` as a share of
    the picture's side; ``gamma``, ``contrast`` as factors either way; ``noise`` as a standard deviation in grey levels;
    ``sharpness`` as the largest share of a picture's finest detail taken away or doubled; ``blank_border`` is the
    largest share of a side blacked out, ``blank_patches`` the number of small patches, so that markers and borders
    teach nothing. A share ``unwarped`` of the pictures is mirrored at most: every other warp smooths what it moves, and
    the pictures to be read later are as sharp as these.
    """

    flip_horizontal: bool = True
    flip_vertical: bool = True
    rotation: float = 30.0
    zoom: float = 0.15
    stretch: float = 0.08
    shift: float = 0.06
    gamma: float = 0.3
    contrast: float = 0.25
    noise: float = 4.0
    sharpness: float = 0.0
    blank_border: float = 0.06
    blank_patches: int = 2
    unwarped: float = 0.0

    @property
    def mirrors_at_most(self) -> bool:
        """Whether a picture is shown as it is or mirrored, and not otherwise changed."""
        others = {**asdict(self), "flip_horizontal": 0, "flip_vertical": 0, "unwarped": 0}
        return not any(others.values())


def augment(images: Tensor, masks: Tensor, seed: Tensor, how: Augmentation) -> tuple[Tensor, Tensor]:
    """Return changed copies of ``images`` (float32 [N,S,S,1], 0..255) and ``masks`` (float32 [N,M,M,1], 0..1).

    ``seed`` int32 [2] fixes every draw. Values keep their range; what comes in from outside the picture is black.
    """
    count = tf.shape(images)[0]
    draw = _Draw(seed, count)
    size = tf.cast(tf.shape(images)[1], tf.float32)
    transform = _affine(draw, how)
    warped = _warp(images, transform, size)
    masks = _warp(masks, transform, tf.cast(tf.shape(masks)[1], tf.float32))
    keep = _blanking(draw, how, tf.shape(images)[1], masks)
    return _grey_values(warped, draw, how) * keep, masks


class _Draw:
    """Draws numbers per picture, each draw with a seed of its own."""

    def __init__(self, seed: Tensor, count: Tensor) -> None:
        self._seed, self._count, self._draws = seed, count, 0

    def seed(self) -> Tensor:
        self._draws += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._draws)

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> Tensor:
        full = tf.concat([[self._count], tf.constant(shape, tf.int32)], 0)
        return tf.random.stateless_uniform(full, self.seed(), low, high)

    def factor(self, spread: float) -> Tensor:
        """A factor between 1/(1+spread) and 1+spread, as likely below 1 as above."""
        bound = math.log1p(spread)
        return tf.exp(self.uniform(-bound, bound))

    def sign(self, on: bool) -> Tensor:
        return tf.where(self.uniform(0.0, 1.0) < (0.5 if on else 0.0), -1.0, 1.0)


def _affine(draw: _Draw, how: Augmentation) -> Tensor:
    """Return [N,2,3]: from output to input, in a square from -1 to 1 around the picture's centre."""
    angle = draw.uniform(-how.rotation, how.rotation) * (math.pi / 180)
    zoom, stretch = draw.factor(how.zoom), draw.factor(how.stretch)
    flip_x, flip_y = draw.sign(how.flip_horizontal), draw.sign(how.flip_vertical)
    dx, dy = draw.uniform(-2 * how.shift, 2 * how.shift), draw.uniform(-2 * how.shift, 2 * how.shift)
    if how.unwarped > 0:
        warped = tf.cast(draw.uniform(0.0, 1.0) >= how.unwarped, tf.float32)
        angle, dx, dy, zoom, stretch = angle * warped, dx * warped, dy * warped, zoom**warped, stretch**warped
    sx, sy = zoom * stretch * flip_x, zoom / stretch * flip_y
    cos, sin = tf.cos(angle), tf.sin(angle)
    rows = [tf.stack([cos * sx, -sin * sy, dx], -1), tf.stack([sin * sx, cos * sy, dy], -1)]
    return tf.stack(rows, 1)


def _warp(images: Tensor, transform: Tensor, size: Tensor) -> Tensor:
    centre = (size - 1) / 2
    linear, offset = transform[:, :, :2], transform[:, :, 2] * size / 2
    moved = offset + centre - tf.reduce_sum(linear, -1) * centre
    flat = tf.concat(
        [linear[:, 0], moved[:, :1], linear[:, 1], moved[:, 1:], tf.zeros([tf.shape(images)[0], 2])],
        axis=1,
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=flat,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _grey_values(images: Tensor, draw: _Draw, how: Augmentation) -> Tensor:
    def wide(x: Tensor) -> Tensor:
        return x[:, None, None, None]

    inside = tf.cast(images > 0, tf.float32)
    x = tf.pow(images / 255.0, wide(draw.factor(how.gamma)))
    x = x * wide(draw.factor(how.contrast)) + wide(draw.uniform(-how.contrast, how.contrast)) / 4
    if how.sharpness > 0:
        x += (tf.nn.avg_pool2d(x, 3, 1, "SAME") - x) * wide(draw.uniform(-how.sharpness, how.sharpness))
    if how.noise > 0:
        level = wide(draw.uniform(0.0, how.noise / 255.0))
        x += tf.random.stateless_normal(tf.shape(images), draw.seed()) * level
    return tf.clip_by_value(x, 0.0, 1.0) * 255.0 * inside


def _blanking(draw: _Draw, how: Augmentation, size: Tensor, masks: Tensor) -> Tensor:
    """Return float32 [N,S,S,1], 0 where a border or a patch is blacked out; patches never touch a fracture."""
    grid = tf.linspace(0.0, 1.0, size)[None, :]
    margins = draw.uniform(-how.blank_border, how.blank_border, (4,))
    across = (grid >= margins[:, :1]) & (grid <= 1 - margins[:, 1:2])
    down = (grid >= margins[:, 2:3]) & (grid <= 1 - margins[:, 3:])
    keep = across[:, None, :] & down[:, :, None]
    fracture = tf.image.resize(masks, [size, size], "nearest")[..., 0] > 0
    for _ in range(how.blank_patches):
        corner, side = draw.uniform(0.0, 1.0, (2,)), draw.uniform(0.0, 0.12, (2,))
        columns = (grid >= corner[:, :1]) & (grid <= corner[:, :1] + side[:, :1])
        rows = (grid >= corner[:, 1:]) & (grid <= corner[:, 1:] + side[:, 1:])
        patch = columns[:, None, :] & rows[:, :, None]
        touches = tf.reduce_any(patch & fracture, axis=[1, 2], keepdims=True)
        keep &= ~patch | touches
    return tf.cast(keep | fracture, tf.float32)[..., None]
