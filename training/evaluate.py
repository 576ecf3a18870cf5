"""From a model's answers on prepared cases to an evaluation, with baselines and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from radiograph.regions import RegionRule
from training import plots
from training.baselines import Split, metadata_baselines, metadata_of, named_baseline
from training.datasets import Case, PreparedCases
from training.metrics import Metric, one_class
from training.report import Evaluation, Predictions, assess
from training.shortcuts import blank, energy_on_tissue, flips, grained


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of N pictures: ``probability`` and ``logit`` float [N], ``heatmaps`` float32 [N,H,W],
    ``novelty`` float [N].
    """

    probability: NDArray[np.floating]
    logit: NDArray[np.floating]
    heatmaps: NDArray[np.floating]
    novelty: NDArray[np.floating]


Model = Callable[[NDArray[np.uint8]], Answers]
"""Takes prepared images uint8 [N,S,S,1]."""


def predictions(prepared: PreparedCases, answers: Answers, split: str) -> Predictions:
    """Return the answers beside the truth, boxes moved into the model input's frame."""
    located = bool(np.any((prepared.labels == 1) & prepared.place_known))
    return Predictions(
        image=np.array([case.path.name for case in prepared.cases]),
        label=prepared.labels,
        probability=answers.probability,
        logit=answers.logit,
        group=np.array([case.group for case in prepared.cases]),
        region=np.array([case.region or "unknown" for case in prepared.cases]),
        view=np.array([case.view or "unknown" for case in prepared.cases]),
        hardware=np.array([case.hardware or "unknown" for case in prepared.cases]),
        split=split,
        heatmaps=answers.heatmaps if located else None,
        boxes=prepared.boxes if located else None,
    )


def evaluate(
    data: str,
    predicted: Predictions,
    thresholds: tuple[float, float],
    *,
    rule: RegionRule | None,
    train: Sequence[Case] = (),
    cases: Sequence[Case] = (),
    cache: Path | None = None,
) -> Evaluation:
    """Return every figure of one split; with ``train`` cases also what the shortcuts alone would score on ``cases``."""
    return assess(data, predicted, thresholds, rule=rule, baselines=baselines(train, cases, cache) if train else None)


def looks(
    model: Model, prepared: PreparedCases, predicted: Predictions, answers: Answers, thresholds: tuple[float, float]
) -> dict[str, Metric]:
    """Return whether the model looks at the limb: findings with markers and borders blanked, the map's energy on bone.

    Grain that no reader sees flips findings near a threshold too; how many is told beside, to compare with. The energy
    is that of pictures with a finding: where nothing was found the map says nothing.
    """
    blanked = blank(prepared.images, prepared.geometries)
    found = flips(answers.probability, model(blanked.images).probability, thresholds, blanked.markers, predicted.group)
    marked = np.flatnonzero(blanked.markers)
    if marked.size:
        alone = blank(prepared.images[marked], [prepared.geometries[row] for row in marked], borders=False)
        told = flips(
            answers.probability[marked],
            model(alone.images).probability,
            thresholds,
            alone.markers,
            predicted.group[marked],
        )
        found["blanking_markers_alone_flips_finding"] = told["blanking_flips_finding"]
    grainy = model(grained(prepared.images, prepared.geometries)).probability
    control = flips(answers.probability, grainy, thresholds, blanked.markers, predicted.group)
    found["grain_alone_flips_finding"] = control["blanking_flips_finding"]
    seen = np.flatnonzero(answers.probability >= thresholds[0])
    geometries = [prepared.geometries[row] for row in seen]
    return found | energy_on_tissue(answers.heatmaps[seen], prepared.images[seen], geometries, predicted.group[seen])


def baselines(train: Sequence[Case], test: Sequence[Case], cache: Path | None = None) -> dict[str, Metric]:
    """Return the AUC on ``test`` of file metadata alone, of the region alone, and of region with hardware.

    ``cache`` is a folder that keeps the files' properties for the next time.
    """

    def split(cases: Sequence[Case], features: NDArray[np.generic]) -> Split:
        labels = np.array([case.label for case in cases], np.int64)
        return Split(features, labels, np.array([case.group for case in cases]))

    def names(cases: Sequence[Case], *fields: str) -> NDArray[np.generic]:
        return np.array([[str(getattr(case, field)) for field in fields] for case in cases])

    if one_class(np.array([case.label for case in train])) or one_class(np.array([case.label for case in test])):
        return {}
    found = metadata_baselines(
        split(train, metadata_of([case.path for case in train], cache)),
        split(test, metadata_of([case.path for case in test], cache)),
    )
    if any(case.region for case in test):
        for fields in (("region",), ("region", "hardware")):
            known, asked = names(train, *fields), names(test, *fields)
            found[" and ".join(fields)] = named_baseline(split(train, known), split(test, asked))
    return found


def draw(
    prepared: PreparedCases,
    predicted: Predictions,
    heatmaps: NDArray[np.floating],
    evaluation: Evaluation,
    folder: Path,
) -> list[Path]:
    """Write the pictures of an evaluation into ``folder`` and return their paths."""
    labels, probability, metrics = predicted.label, predicted.probability, evaluation.metrics
    thresholds = [point.threshold for point in evaluation.points.values()]
    written = [
        plots.roc(labels, probability, folder / "roc.png", area=metrics["auc"], thresholds=thresholds),
        plots.precision_recall(
            labels, probability, folder / "precision_recall.png", precision=metrics["average_precision"]
        ),
        plots.reliability(
            labels,
            {"before calibration": expit(predicted.logit), "after": probability},
            folder / "reliability.png",
        ),
        *(
            plots.confusion_matrix(labels, probability, threshold, folder / f"confusion_at_{name}.png")
            for name, threshold in zip(("suspicion", "fracture"), thresholds, strict=True)
        ),
    ]
    samples = [
        plots.Sample(
            image=prepared.images[row, :, :, 0],
            heatmap=heatmaps[row],
            boxes=predicted.boxes[row] if predicted.boxes is not None else (),
            label=int(labels[row]),
            probability=float(probability[row]),
            name=str(predicted.image[row]),
        )
        for row in range(len(labels))
    ]
    return [*written, *plots.hits_and_misses(samples, thresholds[0], folder).values()]
