"""Markers and borders are found and filled over without a trace, the limb is left alone, and flips are counted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from radiograph import Radiograph, prepare
from radiograph.prepare import Prepared
from training.shortcuts import (
    blank,
    energy_on_tissue,
    fill,
    find_bands,
    find_borders,
    find_markers,
    flips,
    grained,
    otsu,
    tissue,
)

SIDE = 224
Grey = NDArray[np.uint8]


def limb() -> Grey:
    """A limb of soft tissue and bone that runs from the top to the bottom of a dark picture, with film grain."""
    random = np.random.default_rng(0)
    grey = np.full((SIDE, SIDE), 20.0)
    grey[:, 70:150] = 90
    grey[:, 95:125] = 180
    grey = ndimage.gaussian_filter(grey, 2) + random.normal(0, 2, grey.shape)
    return np.asarray(np.clip(grey, 0, 255), dtype=np.uint8)


def marked(text: str, at: tuple[int, int]) -> Grey:
    """The limb with a white letter at (x, y)."""
    image = Image.fromarray(limb())
    ImageDraw.Draw(image).text(at, text, fill=250, font_size=18)
    return np.asarray(image)


@pytest.mark.parametrize("text", ["L", "R"])
@pytest.mark.parametrize("at", [(180, 100), (30, 40), (170, 170)])
def test_a_letter_beside_the_limb_is_found_where_it_stands(text: str, at: tuple[int, int]) -> None:
    picture = marked(text, at)
    mask, count = find_markers(picture)
    assert count == 1
    assert np.all(mask[picture > limb().max()])
    rows, columns = np.nonzero(mask)
    assert at[0] - 6 < columns.min() < columns.max() < at[0] + 24
    assert at[1] - 6 < rows.min() < rows.max() < at[1] + 30


@pytest.mark.parametrize("at", [(103, 100), (80, 30)])
def test_what_is_bright_on_the_limb_is_left_alone(at: tuple[int, int]) -> None:
    assert find_markers(marked("R", at))[1] == 0


def test_a_limb_alone_has_no_marker_and_no_band() -> None:
    assert find_markers(limb())[1] == 0
    assert not find_bands(limb()).any()


def test_a_blanked_marker_leaves_the_background_and_no_edge() -> None:
    picture = marked("R", (180, 100))
    mask, _ = find_markers(picture)
    filled = fill(picture, mask)
    assert np.abs(filled[mask].astype(int) - 20).max() < 12
    assert np.array_equal(filled[~mask], picture[~mask])


@pytest.mark.parametrize("turns", range(4))
def test_a_bright_band_along_a_side_is_found_but_not_the_limb_that_meets_it(turns: int) -> None:
    picture = np.rot90(limb()).copy()
    picture[:12] = 250
    picture = np.rot90(picture, turns).copy()
    band = np.rot90(find_bands(picture), -turns)
    assert band[:12].all()
    assert not band[40:].any()
    borders = np.rot90(find_borders(picture), -turns)
    assert borders[:12].all()
    assert not borders[90:130, SIDE // 2].any()


def test_the_strip_at_the_edge_spares_the_limb_that_runs_into_it() -> None:
    borders = find_borders(limb())
    assert borders[:, 0].all()
    assert borders[0, :60].all()
    assert not borders[0, 90:130].any()
    assert not borders[20:-20, 20:-20].any()


def prepared(picture: Grey) -> Prepared:
    height, width = picture.shape
    return prepare(Radiograph(pixels=picture, bits=8, original_size=(width, height), kind="PNG"), SIDE)


def test_blanking_changes_only_the_picture_and_counts_its_markers() -> None:
    narrow = marked("R", (180, 100))[20:-20]
    found = prepared(narrow)
    blanked = blank(found.image[None], [found.geometry], borders=False)
    assert blanked.markers.tolist() == [1]
    changed = blanked.images[0, :, :, 0] != found.image[:, :, 0]
    assert changed.any()
    assert not changed[: found.geometry.top].any()
    assert not changed[:, :150].any()
    assert blanked.images[0, :, 170:210].max() < 120


def test_grain_changes_the_picture_by_little_and_the_padding_not_at_all() -> None:
    found = prepared(limb()[20:-20])
    noisy = grained(found.image[None], [found.geometry])[0].astype(int)
    change = noisy - found.image
    top = found.geometry.top
    assert not change[:top].any()
    assert 1.5 < change[top:-top, 75:90].std() < 2.5


def test_otsu_parts_clear_classes() -> None:
    values = np.repeat(np.array([10, 100, 200], np.uint8), (50, 30, 20))
    low, high = otsu(values, 3)
    assert 10 <= low < 100 <= high < 200
    assert otsu(values[:80])[0] in range(10, 100)


def test_a_map_on_the_bone_has_its_energy_there_and_an_even_one_by_the_area() -> None:
    found = prepared(limb())
    cells = 28
    there = tissue(found.image[:, :, 0], found.geometry, cells)
    column = np.arange(cells) * 8 + 4
    assert there.bone[14, (column > 100) & (column < 120)].min() > 0.9
    assert there.bone[14, column < 64].max() == 0
    assert there.limb[14, (column > 78) & (column < 142)].min() > 0.9
    on_bone, even = np.zeros((cells, cells)), np.ones((cells, cells))
    on_bone[:, 13] = 1
    geometries, groups = [found.geometry] * 2, np.arange(2)
    images = np.stack([found.image] * 2)
    shares = energy_on_tissue(np.stack([on_bone] * 2), images, geometries, groups)
    assert shares["map_energy_on_bone"].value > 0.9
    shares = energy_on_tissue(np.stack([even] * 2), images, geometries, groups)
    assert shares["map_energy_on_bone"].value == pytest.approx(shares["area_of_bone"].value)
    assert 0.1 < shares["area_of_bone"].value < shares["area_of_limb"].value < 0.5


def test_flips_are_counted_by_direction_over_the_three_findings() -> None:
    before, after = np.array([0.1, 0.1, 0.5, 0.9, 0.9]), np.array([0.1, 0.5, 0.9, 0.5, 0.95])
    found = flips(before, after, (0.3, 0.7), np.array([0, 2, 0, 1, 0]), np.arange(5))
    told = {name: (metric.value, metric.n) for name, metric in found.items()}
    assert told["blanking_flips_finding"] == (0.6, 5)
    assert told["blanking_raises_finding"] == (0.4, 5)
    assert told["blanking_lowers_finding"] == (0.2, 5)
    assert told["pictures_with_a_marker"] == (0.4, 5)
    assert told["blanking_moves_probability"][0] == pytest.approx((0.4 + 0.4 + 0.4 + 0.05) / 5)
