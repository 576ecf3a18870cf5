"""Regions of a heat map: where on the picture the model points, as boxes with scores.

The page draws them and the evaluation measures them, so both speak of the same boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from radiograph.prepare import Box

_MOST_PEAKS: Final = 20
"""A map with more peaks is noise; the strongest are kept."""


@dataclass(frozen=True)
class Region:
    """One place on the picture: its box in the heat map's own normalised coordinates, and its score in 0..1."""

    box: Box
    score: float


@dataclass(frozen=True)
class RegionRule:
    """How regions are cut from a map; every number is chosen on validation data.

    A peak counts from ``threshold`` on; its region is the connected part of the map around it above ``extent`` times
    the peak (and never below ``threshold * extent``). ``padding`` cells of the original map are added on each side
    (negative: taken away), and the map is interpolated ``upsample``-fold first, because a fracture is often smaller
    than two cells; an odd number keeps the height of the peaks. ``score`` is ``max`` or ``mean`` over the region.
    """

    threshold: float = 0.5
    extent: float = 0.5
    padding: float = 0.0
    upsample: int = 5
    score: Literal["max", "mean"] = "max"


@dataclass(frozen=True)
class _Spot:
    """A region before padding: left, top, right and bottom in cells of the interpolated map, and what is in it."""

    span: tuple[int, int, int, int]
    highest: float
    mean: float


def upsampled(heatmap: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Return the map [H, W] interpolated bilinearly to [H * factor, W * factor], cell centres kept in place."""
    values = np.asarray(heatmap, dtype=np.float32)
    if factor == 1:
        return values
    rows, columns = ((np.arange(n * factor) + 0.5) / factor - 0.5 for n in values.shape)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, grid, order=1, mode="nearest"), dtype=np.float32)


def _peaks(values: NDArray[np.float32], threshold: float) -> list[tuple[int, int]]:
    """Return the cells that are the highest of their 3×3 surroundings and reach the threshold, highest first."""
    highest = (values == ndimage.maximum_filter(values, size=3, mode="nearest")) & (values >= threshold) & (values > 0)
    rows, columns = np.nonzero(highest)
    order = np.argsort(-values[rows, columns], kind="stable")[:_MOST_PEAKS]
    return [(int(rows[i]), int(columns[i])) for i in order]


def cut(heatmap: NDArray[np.floating], rule: RegionRule) -> list[Region]:
    """Return the regions of one map, float [H, W] in 0..1, by ``rule``, strongest first; an empty list when none.

    A peak that stands inside the region of a higher one belongs to it, and a lower peak whose own region would
    swallow a higher peak is no place of its own.
    """
    return cut_by(heatmap, (rule,))[0]


def cut_by(heatmap: NDArray[np.floating], rules: Sequence[RegionRule]) -> list[list[Region]]:
    """Return the regions of one map by each of the rules, as ``cut`` does; what the rules share is done once."""
    highest = np.asarray(heatmap, dtype=np.float32).max()

    @cache
    def fine(factor: int) -> NDArray[np.float32]:
        return upsampled(heatmap, factor)

    @cache
    def peaks(factor: int, threshold: float) -> list[tuple[int, int]]:
        return _peaks(fine(factor), threshold)

    @cache
    def spots(factor: int, threshold: float, extent: float) -> list[_Spot]:
        return _spots(fine(factor), peaks(factor, threshold), extent)

    def found(rule: RegionRule) -> list[Region]:
        # Interpolation never rises above the map, and most maps of normals are low all over.
        if highest < rule.threshold:
            return []
        cut_out = spots(rule.upsample, rule.threshold, rule.extent)
        return sorted((_region(spot, rule, heatmap.shape) for spot in cut_out), key=lambda region: -region.score)

    return [found(rule) for rule in rules]


def _region(spot: _Spot, rule: RegionRule, shape: tuple[int, ...]) -> Region:
    height, width = (side * rule.upsample for side in shape)
    left, top, right, bottom = spot.span
    x0, x1 = _widened(left / width, right / width, rule.padding * rule.upsample / width)
    y0, y1 = _widened(top / height, bottom / height, rule.padding * rule.upsample / height)
    return Region((x0, y0, x1, y1), spot.mean if rule.score == "mean" else spot.highest)


def _spots(values: NDArray[np.float32], peaks: Sequence[tuple[int, int]], extent: float) -> list[_Spot]:
    """Return the connected parts around the peaks that count, in the order of the peaks."""
    taken = np.zeros(values.shape, dtype=bool)
    found: list[_Spot] = []
    for row, column in peaks:
        if taken[row, column]:
            continue
        parts, _ = ndimage.label(values >= extent * values[row, column], structure=np.ones((3, 3)))
        index = parts[row, column]
        down, across = where = ndimage.find_objects(parts, index)[index - 1]
        part = parts[where] == index
        if np.any(taken[where] & part):
            continue
        taken[where] |= part
        inside = values[where][part]
        span = (across.start, down.start, across.stop, down.stop)
        found.append(_Spot(span, float(inside.max()), float(inside.mean())))
    return found


def _widened(low: float, high: float, padding: float) -> tuple[float, float]:
    """Return the span widened on both sides within 0..1; one narrowed too far keeps a tenth of its length."""
    middle, half = (low + high) / 2, max((high - low) / 2 + padding, (high - low) / 20)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def regions(heatmap: NDArray[np.floating], threshold: float) -> list[Region]:
    """Return the connected parts of a map, float [H, W], that reach ``threshold``, strongest first.

    A box is the extent of the part's cells, normalised to the map; the score is the highest cell in it. Cells that
    touch at a corner belong together. Cells of value 0 (padding) never count.
    """
    values = np.asarray(heatmap, dtype=np.float32)
    height, width = values.shape
    parts, _ = ndimage.label((values >= threshold) & (values > 0), structure=np.ones((3, 3)))
    found = []
    for index, span in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = span
        box = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
        found.append(Region(box, float(values[span][parts[span] == index].max())))
    return sorted(found, key=lambda region: -region.score)
