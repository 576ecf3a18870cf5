"""What a shipped model should reach: floors and aims for its test sets, and the table that holds it against them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rich.table import Table


class Figure(Protocol):
    """A value with its 95 % interval and the number of cases behind it."""

    @property
    def value(self) -> float: ...  # noqa: D102

    @property
    def low(self) -> float: ...  # noqa: D102

    @property
    def high(self) -> float: ...  # noqa: D102

    @property
    def n(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Target:
    """One figure to reach, ``figure`` of data set ``source``; ``split`` "" is the split that is being evaluated.

    Between ``floor`` and ``aim`` the model is good enough; ``most`` says that lower is better.
    """

    words: str
    source: str
    split: str
    figure: str
    floor: float
    aim: float
    most: bool = False

    def reached(self, value: float) -> str:
        """Return "aim", "floor" or "no"."""

        def meets(level: float) -> bool:
            return value <= level if self.most else value >= level

        return "aim" if meets(self.aim) else "floor" if meets(self.floor) else "no"


TARGETS: Final = (
    Target("ROC AUC", "fracatlas", "", "auc", 0.93, 0.97),
    Target("average precision", "fracatlas", "", "average_precision", 0.84, 0.92),
    Target("map's maximum inside a true box", "fracatlas", "", "pointing_game", 0.74, 0.90),
    Target("mAP50", "fracatlas", "", "map50", 0.25, 0.48),
    Target("bonedata by 5-fold over blocks, AUC", "bonedata", "5-fold", "auc", 0.82, 0.93),
    Target("sensitivity at suspicion", "fracatlas", "", "sensitivity_at_suspicion", 0.90, 0.96),
    Target("specificity at fracture", "fracatlas", "", "specificity_at_fracture", 0.93, 0.97),
    Target("ECE after calibration", "fracatlas", "", "ece", 0.05, 0.02, most=True),
    Target("limb radiographs flagged out of scope", "fracatlas", "", "flagged", 0.01, 0.01, most=True),
    Target("out-of-scope pictures flagged", "fracatlas", "", "flagged_of_outside", 0.85, 1.0),
    Target("chest radiographs flagged", "fracatlas", "", "flagged_of_outside_chest_xray", 0.85, 1.0),
    Target("findings flipped by blanking markers and borders", "fracatlas", "", "blanking_flips_finding", 0.03, 0.01,
           most=True),
)  # fmt: skip
"""The best published on FracAtlas: AUC 0.908, average precision 0.751 (locked protocol); mAP50 0.48 (detectors)."""


@dataclass(frozen=True)
class Reached:
    """A target with what was measured; ``reached`` is "aim", "floor", "no" or "not measured" (then the rest is NaN)."""

    words: str
    key: str
    value: float
    low: float
    high: float
    n: int
    floor: float
    aim: float
    reached: str


def hold_against(
    source: str, split: str, measured: Mapping[str, Figure], stated: Mapping[str, Figure]
) -> tuple[Reached, ...]:
    """Return every target with its figure: those of ``source`` as ``measured`` just now, others as the card states.

    ``measured`` is by figure, ``stated`` by "<data set>/<split>/<figure>". Empty for a set that has no targets of its
    own.
    """
    if not any(target.source == source and not target.split for target in TARGETS):
        return ()
    rows = []
    for target in TARGETS:
        key = f"{target.source}/{target.split or split}/{target.figure}"
        found = stated.get(key) if target.split else measured.get(target.figure)
        if found is None or math.isnan(found.value):
            figures, verdict = (math.nan, math.nan, math.nan, 0), "not measured"
        else:
            figures, verdict = (found.value, found.low, found.high, found.n), target.reached(found.value)
        rows.append(Reached(target.words, key, *figures, target.floor, target.aim, verdict))
    return tuple(rows)


def targets_table(rows: Sequence[Reached], split: str) -> Table:
    """Return the targets as a table for people; off the test split it says that the figures are no test figures."""
    title = "To reach" if split == "test" else f"To reach on test; these figures are of {split}"
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("figure")
    for heading in ("value", "95 % interval", "n", "floor", "aim", "reached"):
        table.add_column(heading, justify="right")
    for row in rows:
        told = ("", "", "") if math.isnan(row.value) else (
            f"{row.value:.3f}", f"{row.low:.3f} to {row.high:.3f}", str(row.n)
        )  # fmt: skip
        table.add_row(row.words, *told, f"{row.floor:g}", f"{row.aim:g}", row.reached)
    return table
