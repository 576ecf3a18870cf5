"""The evaluation of one model on one data set: every figure with its n and interval, for people and for machines.

``assess`` measures, ``table`` prints, ``json_line`` says the same in one line. Nothing here chooses anything:
thresholds, calibration and the rule for regions come from validation data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from scipy.special import expit

from radiograph.prepare import Box
from radiograph.regions import RegionRule
from training.calibration import brier, ece, fractured_by_probability
from training.comparison import AucDifference, Disagreement, delong, mcnemar
from training.localisation import cut_all, energy_in_box, mean_average_precision, pointing_game
from training.metrics import Metric, Rates, auc, average_precision, predictive_values, rates, seed_report
from training.targets import Reached, targets_table

PREVALENCES: Final = (0.05, 0.2, 0.5)
STRATA: Final = ("region", "view", "hardware")


@dataclass(frozen=True)
class Predictions:
    """What a model said of N pictures, and what is true of them; every array has length N.

    ``label`` is 0 or 1, ``probability`` float (calibrated), ``logit`` float (as the network gave it), ``group`` a
    patient or what stands for one; ``region``, ``view`` and ``hardware`` are names or numbers, one value throughout
    where unknown. ``heatmaps`` is float [N, H, W] over the letterboxed input, or None; ``boxes`` are the true boxes
    in the same normalised frame (empty for normals), or None where the data set has none.
    """

    image: NDArray[np.str_]
    label: NDArray[np.integer]
    probability: NDArray[np.floating]
    logit: NDArray[np.floating]
    group: NDArray[np.generic]
    region: NDArray[np.generic]
    view: NDArray[np.generic]
    hardware: NDArray[np.generic]
    split: str
    heatmaps: NDArray[np.floating] | None = None
    boxes: Sequence[Sequence[Box]] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split of one data set.

    ``metrics`` by name; ``points`` are the two operating points; ``strata`` maps region, view and hardware to their
    values and these to figures; ``baselines`` are AUCs without the picture; ``seeds`` is the classification report;
    ``targets`` holds the figures against what a shipped model should reach, where the data set has such targets;
    ``calibration`` is the share of fractured in each range (low, high) of probability.
    """

    data: str
    split: str
    images: int
    fractured: int
    groups: int
    metrics: Mapping[str, Metric]
    points: Mapping[str, Rates]
    strata: Mapping[str, Mapping[str, Mapping[str, Metric]]]
    baselines: Mapping[str, Metric] = field(default_factory=dict)
    seeds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    targets: tuple[Reached, ...] = ()
    calibration: tuple[tuple[float, float, Metric], ...] = ()

    def card_metrics(self) -> dict[str, Metric]:
        """Return the defined metrics and baselines under ``"<data>/<split>/<figure>"``, for the model card."""
        named = {**self.metrics, **{f"baseline: {name}": metric for name, metric in self.baselines.items()}}
        return {f"{self.data}/{self.split}/{k}": m for k, m in named.items() if not math.isnan(m.value)}


def assess(
    data: str,
    predictions: Predictions,
    thresholds: tuple[float, float],
    *,
    rule: RegionRule | None = None,
    baselines: Mapping[str, Metric] | None = None,
) -> Evaluation:
    """Return all figures of ``predictions`` at the (suspicion, fracture) ``thresholds``, chosen elsewhere.

    Localisation is measured where heat maps and boxes are given, mAP50 also needs ``rule``.
    """
    p = predictions
    points = {
        name: rates(p.label, p.probability, at) for name, at in zip(("suspicion", "fracture"), thresholds, strict=True)
    }
    metrics = _ranking(p) | _at_points(points) | _localisation(p, rule)
    return Evaluation(
        data=data,
        split=p.split,
        images=len(p.label),
        fractured=int(np.sum(p.label == 1)),
        groups=len(np.unique(p.group)),
        metrics=metrics,
        points=points,
        strata={name: _stratum(p, np.asarray(getattr(p, name)), thresholds) for name in STRATA},
        baselines=dict(baselines or {}),
        seeds=seed_report(p.label, p.probability),
        calibration=tuple(fractured_by_probability(p.label, p.probability, thresholds)),
    )


def _ranking(p: Predictions) -> dict[str, Metric]:
    stated = expit(np.asarray(p.logit, dtype=np.float64))
    return {
        "auc": auc(p.label, p.probability, p.group),
        "average_precision": average_precision(p.label, p.probability, p.group),
        "brier_uncalibrated": brier(p.label, stated, p.group),
        "brier": brier(p.label, p.probability, p.group),
        "ece_uncalibrated": ece(p.label, stated, p.group),
        "ece": ece(p.label, p.probability, p.group),
    }


def _at_points(points: Mapping[str, Rates]) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for name, point in points.items():
        found[f"sensitivity_at_{name}"] = point.sensitivity
        found[f"specificity_at_{name}"] = point.specificity
        found[f"accuracy_at_{name}"] = point.accuracy
        for prevalence in PREVALENCES:
            positive, negative = predictive_values(point.sensitivity, point.specificity, prevalence)
            found[f"ppv_at_{name}_prevalence_{prevalence:.0%}"] = positive
            found[f"npv_at_{name}_prevalence_{prevalence:.0%}"] = negative
    return found


def _localisation(p: Predictions, rule: RegionRule | None) -> dict[str, Metric]:
    if p.heatmaps is None or p.boxes is None or not any(p.boxes):
        return {}
    found = {
        "pointing_game": pointing_game(p.heatmaps, p.boxes),
        "energy_in_box": energy_in_box(p.heatmaps, p.boxes, p.group),
    }
    if rule is not None:
        regions = cut_all(p.heatmaps, rule)
        found["map50"] = mean_average_precision(regions, p.boxes, p.group)
    return found


def _stratum(
    p: Predictions, values: NDArray[np.generic], thresholds: tuple[float, float]
) -> dict[str, dict[str, Metric]]:
    strata: dict[str, dict[str, Metric]] = {}
    for value in np.unique(values):
        inside = values == value
        label, probability = p.label[inside], p.probability[inside]
        low, high = (rates(label, probability, at) for at in thresholds)
        strata[str(value)] = {
            "auc": auc(label, probability, p.group[inside]),
            "sensitivity_at_suspicion": low.sensitivity,
            "specificity_at_fracture": high.specificity,
        }
    return strata


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pictures: the difference of their AUCs, and of their calls at each operating point."""

    first: str
    second: str
    auc: AucDifference
    calls: Mapping[str, Disagreement]


def compare(
    names: tuple[str, str],
    first: Predictions,
    second: Predictions,
    first_thresholds: tuple[float, float],
    second_thresholds: tuple[float, float],
) -> Comparison:
    """Return DeLong's and McNemar's tests of two models, each at its own thresholds.

    Raises ``ValueError`` unless both read the same pictures in the same order.
    """
    if not np.array_equal(first.image, second.image):
        raise ValueError("Two models can only be compared on the same pictures in the same order.")
    calls = {
        name: mcnemar(first.label, first.probability >= one, second.probability >= other)
        for name, one, other in zip(("suspicion", "fracture"), first_thresholds, second_thresholds, strict=True)
    }
    return Comparison(*names, delong(first.label, first.probability, second.probability), calls)


def _rows(title: str, metrics: Mapping[str, Metric]) -> Table:
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("figure")
    for heading in ("value", "95 % interval", "n"):
        table.add_column(heading, justify="right")
    for name, metric in metrics.items():
        if math.isnan(metric.value):
            table.add_row(name.replace("_", " "), "undefined", "", str(metric.n))
        else:
            interval = f"{metric.low:.3f} to {metric.high:.3f}"
            table.add_row(name.replace("_", " "), f"{metric.value:.3f}", interval, str(metric.n))
    return table


def table(evaluation: Evaluation) -> Group:
    """Return the evaluation as tables for people, to be printed on a rich console."""
    e = evaluation
    counted = f"{e.images} images, {e.fractured} fractured, {e.groups} groups"
    parts = [_rows(f"{e.data} · {e.split} · {counted}", e.metrics)]
    for name, strata in e.strata.items():
        if len(strata) > 1:
            flat = {f"{value} · {figure}": m for value, row in strata.items() for figure, m in row.items()}
            parts.append(_rows(f"by {name}", flat))
    if e.baselines:
        parts.append(_rows("AUC without the picture (the model must beat these)", e.baselines))
    for name, point in e.points.items():
        (tn, fp), (fn, tp) = point.confusion
        counts = Table(title=f"at {name}, {point.threshold:.3f}", title_justify="left", pad_edge=False)
        for heading in ("truth", "said normal", "said fractured"):
            counts.add_column(heading, justify="right")
        counts.add_row("normal", str(tn), str(fp))
        counts.add_row("fractured", str(fn), str(tp))
        parts.append(counts)
    if e.seeds:
        parts.append(_classification(e.seeds))
    if e.targets:
        parts.append(targets_table(e.targets, e.split))
    return Group(*parts)


def _classification(seeds: Mapping[str, Mapping[str, float]]) -> Table:
    """Return scikit-learn's classification report at 0.5 as a table: what the two projects before this one printed."""
    shown = Table(title="classification report at 0.5", title_justify="left", pad_edge=False)
    shown.add_column("class")
    for heading in ("precision", "recall", "f1-score", "support"):
        shown.add_column(heading, justify="right")
    for name, row in seeds.items():
        figures = (f"{row[key]:.3f}" if key in row else "" for key in ("precision", "recall", "f1-score"))
        shown.add_row(name, *figures, f"{row['support']:.0f}")
    return shown


def comparison_table(comparison: Comparison) -> Table:
    """Return two models' comparison as a table for people."""
    c = comparison
    table = Table(title=f"{c.first} minus {c.second}", title_justify="left", pad_edge=False)
    for heading in ("test", "difference", "95 % interval", "p"):
        table.add_column(heading)
    interval = f"{c.auc.low:+.3f} to {c.auc.high:+.3f}"
    table.add_row("AUC (DeLong)", f"{c.auc.difference:+.3f}", interval, f"{c.auc.p:.3g}")
    for name, calls in c.calls.items():
        told = f"{calls.only_first} against {calls.only_second}"
        table.add_row(f"right calls at {name} alone (McNemar)", told, "", f"{calls.p:.3g}")
    return table


def _plain(value: object) -> object:
    """Return the value with NaN as null, which JSON has no other word for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_line(result: Evaluation | Comparison | Sequence[Evaluation]) -> str:
    """Return one line of JSON with nested keys, undefined figures as null, that ``json.loads`` reads back."""
    plain = [asdict(item) for item in result] if isinstance(result, Sequence) else asdict(result)
    return json.dumps(_plain(plain), ensure_ascii=False, allow_nan=False)
