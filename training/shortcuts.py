"""Whether a model looks at the limb: side markers and borders blanked, and the map's energy held against the bone.

Both work on prepared model inputs, uint8 [N, S, S, 1], so that nothing but the blanked pixels changes: grey values are
not stretched again. Blanked pixels are filled from their surroundings (nearest kept pixel, then smoothed), which leaves
no new edge to look at.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from radiograph.prepare import Geometry
from training.metrics import Groups, Metric, Scores, mean, wilson

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

STRIP: Final = 0.03
"""Width of the border that is blanked on each side, in parts of the picture's longer side."""
GRAIN: Final = 2.0
"""Standard deviation of the noise, in grey levels of 255, whose flips are compared with those of blanking."""
_BAND_DEPTH: Final = 0.12
_BAND_LENGTH: Final = 0.6
_SIZES: Final = (0.006, 0.12)
"""Least and greatest side of a marker's box, in parts of the picture's longer side."""
_CONTRAST: Final = 60
_WHITE: Final = 200
"""Grey level that a marker's brightest tenth reaches: lead letters and burnt-in labels are white."""
_SLENDER: Final = 6.0
_FILLED: Final = 0.18
_ALONE: Final = 0.6
"""Least share of a marker's surroundings that is background; less means that it lies on a limb."""
_BAND_LEVEL: Final = 200


@dataclass(frozen=True, eq=False)
class Blanked:
    """Pictures without markers and borders, uint8 [N, S, S, 1]; ``markers`` counts those found in each, int [N]."""

    images: Grey
    markers: NDArray[np.int64]


def blank(images: Grey, geometries: Sequence[Geometry], *, borders: bool = True) -> Blanked:
    """Return the prepared pictures with markers, and with ``borders`` also the outermost strip, filled over."""
    blanked = images.copy()

    def cover(row: int) -> int:
        geometry = geometries[row]
        content = _inner(images[row, :, :, 0], geometry)
        mask, count = find_markers(content)
        if borders:
            mask |= find_borders(content)
        _inner(blanked[row, :, :, 0], geometry)[:] = fill(content, mask)
        return count

    # SciPy's filters, where the time goes, run beside each other in threads.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return Blanked(blanked, np.fromiter(pool.map(cover, range(len(images))), np.int64, len(images)))


def grained(images: Grey, geometries: Sequence[Geometry]) -> Grey:
    """Return the prepared pictures [N, S, S, 1] with noise of ``GRAIN`` grey levels, the padding left black."""
    noise = np.random.default_rng(0)
    changed = images.copy()
    for row, geometry in enumerate(geometries):
        content = _inner(changed[row, :, :, 0], geometry)
        content[:] = np.clip(np.rint(content + noise.normal(0, GRAIN, content.shape)), 0, 255).astype(np.uint8)
    return changed


def _inner(square: Grey, geometry: Geometry) -> Grey:
    """Return the view of ``square`` [S, S] that holds the picture, without the padding."""
    return square[
        geometry.top : geometry.top + geometry.inner_height, geometry.left : geometry.left + geometry.inner_width
    ]


def otsu(values: NDArray[np.integer], classes: int = 2) -> tuple[int, ...]:
    """Return the ``classes`` - 1 thresholds (2 or 3 classes) that part grey values 0..255 best (Otsu 1979).

    A value belongs to the upper class when it is above the threshold. Between equal partings the lowest is taken.
    """
    counts = np.bincount(np.asarray(values).ravel(), minlength=256).astype(np.float64)
    mass = np.r_[0.0, np.cumsum(counts)]
    moment = np.r_[0.0, np.cumsum(counts * np.arange(256))]

    def between(low: NDArray[np.intp], high: NDArray[np.intp]) -> NDArray[np.float64]:
        weight = mass[high] - mass[low]
        squared = (moment[high] - moment[low]) ** 2
        return np.asarray(np.divide(squared, weight, out=np.zeros(weight.shape), where=weight > 0))

    cuts = np.arange(1, 256)
    if classes == 2:
        return (int(cuts[np.argmax(between(cuts * 0, cuts) + between(cuts, cuts * 0 + 256))]) - 1,)
    low, high = (axis.ravel() for axis in np.meshgrid(cuts, cuts, indexing="ij"))
    low, high = low[low < high], high[low < high]
    best = int(np.argmax(between(low * 0, low) + between(low, high) + between(high, high * 0 + 256)))
    return int(low[best]) - 1, int(high[best]) - 1


def find_markers(content: Grey) -> tuple[Mask, int]:
    """Return where side markers and burnt-in labels lie in a picture [h, w], and how many there are.

    A marker is a small, compact, white part whose surroundings are mostly dark: it stands outside the limb, and not
    at the very edge, where the border's lines are. Letters over the limb cannot be told from implants by this, and are
    left alone.
    """
    side = max(content.shape)
    reach = round(_SIZES[1] * side) | 1
    ground = ndimage.grey_opening(ndimage.minimum_filter(content, 3), (reach, reach))
    bright = content.astype(np.int16) - ground > _CONTRAST
    bright &= ~_strip(content.shape)
    parts, _ = ndimage.label(ndimage.binary_closing(bright, iterations=max(1, side // 200)) | bright, np.ones((3, 3)))
    (dark,) = otsu(content)
    found, count = np.zeros(content.shape, bool), 0
    for index, span in enumerate(ndimage.find_objects(parts), start=1):
        if _is_marker(content, parts, index, span, side, dark):
            found |= ndimage.binary_dilation(parts == index, iterations=max(2, round(0.01 * side)))
            count += 1
    return found, count


def _is_marker(
    content: Grey, parts: NDArray[np.integer], index: int, span: tuple[slice, slice], side: int, dark: int
) -> bool:
    height, width = (axis.stop - axis.start for axis in span)
    part = parts[span] == index
    small = _SIZES[0] * side <= min(height, width) and max(height, width) <= _SIZES[1] * side
    if not small or max(height, width) > _SLENDER * min(height, width) or part.mean() < _FILLED:
        return False
    margin = max(3, round(0.015 * side))
    around = tuple(slice(max(axis.start - margin, 0), axis.stop + margin) for axis in span)
    ring = content[around][~ndimage.binary_dilation(parts[around] == index, iterations=2)]
    white = np.percentile(content[span][part], 90) >= _WHITE
    return bool(white and ring.size and np.mean(ring <= dark) >= _ALONE)


def _strip(shape: tuple[int, ...]) -> Mask:
    """Return the outermost lines of a picture, bool [h, w]."""
    width = max(1, round(STRIP * max(shape)))
    mask = np.ones(shape, bool)
    mask[width:-width, width:-width] = False
    return mask


def find_borders(content: Grey) -> Mask:
    """Return the bright bands of a picture [h, w], and its outermost strip but for where the limb runs into it.

    Whether it does is told by what lies next to the strip: the limb is no border, and what is done to it is no test of
    borders.
    """
    strip, bands = _strip(content.shape), find_bands(content)
    return np.asarray(bands | (strip & ~_limb(fill(content, strip | bands))[0]))


def _limb(content: Grey) -> tuple[Mask, Plane]:
    """Return the limb, above the lower of two Otsu thresholds, and the smoothed picture, float32 [h, w]."""
    smooth = ndimage.gaussian_filter(content.astype(np.float32), 1.5)
    # The root spreads the dark half of the scale, where thin limbs are told from the background.
    rooted = np.rint(np.sqrt(smooth * 255)).astype(np.uint8)
    return rooted > otsu(rooted, 3)[0], smooth


def find_bands(content: Grey) -> Mask:
    """Return the bright bands along the sides of a picture [h, w]: film beyond the collimator.

    A band is bright along most of a side, and shallow.
    """
    mask = np.zeros(content.shape, bool)
    for turns in range(4):
        mask |= np.rot90(_band(np.rot90(content, turns) > _BAND_LEVEL), -turns)
    return mask


def _band(bright: Mask) -> Mask:
    """Return the band of bright pixels along the top of ``bright`` [h, w]; all False where there is none."""
    height, _ = bright.shape
    edge = max(2, round(STRIP * height / 2))
    # The outermost lines are often black: a band counts from the first bright pixel near the edge.
    first = np.argmax(bright[:edge], axis=0)
    starts = bright[first, np.arange(bright.shape[1])]
    below = np.arange(height)[:, None] >= first
    ends = np.argmax(~bright & below, axis=0)
    depth = np.where(starts, np.where(ends > 0, ends, height), 0)
    none = np.zeros(bright.shape, bool)
    if np.mean(starts) < _BAND_LENGTH:
        return none
    typical = float(np.median(depth[starts]))
    if typical > _BAND_DEPTH * height:
        return none
    # A line that runs on into the limb ends where the band does elsewhere.
    reach = np.minimum(depth, 1.3 * typical) + 0.04 * height
    return np.asarray((np.arange(height)[:, None] < reach) & starts)


def fill(content: Grey, mask: Mask) -> Grey:
    """Return the picture with the pixels of ``mask`` filled from the nearest others and smoothed among themselves."""
    if not mask.any() or mask.all():
        return content.copy()
    rows, columns = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    filled = content[rows, columns].astype(np.float32)
    for _ in range(3):
        filled = np.where(mask, ndimage.gaussian_filter(filled, 2.0, mode="nearest"), content)
    return np.asarray(np.rint(filled), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where limb and bone are in the cells of a heat map: shares 0..1 of each cell, float [H, W]; padding is 0."""

    limb: NDArray[np.float64]
    bone: NDArray[np.float64]
    picture: NDArray[np.float64]


def tissue(image: Grey, geometry: Geometry, cells: int) -> Tissue:
    """Return limb and bone of a prepared picture [S, S] in ``cells`` × ``cells`` cells.

    The limb is what lies above the lower of two Otsu thresholds, markers and bright bands left out; bone is what in the
    limb is brighter than the limb around it (within a twentieth of the picture): cortex and spongy bone stand out from
    soft tissue everywhere, but by another level in a finger than in a hip.
    """
    content = _inner(image, geometry)
    outside = find_markers(content)[0] | find_bands(content)
    limb, smooth = _limb(fill(content, outside))
    limb &= ~outside
    reach = max(content.shape) / 20
    weight = ndimage.gaussian_filter(limb.astype(np.float32), reach)
    around = ndimage.gaussian_filter(np.where(limb, smooth, 0), reach) / np.maximum(weight, 1e-6)
    shares = []
    for mask in (limb, limb & (smooth > around), np.ones(content.shape, bool)):
        square = np.zeros(image.shape, bool)
        _inner(square, geometry)[:] = mask
        step = image.shape[0] // cells
        shares.append(square.reshape(cells, step, cells, step).mean(axis=(1, 3)))
    return Tissue(*shares)


def flips(
    before: Scores, after: Scores, thresholds: tuple[float, float], markers: NDArray[np.int64], groups: Groups
) -> dict[str, Metric]:
    """Return how often blanking changes the finding (no fracture, suspicion, fracture), whither, and by how much.

    ``before`` and ``after`` are calibrated probabilities [N]; ``markers`` says how many were found in each picture.
    """
    first, second = (np.digitize(np.asarray(said), thresholds) for said in (before, after))
    count = len(first)
    return {
        "pictures_with_a_marker": wilson(int(np.sum(markers > 0)), count),
        "blanking_flips_finding": wilson(int(np.sum(first != second)), count),
        "blanking_raises_finding": wilson(int(np.sum(second > first)), count),
        "blanking_lowers_finding": wilson(int(np.sum(second < first)), count),
        "blanking_moves_probability": mean(np.abs(np.asarray(after, np.float64) - before), groups),
    }


def energy_on_tissue(
    heatmaps: Scores, images: Grey, geometries: Sequence[Geometry], groups: Groups
) -> dict[str, Metric]:
    """Return the mean share of the maps' sum on limb and on bone, and the share of the picture that these cover.

    A map that looked anywhere would have its energy in proportion to the area. ``heatmaps`` is float [N, H, W].
    """
    shares: dict[str, list[float]] = {"map_energy_on_limb": [], "area_of_limb": [], "map_energy_on_bone": [],
                                      "area_of_bone": []}  # fmt: skip
    cells = repeat(heatmaps.shape[1], len(heatmaps))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tissues = list(pool.map(tissue, images[:, :, :, 0], geometries, cells))
    for heatmap, found in zip(heatmaps, tissues, strict=True):
        total = max(float(heatmap.sum()), 1e-12)
        for name, where in (("limb", found.limb), ("bone", found.bone)):
            shares[f"map_energy_on_{name}"].append(float((heatmap * where).sum()) / total)
            shares[f"area_of_{name}"].append(float(where.sum() / found.picture.sum()))
    return {name: mean(np.array(values), groups) for name, values in shares.items()}
