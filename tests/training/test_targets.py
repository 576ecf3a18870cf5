"""The figures of a shipped model are held against floors and aims, and what was not measured is said."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from rich.console import Console

from training.metrics import Metric
from training.targets import TARGETS, hold_against, targets_table


def measured(**values: float) -> dict[str, Metric]:
    return {name: Metric(value, 0.0, 1.0, 50) for name, value in values.items()}


@pytest.mark.parametrize(
    ("figure", "value", "reached"),
    [
        ("auc", 0.929, "no"),
        ("auc", 0.93, "floor"),
        ("auc", 0.98, "aim"),
        ("ece", 0.06, "no"),
        ("ece", 0.03, "floor"),
        ("ece", 0.02, "aim"),
        ("auc", math.nan, "not measured"),
    ],
)
def test_a_figure_reaches_its_aim_its_floor_or_neither(figure: str, value: float, reached: str) -> None:
    rows = {row.key: row for row in hold_against("fracatlas", "test", measured(**{figure: value}), {})}
    assert rows[f"fracatlas/test/{figure}"].reached == reached


def test_every_target_has_a_row_and_an_aim_beyond_its_floor() -> None:
    rows = hold_against("fracatlas", "test", {}, {})
    assert [row.words for row in rows] == [target.words for target in TARGETS]
    assert {row.reached for row in rows} == {"not measured"}
    assert all(target.aim <= target.floor if target.most else target.aim >= target.floor for target in TARGETS)


def test_cross_validation_is_taken_from_the_card() -> None:
    stated = {"bonedata/5-fold/auc": Metric(0.85, 0.8, 0.9, 95), "fracatlas/test/auc": Metric(0.99, 0.9, 1.0, 589)}
    rows = {row.key: row for row in hold_against("fracatlas", "val", measured(auc=0.9), stated)}
    assert (rows["bonedata/5-fold/auc"].value, rows["bonedata/5-fold/auc"].reached) == (0.85, "floor")
    assert rows["fracatlas/val/auc"].value == 0.9


def test_a_set_of_ones_own_has_no_targets() -> None:
    assert hold_against("mine", "test", measured(auc=1.0), {}) == ()


def test_the_table_says_when_its_figures_are_no_test_figures() -> None:
    for split, words in (("test", "To reach"), ("val", "these figures are of val")):
        text = StringIO()
        Console(file=text, width=140).print(
            targets_table(hold_against("fracatlas", split, measured(auc=0.95), {}), split)
        )
        assert words in text.getvalue()
        assert "0.950" in text.getvalue()
        assert "not measured" in text.getvalue()
