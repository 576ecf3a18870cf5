"""Fractures in new surroundings: a patch around one is pasted where another radiograph looks most alike.

After Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method (CVPR 2021), with the place found by
normalised cross-correlation, which often lays bone on bone. Everything happens in model inputs of S×S px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import correlate

from radiograph.prepare import Box

Plane = NDArray[np.float32]

_SHRINK: Final = 4
"""The place is sought in pictures this many times smaller, then refined by as many pixels either way."""
_RIM: Final = (14.0, 0.35)
"""Surroundings that come along on each side: at least so many pixels, or this share of the fracture's longer side."""
_LARGEST: Final = 0.75
"""A patch wider than this share of the picture is a picture of its own: it is not pasted."""
_FLAT: Final = 50.0
"""Variance in squared grey levels below which a place is film or collimator, not anatomy."""
_OUTSIDE: Final = 0.03
"""Share of a patch that may lie outside its picture."""
_GAIN: Final = (0.6, 1.7)
"""Bounds of the factor that brings the patch's contrast to that of its new place."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A turned cut-out: ``grey`` float32 [P,P] in 0..255, ``inside`` where it shows its picture, and the fracture's
    ``width`` and ``height`` in pixels around the middle, seen upright.
    """

    grey: Plane
    inside: NDArray[np.bool_]
    width: float
    height: float


@dataclass(frozen=True)
class Place:
    """Where a patch fits best: rows of the candidate and of the patch, its upper left corner in pixels.

    ``similarity`` is the normalised cross-correlation there, -1..1.
    """

    candidate: int
    patch: int
    top: int
    left: int
    similarity: float


def cut_patch(picture: Plane, box: Box, angle: float, *, mirrored: bool) -> Patch | None:
    """Return the fracture ``box`` (0..1) of ``picture`` [S,S] with its surroundings, turned by ``angle`` degrees.

    None where it is too large, or too near to the picture's edge.
    """
    size = picture.shape[0]
    width, height = (box[2] - box[0]) * size, (box[3] - box[1]) * size
    longer = max(width, height)
    half = int(np.ceil((longer / 2 + max(_RIM[0], _RIM[1] * longer)) / _SHRINK) * _SHRINK)
    if 2 * half > _LARGEST * size:
        return None
    down, across = np.mgrid[-half:half, -half:half] + 0.5
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    x = (box[0] + box[2]) / 2 * size + cos * (-across if mirrored else across) - sin * down
    y = (box[1] + box[3]) / 2 * size + sin * (-across if mirrored else across) + cos * down
    grey = ndimage.map_coordinates(picture, [y - 0.5, x - 0.5], order=1, mode="constant", cval=-1.0)
    inside = grey >= 0
    if 1 - inside.mean() > _OUTSIDE:
        return None
    # Between the box itself and the upright one around the turned box, which is too large for what a fracture fills.
    cos, sin = abs(cos), abs(sin)
    slack = (1 + cos) / 2
    turned = ((cos * width + sin * height) * slack, (sin * width + cos * height) * slack)
    return Patch(np.maximum(grey, 0).astype(np.float32), inside, *turned)


def shrunk(picture: Plane) -> Plane:
    """Return means of ``picture`` [S,S] over squares of 4×4 px, float32 [S/4,S/4]."""
    rows, columns = picture.shape[0] // _SHRINK, picture.shape[1] // _SHRINK
    means: Plane = picture.reshape(rows, _SHRINK, columns, _SHRINK).mean((1, 3), dtype=np.float32)
    return means


def best_place(patches: Sequence[Patch], candidates: Sequence[Plane]) -> Place | None:
    """Return where one of the patches fits best into one of the ``candidates``, float32 [S,S] each.

    None without a patch, or where every place of every candidate is flat.
    """
    best: Place | None = None
    small_patches = [shrunk(patch.grey) for patch in patches]
    for row, candidate in enumerate(candidates):
        small = shrunk(candidate)
        for index, patch in enumerate(small_patches):
            found = _correlation(small, patch)
            top, left = np.unravel_index(int(found.argmax()), found.shape)
            similarity = float(found[top, left])
            if similarity > (best.similarity if best else 0.0):
                best = Place(row, index, int(top) * _SHRINK, int(left) * _SHRINK, similarity)
    return _refined(best, patches[best.patch].grey, candidates[best.candidate]) if best else None


def paste(patch: Patch, picture: Plane, top: int, left: int) -> tuple[NDArray[np.uint8], Box]:
    """Return ``picture`` with the patch at this corner, uint8 [S,S], and the fracture's box there in 0..1.

    Contrast and slow shading become those of the place; the rim fades out, the fracture itself stays whole.
    """
    side, size = patch.grey.shape[0], picture.shape[0]
    half, place = side / 2, picture[top : top + side, left : left + side]
    gain = np.clip(place.std() / (patch.grey.std() + 1e-6), *_GAIN)
    grey = (patch.grey - patch.grey.mean()) * gain + place.mean()
    grey += ndimage.gaussian_filter(place, half / 2) - ndimage.gaussian_filter(grey, half / 2)
    down, across = np.abs(np.mgrid[-half:half, -half:half] + 0.5)
    beyond_x = np.maximum(across - patch.width / 2, 0) / (half - patch.width / 2)
    beyond_y = np.maximum(down - patch.height / 2, 0) / (half - patch.height / 2)
    near = np.clip((1 - np.hypot(beyond_x, beyond_y)) / 0.8, 0, 1)
    share = near**2 * (3 - 2 * near) * patch.inside
    pasted = picture.copy()
    pasted[top : top + side, left : left + side] = share * grey + (1 - share) * place
    x, y = (left + half) / size, (top + half) / size
    wide, high = patch.width / size / 2, patch.height / size / 2
    return np.rint(np.clip(pasted, 0, 255)).astype(np.uint8), (x - wide, y - high, x + wide, y + high)


def _correlation(picture: Plane, patch: Plane) -> Plane:
    """Return the normalised cross-correlation of ``patch`` with each place of ``picture``, -1 where flat."""
    count = patch.size
    centred = patch - patch.mean()
    product = correlate(picture - picture.mean(), centred, mode="valid", method="fft")
    spread = _window_sums(picture.astype(np.float64) ** 2, patch.shape)
    spread -= _window_sums(picture.astype(np.float64), patch.shape) ** 2 / count
    norm = np.sqrt(np.maximum(spread, 1e-6)) * (np.sqrt((centred**2).sum()) + 1e-6)
    return np.where(spread < count * _FLAT, -1.0, product / norm).astype(np.float32)


def _window_sums(values: NDArray[np.float64], window: tuple[int, ...]) -> NDArray[np.float64]:
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    high, wide = window
    sums: NDArray[np.float64] = (
        total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
    )
    return sums


def _refined(found: Place, patch: Plane, picture: Plane) -> Place:
    """Return the best of the places up to a shrunk pixel away, by the whole pixels."""
    side = patch.shape[0]
    top, left = max(found.top - _SHRINK, 0), max(found.left - _SHRINK, 0)
    near = picture[top : found.top + side + _SHRINK, left : found.left + side + _SHRINK]
    similar = _correlation(near, patch)
    down, across = np.unravel_index(int(similar.argmax()), similar.shape)
    return Place(found.candidate, found.patch, top + int(down), left + int(across), float(similar[down, across]))
