"""The original's pixels as the viewer gets them: every value, at the file's depth, in the file's size."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph import Radiograph
from ui.overlay import display_picture
from ui.pixels import LIMIT, packed, shown_levels


def radiograph(pixels: NDArray[np.uint8] | NDArray[np.uint16], bits: int) -> Radiograph:
    return Radiograph(pixels, bits, (pixels.shape[1], pixels.shape[0]), "PNG")


def unpacked(data: bytes) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
    """Return the five numbers of the head and the pixels, as a browser reads them."""
    plain = gzip.decompress(data)
    head = np.frombuffer(plain, "<u4", 5)
    pixels = np.frombuffer(plain, "<u2" if head[2] == 2 else "u1", offset=20).reshape(head[1], head[0])
    return tuple(head.tolist()), pixels.astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_pixel_arrives_as_it_is(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, (70, 50))
    pixels = values.astype(np.uint8) if bits == 8 else values.astype(np.uint16)
    head, sent = unpacked(packed(radiograph(pixels, bits)))
    assert head[:3] == (50, 70, pixels.itemsize)
    assert np.array_equal(sent, pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_picture_larger_than_any_screen_is_scaled_and_keeps_its_grey_values(bits: int) -> None:
    shape = (20, 2 * LIMIT)
    pixels = np.full(shape, 200, np.uint8) if bits == 8 else np.full(shape, 200, np.uint16)
    head, sent = unpacked(packed(radiograph(pixels, bits)))
    assert head[:2] == (LIMIT, 10)
    assert set(sent.ravel().tolist()) == {200}


@pytest.mark.parametrize(("bits", "levels"), [(8, (0, 255)), (12, (1002, 1398))])
def test_the_first_window_is_that_of_the_shown_picture(bits: int, levels: tuple[int, int]) -> None:
    values = np.linspace(1000, 1400, 100 * 80).reshape(100, 80)
    pixels = (values / 8).astype(np.uint8) if bits == 8 else values.astype(np.uint16)
    drawn = radiograph(pixels, bits)
    low, high = shown_levels(drawn)
    assert (low, high) == pytest.approx(levels, abs=1)
    windowed = np.clip((pixels.astype(float) - low) / (high - low), 0, 1) * 255
    assert np.abs(windowed - display_picture(drawn)).max() < 5


def test_a_flat_deep_picture_still_has_a_window() -> None:
    low, high = shown_levels(radiograph(np.full((20, 20), 900, np.uint16), 12))
    assert high > low
