"""The figures that say whether a heat map points at the fracture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.prepare import Box
from radiograph.regions import Region, RegionRule
from training.localisation import (
    RULES,
    choose_rule,
    coverage,
    cut_all,
    energy_in_box,
    iou,
    matched,
    mean_average_precision,
    peak,
    pointed,
    pointing_game,
)

PLAIN = RegionRule(threshold=0.5, extent=0.5, upsample=1)


def blob(x: float, y: float, size: float = 0.08, height: float = 1.0, side: int = 24) -> NDArray[np.float32]:
    """A round bump at normalised (x, y)."""
    axis = (np.arange(side) + 0.5) / side
    square = (axis[None] - x) ** 2 + (axis[:, None] - y) ** 2
    return (height * np.exp(-square / (2 * size**2))).astype(np.float32)


def test_the_peak_is_the_centre_of_the_highest_cell() -> None:
    heatmap = np.zeros((2, 4), np.float32)
    heatmap[1, 2] = 1
    assert peak(heatmap) == (2.5 / 4, 1.5 / 2)
    assert peak(np.zeros((2, 4), np.float32)) is None


def test_the_pointing_game_counts_pictures_with_boxes_and_an_empty_map_as_a_miss() -> None:
    heatmaps = np.stack([blob(0.3, 0.3), blob(0.3, 0.3), blob(0.9, 0.9), np.zeros((24, 24), np.float32)])
    boxes: list[list[Box]] = [[(0.2, 0.2, 0.4, 0.4)], [(0.5, 0.5, 0.6, 0.6), (0.25, 0.2, 0.4, 0.4)], [], [(0, 0, 1, 1)]]
    found = pointing_game(heatmaps, boxes)
    assert (found.value, found.n) == (2 / 3, 3)
    assert not pointed(heatmaps[2], [(0.0, 0.0, 0.5, 0.5)])


def test_coverage_of_overlapping_boxes_counts_their_shared_part_once() -> None:
    covered = coverage([(0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.5, 1.0)], 2, 2)
    assert covered.tolist() == [[1, 0], [1, 0]]
    assert coverage([(0.0, 0.0, 0.25, 0.5)], 1, 1)[0, 0] == pytest.approx(1 / 8)


def test_energy_in_box_is_the_covered_share_of_the_sum() -> None:
    heatmaps = np.stack([np.ones((8, 8)), np.ones((8, 8)), np.zeros((8, 8))])
    boxes: list[list[Box]] = [[(0.0, 0.0, 0.5, 0.5)], [], [(0.0, 0.0, 1.0, 1.0)]]
    found = energy_in_box(heatmaps, boxes, np.arange(3), rounds=50)
    assert (found.value, found.n) == (0.125, 2)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7),
        ((0, 0, 1, 1), (0, 0, 1, 1), 1),
        ((0, 0, 1, 1), (1, 0, 2, 1), 0),
        ((0, 0, 4, 1), (1, 0, 2, 1), 1 / 4),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
    ],
)
def test_iou(first: Box, second: Box, wanted: float) -> None:
    assert iou(first, second) == pytest.approx(wanted)


def test_a_second_region_on_the_same_fracture_is_wrong() -> None:
    box = (0.1, 0.1, 0.3, 0.3)
    assert matched([Region(box, 0.9), Region(box, 0.8), Region((0.6, 0.6, 0.7, 0.7), 0.7)], [box]) == [
        True,
        False,
        False,
    ]


def test_map50_is_that_of_a_worked_example() -> None:
    # Ranked: right, wrong, right, wrong, right, of 4 boxes: precision 1, 2/3, 3/5, each for a quarter of the recall.
    box, off = (0.0, 0.0, 0.1, 0.1), (0.5, 0.5, 0.6, 0.6)
    found = [[Region(box, 0.9), Region(off, 0.8)], [Region(box, 0.7)], [Region(off, 0.6)], [Region(box, 0.5)]]
    boxes: list[list[Box]] = [[box], [box], [], [box, (0.8, 0.8, 0.9, 0.9)]]
    metric = mean_average_precision(found, boxes, np.arange(4), rounds=50)
    assert metric.value == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    assert metric.n == 4
    assert metric.low <= metric.value <= metric.high


def test_map50_takes_the_best_precision_at_any_greater_recall() -> None:
    # Ranked: wrong, right, right. All-point interpolation lifts the first right one from 1/2 to 2/3.
    box, off = (0.0, 0.0, 0.1, 0.1), (0.5, 0.5, 0.6, 0.6)
    found = [[Region(off, 0.9)], [Region(box, 0.8)], [Region(box, 0.7)]]
    assert mean_average_precision(found, [[], [box], [box]], np.arange(3), rounds=5).value == pytest.approx(2 / 3)


def test_map50_without_regions_is_zero_and_without_boxes_undefined() -> None:
    assert mean_average_precision([[]], [[(0.0, 0.0, 1.0, 1.0)]], np.arange(1), rounds=5).value == 0
    assert math.isnan(mean_average_precision([[]], [[]], np.arange(1), rounds=5).value)


def test_a_picture_drawn_twice_weighs_like_two_pictures() -> None:
    box, off = (0.0, 0.0, 0.1, 0.1), (0.5, 0.5, 0.6, 0.6)
    found = [[Region(box, 0.9), Region(off, 0.95)], [Region(box, 0.4)]]
    boxes: list[list[Box]] = [[box], [box]]
    doubled = mean_average_precision(found * 3, boxes * 3, np.array([0, 1] * 3), rounds=400)
    single = mean_average_precision(found, boxes, np.array([0, 1]), rounds=400)
    assert (doubled.low, doubled.high) == pytest.approx((single.low, single.high))


def test_the_chosen_rule_is_the_one_that_finds_the_true_boxes() -> None:
    random = np.random.default_rng(3)
    places = random.uniform(0.2, 0.8, (12, 2))
    heatmaps = np.stack([blob(x, y, size=0.05, height=0.8) for x, y in places])
    half = 0.05 * math.sqrt(2 * math.log(1 / 0.15))
    boxes: list[list[Box]] = [[(x - half, y - half, x + half, y + half)] for x, y in places]
    rule, score = choose_rule(heatmaps, boxes)
    assert score == pytest.approx(1)
    assert mean_average_precision(cut_all(heatmaps, rule), boxes, np.arange(12), rounds=5).value == pytest.approx(1)
    assert mean_average_precision(cut_all(heatmaps, PLAIN), boxes, np.arange(12), rounds=5).value < 1


def test_the_chosen_rule_is_the_best_of_those_tried_one_by_one() -> None:
    random = np.random.default_rng(5)
    places, sizes = random.uniform(0.2, 0.8, (16, 2)), random.uniform(0.03, 0.09, 16)
    heatmaps = np.stack(
        [blob(x, y, size) + random.random((24, 24)) / 4 for (x, y), size in zip(places, sizes, strict=True)]
    )
    halves = random.uniform(0.8, 1.6, 16) * sizes
    boxes: list[list[Box]] = [
        [(x - half, y - half, x + half, y + half)] if index % 4 else []
        for index, ((x, y), half) in enumerate(zip(places, halves, strict=True))
    ]
    scores = [mean_average_precision(cut_all(heatmaps, rule), boxes, np.arange(16), rounds=1).value for rule in RULES]
    assert len(set(scores)) > 5
    assert choose_rule(heatmaps, boxes) == (RULES[int(np.argmax(scores))], max(scores))


def test_a_rule_cannot_be_chosen_without_true_boxes() -> None:
    with pytest.raises(ValueError, match="true boxes"):
        choose_rule(np.zeros((2, 4, 4)), [[], []])
