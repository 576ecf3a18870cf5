"""Layers over a radiograph: colour by value, outlines around places, pictures small enough for a page."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from radiograph import Radiograph
from ui.overlay import (
    FAINTEST,
    Layers,
    annotation_layer,
    display_picture,
    heat_layer,
    jpeg,
    marked_picture,
    outlines,
    places,
    png,
)


def spot(x: float, y: float, height: int = 120, width: int = 160, radius: float = 0.1) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0:height, 0:width]
    distance = ((columns / width - x) * width / height) ** 2 + (rows / height - y) ** 2
    return np.asarray(np.exp(-distance / (2 * radius**2)), np.float32)


def luminance(layer: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(layer[..., :3] @ np.array([0.2126, 0.7152, 0.0722]))


def test_hotter_is_lighter_and_more_opaque() -> None:
    layer = heat_layer(np.linspace(0, 1, 256, dtype=np.float32)[None])
    assert np.all(np.diff(luminance(layer)[0]) >= 0)
    assert np.all(np.diff(layer[0, :, 3].astype(int)) >= 0)


def test_cold_places_are_not_drawn_and_hot_ones_let_the_bone_through() -> None:
    layer = heat_layer(np.array([[0.0, FAINTEST, 1.0]], np.float32))
    assert layer[0, :2, 3].tolist() == [0, 0]
    assert 0 < layer[0, 2, 3] < 255


def test_an_outline_encloses_the_hot_place() -> None:
    (polygon,) = outlines(spot(0.3, 0.6))
    assert polygon.mean(axis=0) == pytest.approx([0.3, 0.6], abs=0.01)
    assert polygon.min() >= 0
    assert polygon.max() <= 1


def test_each_hot_place_has_its_own_outline() -> None:
    assert len(outlines(np.maximum(spot(0.2, 0.3), spot(0.8, 0.7)))) == 2


@pytest.mark.parametrize("heatmap", [np.zeros((40, 50), np.float32), spot(0.5, 0.5) * (FAINTEST - 0.01)])
def test_a_cold_map_has_no_outline(heatmap: NDArray[np.float32]) -> None:
    assert outlines(heatmap) == ()


def test_a_map_hot_everywhere_is_outlined_at_its_edge() -> None:
    (polygon,) = outlines(np.ones((40, 60), np.float32))
    assert polygon.max(axis=0) == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((100, 80), (100, 80)), ((3200, 2400), (1600, 1200)), ((300, 6400), (75, 1600))],
)
@pytest.mark.parametrize("bits", [8, 12])
def test_a_picture_is_bounded_and_never_enlarged(shape: tuple[int, int], expected: tuple[int, int], bits: int) -> None:
    pixels = np.zeros(shape, np.uint8) if bits == 8 else np.zeros(shape, np.uint16)
    picture = display_picture(Radiograph(pixels, bits, shape[::-1], "PNG"))
    assert picture.dtype == np.uint8
    assert picture.shape == expected


def test_eight_bit_pixels_keep_their_grey_values() -> None:
    pixels = np.random.default_rng(1).integers(60, 90, (50, 40), np.uint8)
    assert np.array_equal(display_picture(Radiograph(pixels, 8, (40, 50), "PNG")), pixels)


def test_deep_pixels_use_the_whole_range_of_the_screen() -> None:
    pixels = np.linspace(1000, 1400, 100 * 80).reshape(100, 80).astype(np.uint16)
    picture = display_picture(Radiograph(pixels, 12, (80, 100), "DICOM"))
    assert picture.min() == 0
    assert picture.max() == 255


def test_the_radiograph_itself_is_never_altered() -> None:
    pixels = np.random.default_rng(2).integers(0, 4096, (90, 70), np.uint16)
    kept = pixels.copy()
    display_picture(Radiograph(pixels, 12, (70, 90), "DICOM"))
    assert np.array_equal(pixels, kept)


def test_pictures_are_files_of_their_kind_without_metadata() -> None:
    grey, layer = np.full((20, 30), 7, np.uint8), heat_layer(spot(0.5, 0.5))
    for file, kind, size in ((jpeg(grey), "JPEG", (30, 20)), (png(layer), "PNG", (160, 120))):
        with Image.open(BytesIO(file)) as picture:
            assert (picture.format, picture.size) == (kind, size)
            assert len(picture.getexif()) == 0


def test_each_place_has_the_highest_value_in_it_and_the_strongest_comes_first() -> None:
    heatmap = np.maximum(spot(0.2, 0.3) * np.float32(0.7), spot(0.8, 0.7) * np.float32(0.9))
    assert [place.score for place in places(heatmap, outlines(heatmap))] == pytest.approx([0.9, 0.7], abs=0.01)


def test_a_hole_is_no_place() -> None:
    ring = np.clip(spot(0.5, 0.5, radius=0.3) - spot(0.5, 0.5, radius=0.12), 0, 1)
    found = outlines(ring)
    assert len(found) == 2
    (place,) = places(ring, found)
    assert np.ptp(place.outline[:, 0]) == max(np.ptp(polygon[:, 0]) for polygon in found)


@pytest.mark.parametrize("dotted", [False, True])
def test_a_marked_picture_shows_heat_and_outline_and_leaves_the_rest(dotted: bool) -> None:
    heatmap = spot(0.3, 0.6)
    grey = np.full((480, 640), 100, np.uint8)
    picture = marked_picture(Layers(grey, heat_layer(heatmap), outlines(heatmap)), dotted=dotted)
    assert picture.shape == (480, 640, 3)
    assert picture.dtype == np.uint8
    assert np.ptp(picture[288, 192].astype(int)) > 60
    assert (picture[:100, 400:] == 100).all()
    assert (grey == 100).all()


def test_a_dotted_line_has_less_ink_than_a_solid_one() -> None:
    heatmap = spot(0.3, 0.6)
    drawn = Layers(np.zeros((480, 640), np.uint8), None, outlines(heatmap))
    ink = [int((marked_picture(drawn, dotted=dotted) == 255).sum()) for dotted in (True, False)]
    assert 0 < ink[0] < 0.8 * ink[1]


def test_annotations_of_a_dicom_file_become_a_layer_of_the_displayed_size() -> None:
    plane = np.zeros((3200, 2400), np.bool_)
    plane[100:110, 200:900] = True
    radiograph = Radiograph(np.zeros(plane.shape, np.uint8), 8, (2400, 3200), "DICOM", overlay=plane)
    layer = annotation_layer(radiograph)
    assert layer is not None
    assert layer.shape == (1600, 1200, 4)
    assert layer[52, 200, 3] == 255
    assert layer[300:, :, 3].max() == 0
    assert annotation_layer(Radiograph(np.zeros((40, 40), np.uint8), 8, (40, 40), "PNG")) is None
