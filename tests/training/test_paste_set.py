"""A set of pasted fractures: from training pictures alone, the same for one recipe, refused where it would leak."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from osteo import app
from radiograph.phantom_dataset import PhantomDataset, write_dataset
from training.crossval import cross_validate
from training.datasets import DataError, load
from training.paste_set import write_pasted
from training.recipe import Recipe, Sampling
from training.run import load_splits, train

Row = dict[str, str]


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, model=replace(tiny_recipe.model, input_size=128))


def rows(folder: Path) -> list[Row]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_set_is_made_of_training_pictures_and_can_be_trained_on(
    phantoms: PhantomDataset, recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    said = io.StringIO()
    made = write_pasted(phantoms.by_manifest, tmp_path, recipe, Console(file=said, width=400), cache)
    assert made == tmp_path / "manifest-pasted"
    of_train = {row["image"]: row for row in rows(phantoms.by_manifest) if row["split"] == "train"}
    pasted = rows(made)
    assert {row["label"] for row in pasted} == {"0", "1"}
    assert all(row["lender"] in of_train and row["taker"] in of_train for row in pasted)
    assert all(of_train[row["lender"]]["label"] == row["label"] for row in pasted)
    assert all(of_train[row["taker"]]["label"] == "0" and row["lender"] != row["taker"] for row in pasted)
    assert all(float(row["similarity"]) >= 0.82 for row in pasted)
    cases = load(made)
    assert {case.split for case in cases} == {"train"}
    assert all(case.boxes == (None if case.label else ()) for case in cases), "the place of a fracture is not told"
    assert sum(1 - case.label for case in cases) <= sum(case.label for case in cases)
    with Image.open(made / "sheet.png") as sheet:
        assert sheet.width > 500
    assert f"{sum(case.label for case in cases)} pictures with a pasted fracture" in said.getvalue()


def test_the_same_recipe_makes_the_same_set_and_one_that_is_there_stays(
    phantoms: PhantomDataset, recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    first, second = (
        write_pasted(phantoms.by_manifest, tmp_path / name, recipe, Console(file=io.StringIO()), cache)
        for name in ("first", "second")
    )
    for path in sorted(first.rglob("*.*")):
        if path.suffix != ".png":
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    written = (first / "manifest.csv").stat().st_mtime_ns
    said = io.StringIO()
    write_pasted(phantoms.by_manifest, tmp_path / "first", recipe, Console(file=said), cache)
    assert "already there" in said.getvalue()
    assert (first / "manifest.csv").stat().st_mtime_ns == written


def test_files_that_the_recipe_leaves_out_are_not_pasted(
    phantoms: PhantomDataset, recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    every = [row["image"] for row in rows(phantoms.by_manifest) if row["split"] == "train" and row["label"] == "1"]
    without = replace(recipe, sampling={"manifest": Sampling(without=tuple(every[1:]))})
    made = write_pasted(phantoms.by_manifest, tmp_path, without, Console(file=io.StringIO()), cache)
    assert {row["lender"] for row in rows(made) if row["label"] == "1"} == {every[0]}


def test_a_set_without_validation_pictures_is_refused(
    phantoms: PhantomDataset, recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "all"
    shutil.copytree(phantoms.by_manifest, folder)
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(",val,", ",train,"), encoding="utf-8")
    with pytest.raises(DataError, match="has no val split"):
        write_pasted(folder, tmp_path, recipe, Console(file=io.StringIO()), cache)


def test_a_set_without_boxes_is_refused_in_a_sentence(phantoms: PhantomDataset, tmp_path: Path) -> None:
    folder = tmp_path / "unmarked"
    shutil.copytree(phantoms.by_manifest, folder)
    (folder / "boxes.json").write_text(json.dumps({}), encoding="utf-8")
    told = CliRunner().invoke(app, ["data", "paste", str(folder), "--out", str(tmp_path)])
    assert told.exit_code != 0
    assert "needs fractures with boxes and normals of the same region" in told.output + str(told.exception)
    assert not (tmp_path / "unmarked-pasted").exists()


def test_a_set_is_not_cross_validated_beside_what_was_pasted_from_it(
    phantoms: PhantomDataset, recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    made = write_pasted(phantoms.by_manifest, tmp_path, recipe, Console(file=io.StringIO()), cache)
    other = write_dataset(tmp_path / "other", 12, seed=3).by_class
    with pytest.raises(DataError, match="manifest-pasted was made from manifest"):
        cross_validate(
            recipe, [phantoms.by_manifest, made, other], "manifest", 2, tmp_path / "run", Console(file=io.StringIO())
        )


@pytest.mark.parametrize(("times", "told"), [(1, True), (0, False)])
def test_training_says_which_set_of_its_recipe_is_not_there(
    times: int, told: bool, phantoms: PhantomDataset, tiny_recipe: Recipe, tmp_path: Path, cache: Path
) -> None:
    sampling = {"manifest": Sampling(), "manifest-pasted": Sampling(times, times)}
    recipe = replace(tiny_recipe, sampling=sampling, stages=tiny_recipe.stages[:1])
    said = io.StringIO()
    splits = load_splits([phantoms.by_manifest], recipe, cache)
    train(recipe, splits, tmp_path / "run", Console(file=said), track=False)
    assert ("The recipe trains on manifest-pasted too" in said.getvalue()) is told
