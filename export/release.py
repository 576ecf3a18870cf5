"""Releases: a trained run becomes a published version whose calibration and figures come with it.

Validation data chooses everything (calibration, thresholds, the rule for regions, the unit of novelty); test data is
read once, through the SavedModel that ships, and only reports.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import keras
import numpy as np

from export import contract
from export.fold import FLOAT32, Compute
from export.golden import SHORT_TOLERANCE, TOLERANCE, write_golden
from export.measure import measure
from export.precision import Trial, choose_precision, described
from export.savedmodel import Answering, write_saved_model
from export.versions import publish
from export.warmup import write_warmup
from radiograph import PREPROCESSING
from radiograph.regions import RegionRule
from training.calibration import calibrated, fit_temperature
from training.crossval import read_cross_validation
from training.datasets import PreparedCases, load, manifest_sha256
from training.ensemble import mean_of
from training.localisation import choose_rule
from training.metrics import Metric, choose_thresholds
from training.model import FEATURES, LOGIT, MAP, build_model
from training.novelty import fit_novelty
from training.recipe import Recipe
from training.report import Evaluation
from training.run import Splits, load_splits
from training.validate import best_reading, outputs
from training.weights import load_weights, recipe_of

_KNOWN: Final = 1000
"""About as many training pictures, evenly spread, describe what is known; a Gaussian of 48 axes needs no more."""
LICENCES: Final = {
    "fracatlas": ("CC BY 4.0", "Abedeen et al. 2023, FracAtlas, doi 10.1038/s41597-023-02432-4"),
    "fracatlas-pasted": ("CC BY 4.0", "made from the training pictures of fracatlas by osteo data paste"),
    "bonedata": ("not stated", "the set of the two student projects this one descends from"),
}
INTENDED_USE: Final = (
    "Research on fracture reading in radiographs of limbs, hips and shoulders. Not a medical device; not for diagnosis."
)
LIMITS: Final = (
    "Trained on adults' and children's limb radiographs of few hospitals; other populations and devices are untested.",
    "Not for chest, skull or spine radiographs, CT, MR or ultrasound.",
    "A finding of 'no fracture seen' does not exclude a fracture.",
    "The sets carry no patient identifiers; splits are by group of neighbouring images, which may miss some kinship.",
)


class ReleaseError(Exception):
    """A version cannot be made from this run or data; the message says what is missing."""


def calibrate(network: keras.Model, train: PreparedCases, val: PreparedCases) -> tuple[Answering, RegionRule]:
    """Return calibration, thresholds, novelty and the rule for regions, all chosen on validation data.

    Raises ``ReleaseError`` where validation holds one class only.
    """
    mirrored, told = best_reading(network, val)
    try:
        temperature, bias = fit_temperature(told[LOGIT], val.labels)
        probability = calibrated(told[LOGIT], temperature, bias)
        thresholds = choose_thresholds(val.labels, probability)
    except ValueError as error:
        raise ReleaseError(f"The validation data cannot calibrate this model: {error}") from error
    known = train.images[:: max(1, len(train.images) // _KNOWN)]
    novelty = fit_novelty(outputs(network, known, mirrored=mirrored)[FEATURES], told[FEATURES])
    maps = 1 / (1 + np.exp(-told[MAP]))
    boxes = val.boxes
    rule = choose_rule(maps, boxes)[0] if any(boxes) else RegionRule()
    return Answering(temperature, bias, thresholds, novelty, mirrored), rule


@dataclass(frozen=True)
class Report:
    """What a card reports beside validation: test splits of ``folders``, pictures ``outside`` the scope, ``folds``.

    ``folds`` is the result file of a cross-validation (``training.crossval``).
    """

    folders: Sequence[Path] = ()
    outside: Path | None = None
    folds: Path | None = None


@dataclass(frozen=True)
class Member:
    """One of the networks whose mean a version serves: its recipe, and the SHA-256 of the file of its weights."""

    recipe: Recipe
    weights_sha256: str


def release_weights(
    weights: Sequence[Path],
    folders: Sequence[Path],
    base: Path,
    *,
    version: int | None = None,
    report: Report | None = None,
    compute: Compute | None = FLOAT32,
) -> tuple[Path, list[Evaluation]]:
    """Publish the weights of training runs, read together as their mean (``training.ensemble``) where several.

    Calibrates on the val split of the data, then measures what is to report; of the report's folders those without a
    test split are left out. Raises ``ReleaseError``, ``WeightsError``, ``DataError`` or ``VersionError``.
    """
    members, networks = [], []
    for file in weights:
        if not file.is_file():
            raise ReleaseError(f"{file} is not there: no epoch of that run has ended yet, or it is another folder.")
        recipe = recipe_of(file)
        network = build_model(replace(recipe.model, weights="none"))
        load_weights(network, file)
        networks.append(network)
        members.append(Member(recipe, hashlib.sha256(file.read_bytes()).hexdigest()))
    try:
        together = mean_of(networks)
    except ValueError as error:
        raise ReleaseError(f"These weights cannot be served as one model: {error}") from error
    asked = report or Report()
    tested = tuple(folder for folder in asked.folders if any(case.split == "test" for case in load(folder)))
    splits = load_splits(folders, members[0].recipe)
    asked = replace(asked, folders=tested)
    return release(together, members, splits, base, report=asked, version=version, compute=compute)


def release(
    network: keras.Model,
    members: Sequence[Member],
    splits: Splits,
    base: Path,
    *,
    report: Report,
    version: int | None = None,
    half_constants: bool = True,
    compute: Compute | None = FLOAT32,
) -> tuple[Path, list[Evaluation]]:
    """Publish ``network``, the mean of ``members``, under ``base``; return its folder and the report's evaluations.

    With ``compute`` None validation pictures and this machine choose it (``export.precision``).
    Raises ``ReleaseError`` or ``VersionError``; nothing half-written stays behind.
    """
    folds = read_cross_validation(report.folds) if report.folds else {}
    answering, rule = calibrate(network, splits.train, splits.val)
    trials: tuple[Trial, ...] = ()
    if compute is None:
        compute, trials = choose_precision(network, answering, splits.val.images)
    evaluations: list[Evaluation] = []

    def build(folder: Path) -> None:
        write_saved_model(network, answering, folder, half_constants=half_constants, compute=compute)
        card = _card(members, splits, answering, rule, described(compute, trials, half_constants=half_constants))
        card = replace(card, metrics=_for_card(folds))
        _write_card(card, folder)
        if report.folders:
            evaluations.extend(measure(folder, report.folders, "test", outside=report.outside))
            found = {key: metric for evaluation in evaluations for key, metric in evaluation.card_metrics().items()}
            counted = tuple(
                contract.CalibrationBin(low, high, contract.Metric(**asdict(share)))
                for low, high, share in evaluations[0].calibration
            )
            _write_card(replace(card, metrics=_for_card(found | folds), calibration=counted), folder)
        write_warmup(folder, card.input_size)
        write_golden(folder, card.input_size, TOLERANCE if compute == FLOAT32 else SHORT_TOLERANCE)

    return publish(base, build, version=version), evaluations


def _for_card(metrics: Mapping[str, Metric]) -> dict[str, contract.Metric]:
    return {key: contract.Metric(**asdict(metric)) for key, metric in metrics.items()}


def _write_card(card: contract.ModelCard, folder: Path) -> None:
    file = folder / contract.CARD_PATH
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(card.to_json(), encoding="utf-8")


def _card(
    members: Sequence[Member],
    splits: Splits,
    answering: Answering,
    rule: RegionRule,
    precision: str,
) -> contract.ModelCard:
    sources = []
    for name in dict.fromkeys(case.source for case in splits.train.cases):
        cases = [case for case in splits.train.cases if case.source == name]
        licence, citation = LICENCES.get(name, ("not stated", ""))
        sources.append(contract.DataSource(name, licence, len(cases), manifest_sha256(cases), citation))
    first, *others = members
    size = first.recipe.model.input_size
    return contract.ModelCard(
        name=contract.MODEL_NAME,
        backbone=first.recipe.model.backbone,
        input_size=size,
        heatmap_size=size // 8,
        preprocessing=PREPROCESSING,
        thresholds=answering.thresholds,
        temperature=answering.temperature,
        bias=answering.bias,
        mirrored=answering.mirrored,
        precision=precision,
        git=_commit(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=tuple(sources),
        metrics={},
        recipe=first.recipe.as_dict(),
        intended_use=INTENDED_USE,
        limits=(*LIMITS, *_margin_limit([member.recipe for member in members])),
        split=f"train {len(splits.train.cases)}, val {len(splits.val.cases)}; groups never cross a split",
        weights_sha256=first.weights_sha256,
        companions=tuple(contract.Companion(other.weights_sha256, other.recipe.as_dict()) for other in others),
        region_rule=asdict(rule),
    )


def _margin_limit(recipes: Sequence[Recipe]) -> list[str]:
    """Return the sentence that tells of the strip that none of the networks reads, where there is one."""
    margin = min(recipe.model.margin for recipe in recipes)
    return [f"The outermost {margin:.0%} of a picture are not read: a fracture there is missed."] if margin else []


def _commit() -> str:
    """Return the commit of this code, with ``+`` where the work tree differs from it, or "unknown" outside of git."""
    here = Path(__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"
