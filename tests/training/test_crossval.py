"""Cross-validation: every radiograph of the held source is read once, by a network that never saw its group."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from radiograph.phantom_dataset import write_dataset
from training.crossval import RESULT, cross_validate, read_cross_validation, read_together
from training.datasets import DataError, folds, load, prepare_cases
from training.ensemble import mean_of
from training.model import LOGIT, build_model
from training.recipe import Recipe, Sampling, Stage
from training.validate import best_reading, outputs
from training.weights import load_weights, recipe_of, save_weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets under names of their own: ``main`` with splits, ``small`` to be cross-validated."""
    base = tmp_path_factory.mktemp("sets")
    made = []
    for name, count, seed in (("main", 24, 5), ("small", 12, 6)):
        folder = write_dataset(base / f"{name}-made", count, seed=seed).by_manifest
        made.append(folder.rename(base / name))
    return made


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_case_of_the_source_is_read_once(
    folders: list[Path], tiny_recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    of_main = [case for case in load(folders[0]) if case.split == "train"]
    left_out = {"main": Sampling(without=(of_main[0].path.name,))}
    recipe = replace(tiny_recipe, stages=(Stage(1, 1e-3),), sampling=left_out)
    console = Console(file=io.StringIO(), width=200)
    result = cross_validate(recipe, folders, "small", 2, tmp_path / "run", console, cache)
    for held in (fold.n for fold in result.by_fold):
        assert f"{held} radiographs of small held out, {len(of_main) - 1 + 12 - held} train." in said(console)
    assert result.images == 12
    assert result.metrics["auc"].n == 12
    assert sum(fold.n for fold in result.by_fold) == 12
    told = read_cross_validation(tmp_path / "run" / RESULT)
    assert told == {f"small/2-fold/{name}": metric for name, metric in result.metrics.items()}
    for fold in (1, 2):
        assert (tmp_path / "run" / f"fold-{fold}" / "best.npz").is_file()


def test_a_recipe_goes_on_from_the_folds_of_the_one_before(
    folders: list[Path], tiny_recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    console = Console(file=io.StringIO(), width=200)
    before = tmp_path / "before"
    before.mkdir()
    recipe = replace(tiny_recipe, stages=(Stage(1, 1e-3),))
    with pytest.raises(DataError, match=f"no finished cross-validation to go on from: no {RESULT}"):
        cross_validate(replace(recipe, start=str(before)), folders, "small", 2, tmp_path / "run", console, cache)
    cross_validate(recipe, folders, "small", 2, before, console, cache)
    after = replace(recipe, name="after", stages=(Stage(1, 1e-3, learns="picture head"),), start=str(before))
    with pytest.raises(DataError, match="a recipe of the same seed"):
        cross_validate(replace(after, seed=recipe.seed + 1), folders, "small", 2, tmp_path / "run", console, cache)
    with pytest.raises(DataError, match="the same number of folds"):
        cross_validate(after, folders, "small", 3, tmp_path / "run", console, cache)
    cross_validate(after, folders, "small", 2, tmp_path / "run", console, cache)
    for fold in ("fold-1", "fold-2"):
        assert recipe_of(tmp_path / "run" / fold / "best.npz").start == str(before / fold / "best.npz")
        with np.load(before / fold / "best.npz") as old, np.load(tmp_path / "run" / fold / "best.npz") as new:
            kept = {key for key in old if key == "recipe" or np.allclose(old[key], new[key], rtol=1e-3, atol=1e-5)}
            moved = {key.split("/")[0] for key in old if key not in kept}
        assert moved == {"dense0", "picture"}


def test_networks_of_finished_cross_validations_are_read_as_their_mean(
    folders: list[Path], tiny_recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    quiet, alone = Console(quiet=True), []
    for name, rate in (("one", 1e-3), ("two", 3e-3)):
        recipe = replace(tiny_recipe, name=name, stages=(Stage(1, rate),))
        alone.append(cross_validate(recipe, folders, "small", 2, tmp_path / name, quiet, cache))
    same = read_together([tmp_path / "one"], folders, "small", tmp_path / "same", quiet, cache)
    assert same.metrics == alone[0].metrics
    runs = [tmp_path / "one", tmp_path / "two"]
    both = read_together(runs, folders, "small", tmp_path / "both", quiet, cache)
    assert (both.recipe, both.count, both.images, both.groups) == ("one + two", 2, 12, alone[0].groups)
    assert read_cross_validation(tmp_path / "both" / RESULT)["small/2-fold/auc"] == both.metrics["auc"]
    held = load(folders[1])
    size = tiny_recipe.model.input_size
    val = prepare_cases([case for case in load(folders[0]) if case.split == "val"], size)
    for fold, (rows, told) in enumerate(zip(folds(held, 2, tiny_recipe.seed), both.by_fold, strict=True), start=1):
        asked = prepare_cases([held[row] for row in rows], size)
        networks = []
        for run in runs:
            networks.append(build_model(tiny_recipe.model))
            load_weights(networks[-1], run / f"fold-{fold}" / "best.npz")
        mean = mean_of(networks)
        mirrored, _ = best_reading(mean, val)
        logits = outputs(mean, asked.images, mirrored=mirrored)[LOGIT]
        assert told.value == pytest.approx(roc_auc_score(asked.labels, logits), abs=1e-6)

    def refused(runs: list[Path], folders: list[Path], source: str, sentence: str) -> None:
        with pytest.raises(DataError, match=sentence):
            read_together(runs, folders, source, tmp_path / "refused", quiet, cache)
        assert not (tmp_path / "refused").exists()

    refused([*runs, tmp_path / "none"], folders, "small", f"holds no finished cross-validation: no {RESULT}")
    refused(runs, folders, "main", "a cross-validation of small, not of main")
    refused(runs, folders[:1], "small", "None of the data folders is called small")
    save_weights(networks[0], replace(tiny_recipe, seed=tiny_recipe.seed + 1), runs[1] / "fold-1" / "best.npz")
    refused(runs, folders, "small", "a recipe of the same seed")


def test_weights_that_may_have_seen_the_source_are_refused(
    folders: list[Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    weights = tmp_path / "seen.npz"
    save_weights(build_model(tiny_recipe.model), tiny_recipe, weights)
    recipe = replace(tiny_recipe, start=str(weights))
    with pytest.raises(DataError, match="may have been trained on small"):
        cross_validate(recipe, folders, "small", 2, tmp_path / "run", Console(quiet=True))


def test_weights_whose_own_start_may_have_seen_the_source_are_refused(
    folders: list[Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    network = build_model(tiny_recipe.model)
    save_weights(network, tiny_recipe, tmp_path / "first.npz")
    left_out = {"small": Sampling(0, 0)}
    save_weights(
        network, replace(tiny_recipe, start=str(tmp_path / "first.npz"), sampling=left_out), tmp_path / "second.npz"
    )
    recipe = replace(tiny_recipe, start=str(tmp_path / "second.npz"))
    with pytest.raises(DataError, match=r"first\.npz"):
        cross_validate(recipe, folders, "small", 2, tmp_path / "run", Console(quiet=True))


@pytest.mark.parametrize(
    ("which", "source", "sentence"),
    [
        ([0, 1], "large", "None of the data folders is called large"),
        ([1], "small", "another data set with a val split"),
    ],
)
def test_without_the_source_or_another_set_it_says_so(
    folders: list[Path], tiny_recipe: Recipe, tmp_path: Path, which: list[int], source: str, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        cross_validate(tiny_recipe, [folders[i] for i in which], source, 2, tmp_path, Console(quiet=True))


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"source": "small"}))
    with pytest.raises(DataError, match="not a result of: osteo crossval"):
        read_cross_validation(file)
