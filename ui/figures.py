"""Figures of a model card as SVG: reliability, and the ROC curve as far as the card's counts tell it.

Both say in words (``aria-label``) what they show, and use no colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from export import contract
from ui.signs import escape
from ui.words import percent

SIDE: Final = 260
"""Side of the square in which probabilities and rates from 0 to 1 are drawn."""
LEFT, TOP, RIGHT, BOTTOM = 46, 12, 14, 42


@dataclass(frozen=True)
class RocPoint:
    """A threshold's rates, 0..1: false alarms among those without a fracture, and fractures found."""

    false_rate: float
    found_rate: float


def reliability(card: contract.ModelCard) -> str:
    """Return the share of fractured test radiographs by stated probability; nothing where the card has no counts."""
    if not card.calibration:
        return ""
    drawn, told = [], []
    for entry in card.calibration:
        share, left, right = entry.fractured, _x(entry.low), _x(entry.high)
        drawn.append(
            f'<rect class="interval" x="{left:.1f}" y="{_y(share.high):.1f}" width="{max(right - left, 1.5):.1f}" '
            f'height="{_y(share.low) - _y(share.high):.1f}"/>'
            f'<path class="value" d="M{left:.1f} {_y(share.value):.1f}H{max(right, left + 1.5):.1f}"/>'
        )
        told.append(
            f"{percent(entry.low)} to {percent(entry.high)}: {percent(share.value)} fractured "
            f"({percent(share.low)} to {percent(share.high)}, n {share.n})"
        )
    label = f"Stated probability and share of fractured radiographs in the test set. {'; '.join(told)}."
    return _plot(label, "".join(drawn), "Stated probability", "Share fractured")


def roc(card: contract.ModelCard) -> str:
    """Return both operating points with their intervals, and the curve where the card has counts; nothing without."""
    points = {kind: point for kind in ("suspicion", "fracture") if (point := _operating_point(card, kind)) is not None}
    curve = roc_points(card.calibration)
    if not points and not curve:
        return ""
    line = " ".join(f"{_x(point.false_rate):.1f},{_y(point.found_rate):.1f}" for point in curve)
    drawn = f'<polyline class="value" points="{line}"/>' if curve else ""
    told = []
    for kind, (sensitivity, specificity) in points.items():
        drawn += _cross(kind, sensitivity, specificity)
        told.append(
            f"{kind}: sensitivity {percent(sensitivity.value)} ({percent(sensitivity.low)} to "
            f"{percent(sensitivity.high)}), false alarms {percent(1 - specificity.value)} "
            f"({percent(1 - specificity.high)} to {percent(1 - specificity.low)})"
        )
    label = f"Sensitivity and false alarms in the test set. {'; '.join(told)}."
    return _plot(label, drawn, "False alarms (1 − specificity)", "Sensitivity")


def roc_points(bins: Sequence[contract.CalibrationBin]) -> tuple[RocPoint, ...]:
    """Return the ROC curve at the edges of the bins, from (0, 0) to (1, 1); none without both kinds of radiographs.

    Exact at these points: a bin's edge is a threshold, and the counts above it are known.
    """
    counts = [(round(entry.fractured.value * entry.fractured.n), entry.fractured.n) for entry in bins]
    positives = sum(found for found, _ in counts)
    negatives = sum(n for _, n in counts) - positives
    if not positives or not negatives:
        return ()
    points, found, false = [RocPoint(0.0, 0.0)], 0, 0
    for hits, n in reversed(counts):
        found, false = found + hits, false + n - hits
        points.append(RocPoint(false / negatives, found / positives))
    return tuple(points)


def _operating_point(card: contract.ModelCard, kind: str) -> tuple[contract.Metric, contract.Metric] | None:
    """Return sensitivity and specificity of the first test set that was measured, None where the card lacks them."""
    found = []
    for figure in ("sensitivity", "specificity"):
        metric = next((m for key, m in card.metrics.items() if key.endswith(f"/test/{figure}_at_{kind}")), None)
        if metric is None:
            return None
        found.append(metric)
    return found[0], found[1]


def _cross(kind: str, sensitivity: contract.Metric, specificity: contract.Metric) -> str:
    x, y = _x(1 - specificity.value), _y(sensitivity.value)
    arms = (
        f"M{_x(1 - specificity.high):.1f} {y:.1f}H{_x(1 - specificity.low):.1f}"
        f"M{x:.1f} {_y(sensitivity.low):.1f}V{_y(sensitivity.high):.1f}"
    )
    sign = (
        f"M{x:.1f} {y - 7:.1f}L{x + 7:.1f} {y:.1f}L{x:.1f} {y + 7:.1f}L{x - 7:.1f} {y:.1f}Z"
        if kind == "fracture"
        else f"M{x:.1f} {y - 7:.1f}L{x + 7:.1f} {y + 6:.1f}H{x - 7:.1f}Z"
    )
    # Below and to the right of a point there is no curve.
    return (
        f'<g class="{kind}"><path class="arms" d="{arms}"/><path class="sign" d="{sign}"/>'
        f'<text x="{min(x + 12, _x(1) - 56):.1f}" y="{y + 24:.1f}">{kind}</text></g>'
    )


def _plot(label: str, drawn: str, across: str, up: str) -> str:
    """Return the unit square with axes, grid, diagonal and what is drawn in it."""
    width, height = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM
    grid = "".join(
        f'<path class="grid" d="M{_x(at):.1f} {_y(0):.1f}V{_y(1):.1f}M{_x(0):.1f} {_y(at):.1f}H{_x(1):.1f}"/>'
        f'<text x="{_x(at):.1f}" y="{_y(0) + 16:.1f}" text-anchor="middle">{100 * at:.0f}</text>'
        f'<text x="{_x(0) - 7:.1f}" y="{_y(at) + 4:.1f}" text-anchor="end">{100 * at:.0f}</text>'
        for at in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    middle = TOP + SIDE / 2
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{grid}'
        f'<path class="diagonal" d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"/>{drawn}'
        f'<text class="axis" x="{LEFT + SIDE / 2}" y="{height - 6}" text-anchor="middle">{escape(across)}, %</text>'
        f'<text class="axis" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{escape(up)}, %</text>'
        "</svg>"
    )


def _x(value: float) -> float:
    return LEFT + SIDE * value


def _y(value: float) -> float:
    return TOP + SIDE * (1 - value)
