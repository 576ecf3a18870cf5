"""Measuring an exported version on data: the SavedModel itself answers, as it would when served."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import logit as log_odds

from export import contract
from radiograph import RadiographError, prepare, read
from radiograph.regions import RegionRule
from training import plots
from training.crossval import read_cross_validation
from training.datasets import DataError, PreparedCases, load, prepare_cases
from training.evaluate import Answers, Model, draw, evaluate, looks, predictions
from training.metrics import Metric, wilson
from training.report import Comparison, Evaluation, compare
from training.run import CACHE
from training.targets import hold_against

HISTORY: Final = "history.json"
"""What a finished training run leaves of its epochs."""


class MeasureError(Exception):
    """A version cannot be measured; the message says why."""


def measure(
    version_dir: Path,
    folders: Sequence[Path],
    split: str,
    out: Path | None = None,
    outside: Path | None = None,
    folds: Path | None = None,
) -> list[Evaluation]:
    """Return the evaluation of a version on ``split`` ("all": every case) of each data folder, pictures into ``out``.

    Where the folder has a train split, baselines that never saw a picture are trained on it for comparison.
    ``outside`` is a folder of pictures that no limb radiograph model should answer; ``folds`` is a cross-validation's
    result, held against what should be reached instead of the one on the card. Raises ``MeasureError``,
    ``DataError``, ``CardError``.
    """
    card = contract.read_card(version_dir)
    model = load_version(version_dir, card.temperature, card.bias)
    rule = RegionRule(**card.region_rule) if card.region_rule else None
    turned_away = flagged_of_outside(model, outside, card.input_size) if outside else {}
    stated: dict[str, Metric | contract.Metric] = {**card.metrics}
    if folds is not None:
        stated.update(read_cross_validation(folds))
    found = []
    for folder in folders:
        cases = load(folder)
        train = [case for case in cases if case.split == "train"] if split != "all" else []
        prepared = _prepared(folder, split, card.input_size)
        answers = model(prepared.images)
        predicted = predictions(prepared, answers, split)
        name = prepared.cases[0].source
        flagged = wilson(int(np.sum(answers.novelty > contract.NOVELTY_LIMIT)), len(answers.novelty))
        evaluation = evaluate(
            name, predicted, card.thresholds, rule=rule, train=train, cases=prepared.cases, cache=CACHE
        )
        looked = looks(model, prepared, predicted, answers, card.thresholds)
        metrics = {**evaluation.metrics, **looked, "flagged": flagged, **turned_away}
        targets = hold_against(name, split, metrics, stated)
        found.append(replace(evaluation, metrics=metrics, targets=targets))
        if out is not None:
            draw(prepared, predicted, answers.heatmaps, found[-1], out / name)
    return found


def flagged_of_outside(model: Model, folder: Path, size: int) -> dict[str, Metric]:
    """Return the share of the files under ``folder`` that get no finding, of all and of each folder in it.

    A file gets no finding when it is refused as it is read, or too novel. Raises ``MeasureError`` for an empty folder.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise MeasureError(f"{folder} holds no files. Give a folder of pictures that are no limb radiographs.")
    answered = np.zeros(len(paths), bool)
    images, rows = [], []
    for row, path in enumerate(paths):
        with contextlib.suppress(RadiographError):
            images.append(prepare(read(path), size).image)
            rows.append(row)
    if images:
        answered[rows] = model(np.stack(images)).novelty <= contract.NOVELTY_LIMIT
    kinds = np.array([path.relative_to(folder).parts[0] if path.parent != folder else "" for path in paths])
    found = {"flagged_of_outside": wilson(int(np.sum(~answered)), len(paths))}
    for kind in np.unique(kinds[kinds != ""]):
        inside = ~answered[kinds == kind]
        found[f"flagged_of_outside_{kind}"] = wilson(int(np.sum(inside)), len(inside))
    return found


def draw_history(run: Path, out: Path) -> Path:
    """Draw accuracy, loss and what else a training run noted of its epochs into ``out``; return the picture's path.

    Raises ``MeasureError`` where ``run`` holds no history.
    """
    try:
        history = json.loads((run / HISTORY).read_text(encoding="utf-8"))
        return plots.learning_curves(history, out / "learning_curves.png")
    except (OSError, ValueError) as error:
        raise MeasureError(f"{run} holds no {HISTORY} of a finished training run. Give the folder of one.") from error


def compare_versions(first: Path, second: Path, folders: Sequence[Path], split: str) -> Comparison:
    """Return DeLong's and McNemar's tests of two versions on the same pictures, the first of ``folders``."""
    cards = [contract.read_card(folder) for folder in (first, second)]
    told = []
    for folder, card in zip((first, second), cards, strict=True):
        prepared = _prepared(folders[0], split, card.input_size)
        answers = load_version(folder, card.temperature, card.bias)(prepared.images)
        told.append(predictions(prepared, answers, split))
    return compare((str(first), str(second)), told[0], told[1], cards[0].thresholds, cards[1].thresholds)


def _prepared(folder: Path, split: str, size: int) -> PreparedCases:
    cases = [case for case in load(folder) if split in (case.split, "all")]
    if not cases:
        raise DataError(f"{folder} has no case in the split {split!r}. Choose another with --split, or --split all.")
    return prepare_cases(cases, size, CACHE)


def load_version(version_dir: Path, temperature: float, bias: float, *, batch: int = 32) -> Model:
    """Return the exported version in ``version_dir`` as a function of prepared images; logits by undoing calibration.

    Raises ``MeasureError`` where the folder holds no SavedModel of the contract.
    """
    try:
        loaded = tf.saved_model.load(str(version_dir))
        signature = loaded.signatures[contract.SIGNATURE_IMAGE]
    except (OSError, KeyError) as error:
        raise MeasureError(f"{version_dir} holds no SavedModel of the served contract: {error}.") from error

    def answer(images: NDArray[np.uint8]) -> Answers:
        parts = [signature(tf.constant(images[start : start + batch])) for start in range(0, len(images), batch)]
        outputs = {
            name: np.concatenate([part[name].numpy() for part in parts])
            for name in (contract.PROBABILITY, contract.HEATMAP, contract.NOVELTY)
        }
        probability = outputs[contract.PROBABILITY]
        logit = (log_odds(np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)) - bias) * temperature
        # the signature belongs to the loaded object, which must live as long
        answer.model = loaded  # type: ignore[attr-defined]
        return Answers(probability, logit, outputs[contract.HEATMAP], outputs[contract.NOVELTY])

    return answer
