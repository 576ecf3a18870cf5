"""One training run from data folders to weights, a history and its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from training import plots
from training.datasets import Case, DataError, PreparedCases, folds, load, manifest_sha256, prepare_cases
from training.fit import WEIGHTS, fit
from training.recipe import Recipe
from training.tracking import tracking

CACHE: Final = Path("runs") / "cache"
_VAL_FOLDS: Final = 6


@dataclass(frozen=True, eq=False)
class Splits:
    """The cases of a run, prepared at its input size; no group is in two of them."""

    train: PreparedCases
    val: PreparedCases


def load_cases(folders: Sequence[Path]) -> list[Case]:
    """Return the cases of all data folders; raise ``DataError`` where one is no data set or two bear the same name."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) != len(names):
        raise DataError("Two data folders bear the same name; their cases could not be told apart. Rename one.")
    return [case for folder in folders for case in load(folder)]


def to_train(cases: Sequence[Case], recipe: Recipe) -> list[Case]:
    """Return the cases but those whose files ``recipe`` leaves out of training."""
    left_out = {(source, name) for source, row in recipe.sampling.items() for name in row.without}
    return [case for case in cases if (case.source, case.path.name) not in left_out]


def val_cases(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of the val splits; raise ``DataError`` where there is none."""
    val = [case for case in cases if case.split == "val"]
    if not val:
        raise DataError("None of the data folders has a val split to measure on.")
    return val


def load_splits(folders: Sequence[Path], recipe: Recipe, cache: Path = CACHE) -> Splits:
    """Return train and val of the data folders; where none has a val split, a sixth of the groups becomes it.

    Raises ``DataError``, also where a group stands on both sides.
    """
    cases = load_cases(folders)
    if not any(case.split == "val" for case in cases):
        held_out = set(folds(cases, _VAL_FOLDS, recipe.seed)[0].tolist())
        cases = [replace(case, split="val" if row in held_out else case.split) for row, case in enumerate(cases)]
    train = to_train([case for case in cases if case.split == "train"], recipe)
    val = [case for case in cases if case.split == "val"]
    if not train or not val:
        raise DataError("Training needs pictures in train and in val; this data has none in one of them.")
    both = {case.group for case in train} & {case.group for case in val}
    if both:
        raise DataError(
            f"{len(both)} groups stand in train and in val, so validation would mean nothing. "
            "Clean the set first with: osteo data audit"
        )
    size = recipe.model.input_size
    return Splits(prepare_cases(train, size, cache), prepare_cases(val, size, cache))


def train(recipe: Recipe, splits: Splits, run: Path, console: Console, *, track: bool = True) -> Path:
    """Train into the folder ``run``, going on where a killed run stopped, and return the file of the best weights.

    Beside it lie ``history.json`` and ``learning_curves.png``, and what ``training.tracking`` writes unless ``track``
    is off. Raises ``RunError``, ``BackboneError``, ``CheckpointError``, ``WriteError``.
    """
    _describe(splits, recipe, console)
    history_file, curves, weights = run / "history.json", run / "learning_curves.png", run / WEIGHTS
    params = {**recipe.as_dict(), "data": _facts(splits)}
    with tracking(run, params, console, [history_file, curves, weights], on=track) as tracked:
        history = fit(recipe, splits.train, splits.val, run, console=console, on_epoch=tracked.write)
        history_file.write_text(json.dumps(history, indent=1), encoding="utf-8")
        plots.learning_curves(history, curves)
    best = max(history, key=lambda epoch: epoch["val_score"])
    count = len(splits.val.labels)
    console.print(f"Best: epoch {best['epoch']:.0f}, validation AUC {best['val_auc']:.3f} (n {count}).")
    return weights


def _facts(splits: Splits) -> dict[str, dict[str, object]]:
    sides = {"train": splits.train.cases, "val": splits.val.cases}
    return {side: {"radiographs": len(cases), "sha256": manifest_sha256(cases)} for side, cases in sides.items()}


def _describe(splits: Splits, recipe: Recipe, console: Console) -> None:
    for name, side in (("train", splits.train), ("val", splits.val)):
        sources = ", ".join(dict.fromkeys(case.source for case in side.cases))
        groups = len({case.group for case in side.cases})
        fractured = int(np.sum(side.labels))
        console.print(f"{name}: {len(side.cases)} radiographs, {fractured} fractured, {groups} groups ({sources})")
    given = {case.source for case in splits.train.cases}
    missing = [name for name, row in recipe.sampling.items() if (row.fractured or row.normals) and name not in given]
    if missing:
        console.print(
            f"The recipe trains on {', '.join(missing)} too, not given here: expect other figures.", soft_wrap=True
        )
