"""Cross-validation of one source while the others always train: how a recipe does on a set too small to hold out.

Every radiograph of the held source is read once, by a network that never saw its group. The folds' logits are
calibrated on the other sources' validation split before they are pooled, because each network has a scale of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from training.calibration import calibrated, fit_temperature
from training.datasets import PASTED, Case, DataError, PreparedCases, folds, prepare_cases
from training.fit import WEIGHTS, fit
from training.kept import ACROSS, Kept
from training.metrics import Metric, auc, average_precision
from training.model import LOGIT, build_model
from training.recipe import Recipe
from training.run import CACHE, load_cases, to_train, val_cases
from training.validate import better_of, both_ways
from training.weights import load_weights, recipe_of

RESULT: Final = "crossval.json"


@dataclass(frozen=True)
class CrossValidation:
    """Figures of ``source`` over ``count`` folds, pooled; ``by_fold`` are the AUCs of the folds alone."""

    source: str
    recipe: str
    count: int
    images: int
    fractured: int
    groups: int
    metrics: dict[str, Metric]
    by_fold: tuple[Metric, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the figures as plain values, as ``crossval.json`` keeps them."""
        return asdict(self)


def cross_validate(
    recipe: Recipe, folders: Sequence[Path], source: str, count: int, run: Path, console: Console, cache: Path = CACHE
) -> CrossValidation:
    """Return the figures of ``source`` by ``count`` folds over its groups, each fold trained into ``run/fold-k``.

    Goes on where a killed call stopped and writes ``run/crossval.json``. A recipe that goes on from another may start
    from the folder of that one's cross-validation: each fold then goes on from the same fold. Raises ``DataError``
    where the source is not among the folders, where nothing else has a val split, or where the weights to start from
    may have seen what is held out.
    """
    start = Path(recipe.start) if recipe.start else None
    earlier = start if start is not None and start.is_dir() else None
    held, others = _apart(folders, source)
    if any(case.source == source + PASTED for case in others):
        raise DataError(f"{source}{PASTED} was made from {source}: each fold would train on what it holds out.")
    if earlier is None:
        _refuse_seen(start, source)
    else:
        _refuse_other_folds(earlier, held, count, recipe.seed)
    val = [case for case in others if case.split == "val"]
    if not val:
        raise DataError("Cross-validation needs another data set with a val split, to choose and calibrate on.")
    always = to_train([case for case in others if case.split == "train"], recipe)
    size = recipe.model.input_size
    everything = prepare_cases([*always, *held], size, cache)
    prepared_val = prepare_cases(val, size, cache)
    kept = Kept(console)
    probability = np.zeros(len(held))
    fold_of = np.zeros(len(held), np.int64)
    for index, rows in enumerate(folds(held, count, recipe.seed)):
        asked = len(always) + rows
        train = everything.subset(np.setdiff1d(np.arange(len(everything.cases)), asked))
        console.print(
            f"Fold {index + 1} of {count}: {len(rows)} radiographs of {source} held out, {len(train.cases)} train."
        )
        name = f"fold-{index + 1}"
        folder = run / name
        begun = recipe if earlier is None else replace(recipe, start=str(earlier / name / WEIGHTS))
        fit(begun, train, prepared_val, folder, console=console, kept=kept)
        probability[rows] = _read([folder / WEIGHTS], prepared_val, everything.subset(asked), kept)
        fold_of[rows] = index
    return _write(_figures(recipe.name, held, probability, fold_of, count), run)


def read_together(
    runs: Sequence[Path], folders: Sequence[Path], source: str, run: Path, console: Console, cache: Path = CACHE
) -> CrossValidation:
    """Return the figures of ``source`` read by the mean of the networks of finished cross-validations, fold by fold.

    Nothing is trained. Writes ``run/crossval.json``. Raises ``DataError`` where a cross-validation is not finished or
    held out other radiographs than the first.
    """
    count = min(_count(each, source) for each in runs)
    firsts = [recipe_of(each / "fold-1" / WEIGHTS) for each in runs]
    seed, size = firsts[0].seed, firsts[0].model.input_size
    held, others = _apart(folders, source)
    if any(first.model.input_size != size for first in firsts):
        raise DataError("Networks can be read together only at one input size, and these differ in it.")
    for each in runs:
        _refuse_other_folds(each, held, count, seed)
    prepared, val = prepare_cases(held, size, cache), prepare_cases(val_cases(others), size, cache)
    kept = Kept(console)
    probability = np.zeros(len(held))
    fold_of = np.zeros(len(held), np.int64)
    for index, rows in enumerate(folds(held, count, seed)):
        console.print(f"Fold {index + 1} of {count}: {len(rows)} radiographs of {source}, {len(runs)} networks.")
        files = [each / f"fold-{index + 1}" / WEIGHTS for each in runs]
        probability[rows] = _read(files, val, prepared.subset(rows), kept)
        fold_of[rows] = index
    name = " + ".join(first.name for first in firsts)
    return _write(_figures(name, held, probability, fold_of, count), run)


def _apart(folders: Sequence[Path], source: str) -> tuple[list[Case], list[Case]]:
    """Return the cases of ``source`` and those of the other sets."""
    cases = load_cases(folders)
    held = [case for case in cases if case.source == source]
    if not held:
        raise DataError(f"None of the data folders is called {source}; name the set to cross-validate with --of.")
    return held, [case for case in cases if case.source != source]


def _write(result: CrossValidation, run: Path) -> CrossValidation:
    run.mkdir(parents=True, exist_ok=True)
    (run / RESULT).write_text(json.dumps(result.as_dict(), indent=1) + "\n", encoding="utf-8")
    return result


def _count(run: Path, source: str) -> int:
    """Return how many folds of ``source`` the finished cross-validation in ``run`` has."""
    try:
        told = json.loads((run / RESULT).read_text(encoding="utf-8"))
        if told["source"] != source:
            raise DataError(f"{run} holds a cross-validation of {told['source']}, not of {source}.")
        return int(told["count"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run} holds no finished cross-validation: no {RESULT} in it.") from error


def table(result: CrossValidation) -> Table:
    """Return the figures as a table for people, each with its interval and n."""
    shown = Table(title=f"{result.source} by {result.count} folds over {result.groups} groups, recipe {result.recipe}")
    for column in ("figure", "value (95 % interval, n)"):
        shown.add_column(column)
    for name, metric in result.metrics.items():
        shown.add_row(name, str(metric))
    for index, metric in enumerate(result.by_fold, start=1):
        shown.add_row(f"auc, fold {index} alone", str(metric))
    return shown


def read_cross_validation(file: Path) -> dict[str, Metric]:
    """Return the pooled figures of a ``crossval.json`` by the names a model card gives them.

    These are ``"<data set>/<folds>-fold/<figure>"``. Raises ``DataError`` on another file.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        where = f"{raw['source']}/{raw['count']}-fold"
        return {f"{where}/{name}": Metric(**metric) for name, metric in raw["metrics"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is not a result of: osteo crossval") from error


def _read(files: Sequence[Path], val: PreparedCases, asked: PreparedCases, kept: Kept) -> NDArray[np.float64]:
    """Return the calibrated probabilities of ``asked``, float64 [N], by the mean of the networks in ``files``."""
    networks = []
    for file in files:
        config = recipe_of(file).model
        network = build_model(replace(config, weights="none"))
        load_weights(network, file)
        networks.append((network, config))

    def said(cases: PreparedCases, mirrored: int = 0) -> dict[str, NDArray[np.float32]]:
        each = [kept.outputs(network, config, cases, mirrored) for network, config in networks]
        return {name: np.mean([answer[name] for answer in each], axis=0) for name in each[0]}

    both, on_val = better_of(said(val), said(val, ACROSS), val)
    on_asked = both_ways(said(asked), said(asked, ACROSS)) if both else said(asked)
    return calibrated(on_asked[LOGIT], *fit_temperature(on_val[LOGIT], val.labels))


def _figures(
    recipe: str, held: list[Case], probability: NDArray[np.float64], fold_of: NDArray[np.int64], count: int
) -> CrossValidation:
    labels = np.array([case.label for case in held])
    groups = np.array([case.group for case in held])
    by_fold = [fold_of == index for index in range(count)]
    return CrossValidation(
        source=held[0].source,
        recipe=recipe,
        count=count,
        images=len(held),
        fractured=int(labels.sum()),
        groups=len(np.unique(groups)),
        metrics={
            "auc": auc(labels, probability, groups),
            "average_precision": average_precision(labels, probability, groups),
        },
        by_fold=tuple(auc(labels[rows], probability[rows], groups[rows]) for rows in by_fold),
    )


def _refuse_seen(start: Path | None, source: str) -> None:
    """Raise ``DataError`` unless the recipes behind ``start`` say that they left ``source`` out."""
    while start is not None:
        recipe = recipe_of(start)
        sampling = recipe.sampling.get(source)
        if sampling is None or sampling.fractured or sampling.normals:
            raise DataError(
                f"The weights {start} may have been trained on {source}, so cross-validating it would mean nothing. "
                f"Start from weights whose recipe leaves it out ([sampling.{source}] fractured = 0, normals = 0)."
            )
        before = Path(recipe.start) if recipe.start else None
        start = before if before is not None and before.is_file() else None


def _refuse_other_folds(before: Path, held: list[Case], count: int, seed: int) -> None:
    """Raise ``DataError`` unless each fold of the cross-validation in ``before`` held out the same radiographs."""
    try:
        told = read_cross_validation(before / RESULT).get(f"{held[0].source}/{count}-fold/auc")
    except DataError as error:
        raise DataError(f"{before} holds no finished cross-validation to go on from: no {RESULT} in it.") from error
    earlier = recipe_of(before / "fold-1" / WEIGHTS)
    same = told is not None and told.n == len(held)
    splits = zip(folds(held, count, seed), folds(held, count, earlier.seed), strict=True)
    if not same or not all(np.array_equal(ours, theirs) for ours, theirs in splits):
        raise DataError(
            f"The folds of {before} are not these: it must have the same set, the same number of folds and a recipe of "
            f"the same seed ({seed})."
        )
    _refuse_seen(Path(earlier.start) if earlier.start else None, held[0].source)
