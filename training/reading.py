"""What a network does in reading and not in training: layers without weights, before it looks and after.

In training the pictures come augmented: what is done to them here is done before that, or stands there in another form.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

Tensor = Any


class Margin(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Blacks out the outermost strip of a picture in a square [N,S,S,1], ``share`` of S wide, so that it cannot matter.

    There lie collimator edges, film borders and burnt-in text. Of FracAtlas' 887 boxes one has its centre there.
    """

    def __init__(self, share: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.share = share

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Return the pictures without their margin; in training ``x`` itself, which the feed has cut already."""
        return x if training else without_margin(x, self.share)

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same layer again."""
        return {**super().get_config(), "share": self.share}


class Smoothing(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Smooths a picture [N,H,W,1] by the binomial kernel 1-2-1 both ways, ``times`` over; its edge goes on outside.

    Only in reading: augmented pictures are smooth already, for turning interpolates them, and those to be read are
    not. It also takes most of the grain away: of noise between neighbouring pixels 0.375 is left.
    """

    def __init__(self, times: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.times = times

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Return the smoothed pictures, the same shape and dtype as ``x``; in training ``x`` itself."""
        if training:
            return x
        line = np.array([1, 2, 1], np.float32) / 4
        kernel = keras.ops.convert_to_tensor(np.outer(line, line)[:, :, None, None], dtype=x.dtype)
        for _ in range(self.times):
            edged = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
            x = keras.ops.conv(edged, kernel, padding="valid")
        return x

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same layer again."""
        return {**super().get_config(), "times": self.times}


class HighestCells(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """The mean log-odds of the highest cells of a location map [N,H,W,1], a ``share`` of all, one at least.

    Only in reading, as the map's own vote beside the picture head's: the two err on different pictures. In training it
    is 0, so that each learns to be right alone.
    """

    def __init__(self, share: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.share = share

    def call(self, cells: Tensor, training: bool | None = None) -> Tensor:
        """Return the mean of each map's highest cells, [N,1] of the dtype of ``cells``; in training zeros."""
        flat = keras.ops.reshape(cells, (-1, cells.shape[1] * cells.shape[2]))
        if training:
            return keras.ops.zeros_like(flat[:, :1])
        highest, _ = keras.ops.top_k(flat, max(1, round(self.share * flat.shape[1])), sorted=False)
        return keras.ops.mean(highest, axis=1, keepdims=True)

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same layer again."""
        return {**super().get_config(), "share": self.share}


def without_margin(images: Tensor, share: float) -> Tensor:
    """Return pictures in a square [N,S,S,1] with their outermost strip black, ``share`` of S wide on each side.

    The strip runs along the picture's edge, not the square's: black rows and columns on both sides are the padding.
    """
    lit = images > 0
    down, across = (_kept(keras.ops.any(lit, axis=(axis, 3)), share) for axis in (2, 1))
    keep = keras.ops.logical_and(down[:, :, None], across[:, None, :])
    return images * keras.ops.cast(keep, images.dtype)[..., None]


def _kept(lit: Tensor, share: float) -> Tensor:
    """Return bool [N,S], True within the picture but for its margin, of where a line ``lit`` [N,S] has any light."""
    size = lit.shape[1]
    light = keras.ops.cast(lit, "int32")
    before, after = (keras.ops.argmax(line, axis=1) for line in (light, keras.ops.flip(light, axis=1)))
    cut = keras.ops.cast(keras.ops.minimum(before, after), "int32")[:, None] + round(share * size)
    place = keras.ops.arange(size, dtype="int32")[None, :]
    return keras.ops.logical_and(place >= cut, place < size - cut)
