"""From a radiograph to the model's input: the one preprocessing that training and serving share.

The recipe, named by ``PREPROCESSING`` and written into every model card: reduce to 8 bit, scale the longer side to S
with an antialiased triangle filter, stretch the grey values between two percentiles to 0..255, centre on a black S by S
square.
``export.savedmodel`` repeats it inside the graph for callers who send file bytes; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.image import Radiograph
from radiograph.window import percentile_levels

PREPROCESSING: Final = "letterbox-triangle-stretch-0.5-99.5-v1"
LOW_PERCENTILE: Final = 0.5
HIGH_PERCENTILE: Final = 99.5
MIN_RANGE: Final = 8
"""Grey levels between the percentiles below which a picture is flat and stretching would only amplify noise."""

Box = tuple[float, float, float, float]
"""left, top, right, bottom in 0..1 of a picture's width and height."""


@dataclass(frozen=True)
class Geometry:
    """Where a radiograph of ``width`` x ``height`` px lies inside its ``size`` x ``size`` px model input."""

    width: int
    height: int
    size: int
    left: int
    top: int
    inner_width: int
    inner_height: int

    def heatmap_to_original(self, heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the heat map [H, W] over the model input as float32 [height, width] over the radiograph.

        Values keep their range (bilinear interpolation never leaves it).
        """
        rows, columns = heatmap.shape
        x, y = columns / self.size, rows / self.size
        box = (
            self.left * x,
            self.top * y,
            (self.left + self.inner_width) * x,
            (self.top + self.inner_height) * y,
        )
        picture = Image.fromarray(np.ascontiguousarray(heatmap, dtype=np.float32))
        return np.asarray(picture.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box))

    def box_to_input(self, box: Box) -> Box:
        """Return a box in 0..1 of the radiograph as a box in 0..1 of the model input."""
        x0, y0, x1, y1 = box
        return (
            (self.left + x0 * self.inner_width) / self.size,
            (self.top + y0 * self.inner_height) / self.size,
            (self.left + x1 * self.inner_width) / self.size,
            (self.top + y1 * self.inner_height) / self.size,
        )

    def box_to_original(self, box: Box) -> Box:
        """Return a box in 0..1 of the model input as a box in 0..1 of the radiograph, cut at its edges."""
        x0, y0, x1, y1 = box

        def along(value: float, start: int, length: int) -> float:
            return min(max((value * self.size - start) / length, 0.0), 1.0)

        return (
            along(x0, self.left, self.inner_width),
            along(y0, self.top, self.inner_height),
            along(x1, self.left, self.inner_width),
            along(y1, self.top, self.inner_height),
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """The model's input, uint8 [S, S, 1], and the way back onto the radiograph."""

    image: NDArray[np.uint8]
    geometry: Geometry


def prepare(radiograph: Radiograph, size: int) -> Prepared:
    """Return the model input uint8 [size, size, 1] of ``radiograph`` and its geometry.

    Grey values 0..255, dense bone bright, black padding; ``size`` (px) comes from the served model's metadata.
    """
    geometry = _letterbox(radiograph.width, radiograph.height, size)
    picture = Image.fromarray(radiograph.eight_bit)
    scaled = picture.resize((geometry.inner_width, geometry.inner_height), Image.Resampling.BILINEAR)
    content = stretch(np.asarray(scaled))
    image = np.zeros((size, size, 1), np.uint8)
    image[
        geometry.top : geometry.top + geometry.inner_height,
        geometry.left : geometry.left + geometry.inner_width,
        0,
    ] = content
    return Prepared(image, geometry)


def stretch(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 pixels with the 0.5th to 99.5th percentile spread over 0..255; flat pictures stay as they are."""
    histogram = np.bincount(content.ravel(), minlength=256)
    low, high = percentile_levels(histogram, LOW_PERCENTILE, HIGH_PERCENTILE)
    if high - low < MIN_RANGE:
        return content
    levels = (np.arange(256, dtype=np.float32) - low) * np.float32(255.0 / (high - low))
    stretched: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[content]
    return stretched


def _letterbox(width: int, height: int, size: int) -> Geometry:
    scale = size / max(width, height)
    inner_width = max(1, min(size, round(width * scale)))
    inner_height = max(1, min(size, round(height * scale)))
    return Geometry(
        width, height, size, (size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height
    )
