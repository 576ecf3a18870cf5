"""Whether the heat map points at the fracture: pointing game, energy in the box, and mAP50 of regions cut from it.

Heat maps are float [N, H, W] over the letterboxed input; true boxes are normalised x0, y0, x1, y1 in the same frame,
one list a picture, empty for a normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from radiograph.prepare import Box
from radiograph.regions import Region, RegionRule, cut, cut_by
from training.metrics import ROUNDS, Floats, Groups, Metric, Scores, bootstrap, mean, undefined, wilson

Boxes = Sequence[Sequence[Box]]
_FINE: Final = 8


def peak(heatmap: Scores) -> tuple[float, float] | None:
    """Return the normalised (x, y) of the centre of the highest cell; None for a map without any positive value."""
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    if not heatmap[row, column] > 0:
        return None
    height, width = heatmap.shape
    return (float(column) + 0.5) / width, (float(row) + 0.5) / height


def pointed(heatmap: Scores, boxes: Sequence[Box]) -> bool:
    """Return whether the centre of the highest cell lies inside one of the boxes, its edges counted as inside."""
    place = peak(heatmap)
    if place is None:
        return False
    x, y = place
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)


def pointing_game(heatmaps: Scores, boxes: Boxes) -> Metric:
    """Return the share of pictures with boxes whose map is highest inside one (Zhang 2018, no tolerance), by Wilson."""
    hits = [pointed(heatmap, true) for heatmap, true in zip(heatmaps, boxes, strict=True) if true]
    return wilson(sum(hits), len(hits))


def coverage(boxes: Sequence[Box], height: int, width: int) -> Floats:
    """Return the share of each cell that the boxes cover together, float64 [height, width], to 1/64 of a cell."""
    rows = (np.arange(height * _FINE) + 0.5) / (height * _FINE)
    columns = (np.arange(width * _FINE) + 0.5) / (width * _FINE)
    covered = np.zeros((height * _FINE, width * _FINE), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        covered |= np.outer((rows >= y0) & (rows <= y1), (columns >= x0) & (columns <= x1))
    return np.asarray(covered.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3)))


def energy_in_box(heatmaps: Scores, boxes: Boxes, groups: Groups, *, rounds: int = ROUNDS, seed: int = 0) -> Metric:
    """Return the mean share of the map's sum that lies inside the true boxes, 0..1, over pictures with boxes."""
    shares, kept = [], []
    for index, (heatmap, true) in enumerate(zip(heatmaps, boxes, strict=True)):
        if true:
            total = float(heatmap.sum())
            inside = float((heatmap * coverage(true, *heatmap.shape)).sum())
            shares.append(inside / total if total > 0 else 0.0)
            kept.append(index)
    return mean(np.array(shares), np.asarray(groups)[kept], rounds=rounds, seed=seed)


def iou(first: Box, second: Box) -> float:
    """Return intersection over union of two boxes, 0..1; 0 for boxes without area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (first, second))
    return shared / (areas - shared)


def matched(found: Sequence[Region], true: Sequence[Box], least: float = 0.5) -> list[bool]:
    """Return for each region, strongest first, whether it takes a true box not yet taken with IoU >= ``least``."""
    free, right = list(true), []
    for region in found:
        overlaps = [iou(region.box, box) for box in free]
        best = int(np.argmax(overlaps)) if overlaps else -1
        right.append(best >= 0 and overlaps[best] >= least)
        if right[-1]:
            free.pop(best)
    return right


@dataclass(frozen=True)
class _Ranked:
    """All regions of a data set, strongest first: whose picture each is, whether it is right; boxes a picture."""

    picture: NDArray[np.intp]
    right: Floats
    boxes: Floats

    def average_precision(self, weights: Floats) -> Floats:
        """Return AP [R] under picture weights [R, N]: all-point interpolation of precision over recall."""
        drawn = weights[:, self.picture]
        found = np.cumsum(drawn * self.right, axis=1)
        said = np.cumsum(drawn, axis=1)
        precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((drawn * self.right * envelope).sum(axis=1) / (weights @ self.boxes))


def _ranked(found: Sequence[Sequence[Region]], boxes: Boxes, least: float) -> _Ranked:
    scores, picture, right = [], [], []
    for index, (regions, true) in enumerate(zip(found, boxes, strict=True)):
        scores += [region.score for region in regions]
        picture += [index] * len(regions)
        right += matched(regions, true, least)
    order = np.argsort(-np.array(scores, dtype=np.float64), kind="stable")
    return _Ranked(
        picture=np.array(picture, dtype=np.intp)[order],
        right=np.array(right, dtype=np.float64)[order],
        boxes=np.array([len(true) for true in boxes], dtype=np.float64),
    )


def mean_average_precision(
    found: Sequence[Sequence[Region]],
    boxes: Boxes,
    groups: Groups,
    *,
    least: float = 0.5,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Metric:
    """Return AP at IoU ``least`` (one class, so also mAP) of the regions found, with a bootstrap interval over groups.

    Regions compete over all pictures, normals among them; ``n`` counts the true boxes. Undefined without true boxes.
    """
    total = sum(len(true) for true in boxes)
    if not total:
        return undefined(0)
    ranked = _ranked(found, boxes, least)
    value = float(ranked.average_precision(np.ones((1, len(boxes))))[0])
    return bootstrap(ranked.average_precision, value, groups, n=total, rounds=rounds, seed=seed)


def cut_all(heatmaps: Scores, rule: RegionRule) -> list[list[Region]]:
    """Return the regions of every map by ``rule``, strongest first."""
    return [cut(heatmap, rule) for heatmap in heatmaps]


RULES: Final = tuple(
    RegionRule(threshold=0.05, extent=extent, padding=padding)
    for extent, padding in product((0.15, 0.35, 0.5, 0.6, 0.7, 0.8), (-0.25, 0.0, 0.25, 0.5))
)
"""What ``choose_rule`` tries. A low threshold loses nothing: AP ranks by score, and weak regions come last."""


def choose_rule(heatmaps: Scores, boxes: Boxes, rules: Sequence[RegionRule] = RULES) -> tuple[RegionRule, float]:
    """Return the rule with the best AP50 on these pictures (validation, never test), and that AP50.

    Ties go to the earlier rule. Raises ``ValueError`` when no picture has a true box.
    """
    if not any(boxes):
        raise ValueError("A region rule can only be chosen on pictures with true boxes.")
    once = np.ones((1, len(boxes)))
    by_map = [cut_by(heatmap, rules) for heatmap in heatmaps]
    scores = [float(_ranked(found, boxes, 0.5).average_precision(once)[0]) for found in zip(*by_map, strict=True)]
    best = int(np.argmax(scores))
    return rules[best], scores[best]
