"""The window in which deep pixels are looked at, by the model and by people: the range of grey levels in use."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

DARKEST_PERCENTILE: Final = 0.1
BRIGHTEST_PERCENTILE: Final = 99.9
_BLOCK: Final = 1 << 16
"""Pixels at a time: what NumPy widens to 64 bits then stays in the processor's cache, which is three times faster."""


def eight_bit(pixels: NDArray[np.uint8] | NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Return pixels as uint8 of the same shape, windowed to the range in use where they hold more than 8 bits."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    flat = pixels.reshape(-1)
    blocks = [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]
    histogram = np.zeros(1 << bits, np.intp)
    for block in blocks:
        histogram += np.bincount(block, minlength=histogram.size)
    low, high = percentile_levels(histogram, DARKEST_PERCENTILE, BRIGHTEST_PERCENTILE)
    high = max(high, low + 1)
    levels = (np.arange(histogram.size, dtype=np.float32) - low) * np.float32(255.0 / (high - low))
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    windowed = np.empty(flat.size, np.uint8)
    for start, block in zip(range(0, flat.size, _BLOCK), blocks, strict=True):
        # No level is beyond the table; "clip" only spares NumPy a copy of the output.
        np.take(table, block, out=windowed[start : start + _BLOCK], mode="clip")
    return windowed.reshape(pixels.shape)


def percentile_levels(histogram: NDArray[np.intp], low: float, high: float) -> tuple[int, int]:
    """Return the first grey levels at which the cumulated histogram reaches the two percentiles."""
    cumulated = np.cumsum(histogram)
    total = float(cumulated[-1])
    first, last = np.searchsorted(cumulated, [total * low / 100.0, total * high / 100.0])
    return int(first), int(last)
