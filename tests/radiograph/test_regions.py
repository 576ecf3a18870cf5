"""Regions of a heat map: connected parts, peaks of their own, boxes that fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from radiograph.regions import RegionRule, cut, cut_by, regions, upsampled


def blob(x: float, y: float, size: float = 0.08, height: float = 1.0, side: int = 24) -> NDArray[np.float32]:
    """A round bump at normalised (x, y)."""
    axis = (np.arange(side) + 0.5) / side
    square = (axis[None] - x) ** 2 + (axis[:, None] - y) ** 2
    return (height * np.exp(-square / (2 * size**2))).astype(np.float32)


def test_regions_are_the_connected_cells_that_reach_the_threshold_strongest_first() -> None:
    heatmap = np.zeros((4, 8), np.float32)
    heatmap[0, 0], heatmap[1, 1] = 0.6, 0.5
    heatmap[2:4, 5:7] = 0.9
    heatmap[0, 7] = 0.49
    found = regions(heatmap, 0.5)
    assert [region.box for region in found] == [(5 / 8, 2 / 4, 7 / 8, 1.0), (0.0, 0.0, 2 / 8, 2 / 4)]
    assert [region.score for region in found] == pytest.approx([0.9, 0.6])


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_an_empty_map_has_no_regions(threshold: float) -> None:
    assert regions(np.zeros((6, 6), np.float32), threshold) == []
    assert cut(np.zeros((6, 6), np.float32), RegionRule(threshold=threshold)) == []


def test_upsampling_keeps_the_place_and_the_range() -> None:
    heatmap = blob(0.3, 0.7)
    fine = upsampled(heatmap, 5)
    row, column = np.unravel_index(int(fine.argmax()), fine.shape)
    assert fine.shape == (120, 120)
    assert ((column + 0.5) / 120, (row + 0.5) / 120) == pytest.approx((0.3, 0.7), abs=0.02)
    assert fine.min() >= 0
    assert fine.max() == pytest.approx(heatmap.max())


def test_two_fractures_give_two_regions_and_a_shoulder_of_one_gives_none() -> None:
    heatmap = np.maximum(blob(0.27, 0.27), blob(0.73, 0.73, height=0.8))
    heatmap[6, 9] += 0.1
    found = cut(heatmap, RegionRule(threshold=0.3, extent=0.5))
    assert [round(region.score, 1) for region in found] == [1.0, 0.8]
    centres = [((r.box[0] + r.box[2]) / 2, (r.box[1] + r.box[3]) / 2) for r in found]
    assert np.array(centres) == pytest.approx(np.array([(0.27, 0.27), (0.73, 0.73)]), abs=0.03)


def test_a_narrower_extent_and_a_negative_padding_make_a_smaller_box() -> None:
    def area(rule: RegionRule) -> float:
        (region,) = cut(blob(0.5, 0.5), rule)
        x0, y0, x1, y1 = region.box
        return (x1 - x0) * (y1 - y0)

    wide, narrow = area(RegionRule(extent=0.2)), area(RegionRule(extent=0.7))
    assert narrow < area(RegionRule(extent=0.7, padding=0.5)) < wide
    assert 0 < area(RegionRule(extent=0.7, padding=-9)) < area(RegionRule(extent=0.7, padding=-0.25)) < narrow


def test_the_mean_score_is_below_the_peak() -> None:
    (by_peak,) = cut(blob(0.5, 0.5), RegionRule())
    (by_mean,) = cut(blob(0.5, 0.5), RegionRule(score="mean"))
    assert by_mean.box == by_peak.box
    assert 0.5 < by_mean.score < by_peak.score


@given(st.integers(0, 10_000), st.floats(0.01, 1), st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_every_region_lies_within_the_picture_and_is_no_stronger_than_the_map(
    seed: int, threshold: float, padding: float
) -> None:
    heatmap = np.random.default_rng(seed).random((6, 9)).astype(np.float32)
    for region in cut(heatmap, RegionRule(threshold=threshold, padding=padding)) + regions(heatmap, threshold):
        x0, y0, x1, y1 = region.box
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert threshold - 1e-6 <= region.score <= heatmap.max() + 1e-6


def spelled_out(heatmap: NDArray[np.float32], rule: RegionRule) -> list[tuple[tuple[float, ...], float]]:
    """What ``cut`` promises, step by step and for one rule, on the whole map."""
    values = upsampled(heatmap, rule.upsample)
    sides = np.array(values.shape)[::-1]
    around = ndimage.maximum_filter(values, size=3, mode="nearest")
    peaks = sorted(np.argwhere((values == around) & (values >= rule.threshold)).tolist(), key=lambda at: -values[*at])
    taken, found = np.zeros(values.shape, bool), []
    for row, column in peaks[:20]:
        parts, _ = ndimage.label(values >= rule.extent * values[row, column], np.ones((3, 3)))
        part = parts == parts[row, column]
        if not (taken & part).any():
            taken |= part
            first, last = (edge(np.argwhere(part), axis=0)[::-1] for edge in (np.min, np.max))
            middle, half = (first + last + 1) / sides / 2, (last + 1 - first) / sides / 2
            half = np.maximum(half + rule.padding * rule.upsample / sides, half / 5)
            box = (*np.maximum(middle - half, 0).tolist(), *np.minimum(middle + half, 1).tolist())
            found.append((box, float(values[part].mean() if rule.score == "mean" else values[part].max())))
    return sorted(found, key=lambda region: -region[1])


def test_many_rules_at_once_cut_what_each_cuts_alone() -> None:
    random = np.random.default_rng(1)
    cases = ((0.05, 0.3, 0.0), (0.05, 0.3, 0.5), (0.05, 0.7, -0.25), (0.6, 0.5, 0.0))
    rules = [RegionRule(*case, upsample=5) for case in cases]
    rules += [RegionRule(*case, upsample=3, score="mean") for case in cases]
    for _ in range(12):
        noise = ndimage.gaussian_filter(random.random((14, 18)), 1.2)
        heatmap = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32) ** 2 * random.uniform(0.3, 1)
        for rule, found in zip(rules, cut_by(heatmap, rules), strict=True):
            wanted = spelled_out(heatmap, rule)
            assert np.array([r.box for r in found]) == pytest.approx(np.array([box for box, _ in wanted]))
            assert [r.score for r in found] == pytest.approx([score for _, score in wanted])
            assert found == cut(heatmap, rule)
