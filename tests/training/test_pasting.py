"""Pasting a patch: it is cut as it lies, finds the place it came from, and changes nothing but its place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from radiograph.prepare import Box
from training.pasting import Patch, Plane, best_place, cut_patch, paste

SIZE = 128
BOX: Box = (56 / SIZE, 60 / SIZE, 72 / SIZE, 68 / SIZE)


def picture(seed: int) -> Plane:
    """Smooth random shapes of grey 0 to 255, float32 [128, 128]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIZE, SIZE)), 3)
    return np.asarray(255 * (noise - noise.min()) / np.ptp(noise), np.float32)


def patch_of(plane: Plane, angle: float = 0.0, *, mirrored: bool = False) -> Patch:
    patch = cut_patch(plane, BOX, angle, mirrored=mirrored)
    assert patch is not None
    return patch


def test_a_patch_is_the_fracture_with_its_surroundings() -> None:
    plane = picture(1)
    patch = patch_of(plane)
    side = patch.grey.shape[0]
    assert (side, patch.width, patch.height) == (48, 16, 8)  # 8 px half the box and 14 px of rim, up to fours
    np.testing.assert_allclose(patch.grey, plane[40:88, 40:88], atol=1e-3)
    assert patch.inside.all()


def test_a_patch_is_mirrored_and_turned() -> None:
    plane = picture(1)
    straight = patch_of(plane)
    np.testing.assert_allclose(patch_of(plane, mirrored=True).grey, straight.grey[:, ::-1], atol=1e-3)
    turned = patch_of(plane, 90.0)
    np.testing.assert_allclose(turned.grey, np.rot90(straight.grey), atol=1e-2)
    assert turned.height > turned.width


@pytest.mark.parametrize("box", [(0.1, 0.1, 0.8, 0.8), (0.0, 0.0, 0.1, 0.1)], ids=["too large", "at the edge"])
def test_no_patch_is_cut(box: Box) -> None:
    assert cut_patch(picture(1), box, 0.0, mirrored=False) is None


@pytest.mark.parametrize("move", [(0, 0), (7, -5), (-13, 18)])
def test_a_patch_finds_where_it_came_from(move: tuple[int, int]) -> None:
    plane = picture(1)
    moved = np.roll(plane, move, (0, 1))
    place = best_place([patch_of(picture(3)), patch_of(plane)], [picture(2), moved])
    assert place is not None
    assert (place.candidate, place.patch) == (1, 1)
    assert (place.top, place.left) == (40 + move[0], 40 + move[1])
    assert place.similarity == pytest.approx(1, abs=1e-3)


def test_film_without_anatomy_takes_no_patch() -> None:
    faint = (20 + picture(4) / 255).astype(np.float32)
    assert best_place([patch_of(picture(1))], [faint]) is None
    assert best_place([], [picture(1)]) is None


def test_pasting_changes_the_place_alone_and_says_where_the_fracture_is() -> None:
    plane, patch = picture(1), patch_of(picture(2))
    image, box = paste(patch, plane, 20, 60)
    outside = np.ones(image.shape, bool)
    outside[20:68, 60:108] = False
    np.testing.assert_array_equal(image[outside], np.rint(plane[outside]).astype(np.uint8))
    x0, y0, x1, y1 = (round(edge * SIZE) for edge in box)
    assert (x0, y0, x1, y1) == (84 - 8, 44 - 4, 84 + 8, 44 + 4)
    within = image[y0:y1, x0:x1].astype(float).ravel()
    assert np.corrcoef(within, patch.grey[20:28, 16:32].ravel())[0, 1] > 0.9
    rim = np.abs(image.astype(float) - plane)[20, 60:108]
    assert rim.max() <= 1


def test_what_is_pasted_back_where_it_lay_leaves_the_picture_as_it_was() -> None:
    plane = picture(1)
    image, _ = paste(patch_of(plane), plane, 40, 40)
    np.testing.assert_allclose(image.astype(float), plane, atol=1)
