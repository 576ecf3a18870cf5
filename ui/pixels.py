"""The original's own pixels for the viewer, sent only when a reader zooms in or sets the window.

A browser decodes pictures to 8 bits, so the pixels go to it as plain numbers, packed by gzip:
five uint32 (width, height, bytes a pixel, black and white level), then the rows, all little-endian.
"""

from __future__ import annotations

import gzip
from typing import Final

import numpy as np
from PIL import Image

from radiograph import Radiograph

LIMIT: Final = 4096
"""Longest side (px) of what is sent: no screen has more, and a browser holds six bytes a pixel."""
_SHARE: Final = 0.005
"""Share of the pixels that a deep picture shows quite black, and quite white, as ``radiograph.prepare`` does."""


def shown_levels(radiograph: Radiograph) -> tuple[int, int]:
    """Return the grey levels that are shown black and white before a reader changes anything."""
    if radiograph.bits <= 8:
        return 0, 255
    histogram = np.bincount(radiograph.pixels.ravel(), minlength=1 << radiograph.bits)
    shares = np.cumsum(histogram) / radiograph.pixels.size
    low, high = np.searchsorted(shares, [_SHARE, 1.0 - _SHARE])
    return int(low), max(int(high), int(low) + 1)


def packed(radiograph: Radiograph) -> bytes:
    """Return the pixels as the viewer reads them, at their own depth, the longer side at most ``LIMIT`` px."""
    pixels = radiograph.pixels
    if max(pixels.shape) > LIMIT:
        scale = LIMIT / max(pixels.shape)
        size = (max(1, round(radiograph.width * scale)), max(1, round(radiograph.height * scale)))
        # Pillow scales 16 bits only as floating-point numbers.
        deep = Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        pixels = np.rint(np.asarray(deep)).astype(pixels.dtype)
    height, width = pixels.shape
    head = np.array([width, height, pixels.dtype.itemsize, *shown_levels(radiograph)], "<u4")
    return gzip.compress(head.tobytes() + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(), 1, mtime=0)
