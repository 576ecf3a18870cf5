"""How trained weights do on validation, with intervals: what trials are compared by before one of them is exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy.special import expit

from training.datasets import PreparedCases, prepare_cases
from training.localisation import choose_rule, cut_all, mean_average_precision, pointing_game
from training.metrics import Groups, Metric, Scores, auc, average_precision
from training.model import LOGIT, MAP, build_model
from training.run import CACHE, load_cases, val_cases
from training.validate import best_reading, validation_figures
from training.weights import load_weights, recipe_of


@dataclass(frozen=True)
class ValidationReport:
    """Figures of ``weights`` on the val splits: ``score`` is what chooses between epochs, the mean of three of them."""

    weights: str
    recipe: str
    images: int
    fractured: int
    mirrored: bool
    score: float
    metrics: dict[str, Metric]

    def as_dict(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)


def report_on(weights: Path, folders: Sequence[Path], cache: Path = CACHE) -> ValidationReport:
    """Return the figures of a weights file on the val splits of the data folders.

    ``map50`` is that of the region rule that suits these very pictures best, as an export would choose it. Raises
    ``WeightsError`` on another file, ``DataError`` where no folder has a val split.
    """
    recipe = recipe_of(weights)
    network = build_model(replace(recipe.model, weights="none"))
    load_weights(network, weights)
    val = prepare_cases(val_cases(load_cases(folders)), recipe.model.input_size, cache)
    mirrored, said = best_reading(network, val)
    groups = np.array([case.group for case in val.cases])
    metrics = {
        "auc": auc(val.labels, said[LOGIT], groups),
        "average_precision": average_precision(val.labels, said[LOGIT], groups),
        **_places(expit(said[MAP]), val, groups),
    }
    score = validation_figures(said, val)["val_score"]
    return ValidationReport(str(weights), recipe.name, len(val.cases), int(val.labels.sum()), mirrored, score, metrics)


def report_table(report: ValidationReport) -> Table:
    """Return the figures as a table for people, each with its interval and n."""
    read = "each picture and its mirror image" if report.mirrored else "each picture once"
    table = Table(title=f"{report.weights} (recipe {report.recipe}) on validation, {read}", title_justify="left")
    for column in ("figure", "value (95 % interval, n)"):
        table.add_column(column)
    for name, metric in report.metrics.items():
        table.add_row(name, str(metric))
    table.add_row("score", f"{report.score:.3f}, the mean of AUC, average precision and pointing game")
    return table


def _places(maps: Scores, val: PreparedCases, groups: Groups) -> dict[str, Metric]:
    boxes = val.boxes
    if not any(boxes):
        return {}
    rule, _ = choose_rule(maps, boxes)
    return {
        "pointing_game": pointing_game(maps, boxes),
        "map50": mean_average_precision(cut_all(maps, rule), boxes, groups),
    }
