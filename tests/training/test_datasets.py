"""Data sets: what is read from the two layouts, what is refused, and where boxes end up."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radiograph.phantom_dataset import PhantomDataset
from radiograph.prepare import Geometry
from training.datasets import Case, DataError, box_mask, folds, load, manifest_sha256, prepare_cases
from training.model import ModelConfig
from training.recipe import Recipe, Sampling
from training.run import load_cases, load_splits


def test_a_manifest_gives_labels_splits_groups_and_boxes(phantoms: PhantomDataset) -> None:
    cases = load(phantoms.by_manifest)
    assert len(cases) == 24
    assert {case.split for case in cases} == {"train", "val", "test"}
    assert all(bool(case.boxes) == bool(case.label) for case in cases)
    assert sum(case.label for case in cases) == 12


def test_a_class_folder_tree_knows_no_place_of_its_fractures(phantoms: PhantomDataset) -> None:
    cases = load(phantoms.by_class)
    assert {case.split for case in cases} == {"train", "val"}
    assert all((case.boxes is None) == bool(case.label) for case in cases)


def test_turned_copies_stay_in_the_group_of_their_original(phantoms: PhantomDataset, tmp_path: Path) -> None:
    folder = tmp_path / "train" / "fractured"
    folder.mkdir(parents=True)
    picture = next(phantoms.by_class.glob("train/fractured/*.jpg"))
    for name in ("10.jpg", "10-rotated1.jpg", "10-rotated1-rotated2.jpg", "11.jpg"):
        shutil.copy(picture, folder / name)
    assert sorted(Counter(case.group for case in load(tmp_path)).values()) == [1, 3]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "is not a data set"),
        (lambda folder: (folder / "train" / "maybe").mkdir(parents=True), "no class this program knows"),
        (lambda folder: (folder / "train").mkdir(), "holds no pictures"),
        (lambda folder: (folder / "manifest.csv").write_text("name\nx\n"), "columns image and label"),
        (lambda folder: (folder / "manifest.csv").write_text("image,label\ngone.jpg,1\n"), "first is gone.jpg"),
    ],
)
def test_what_is_no_data_set_is_refused_with_a_sentence(make: object, sentence: str, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 half")
    case = Case(tmp_path / "bad.jpg", 0, "train", "g", "s", ())
    with pytest.raises(DataError, match=r"bad\.jpg"):
        prepare_cases([case], 64)


def test_prepared_pictures_come_back_from_the_cache_unchanged(phantoms: PhantomDataset, cache: Path) -> None:
    cases = load(phantoms.by_manifest)[:3]
    first = prepare_cases(cases, 64, cache)
    again = prepare_cases(cases, 64, cache)
    assert len(list(cache.iterdir())) == 1
    np.testing.assert_array_equal(first.images, again.images)
    assert first.geometries == again.geometries


def test_a_box_mask_covers_the_box_and_nothing_else() -> None:
    geometry = Geometry(width=200, height=100, size=64, left=0, top=16, inner_width=64, inner_height=32)
    mask = box_mask([(0.25, 0.5, 0.5, 1.0)], geometry)
    assert mask.shape == (16, 16)
    assert (mask[8:12, 4:8] == 255).all()
    assert mask.sum() == 255 * 16


def test_folds_keep_groups_whole_and_use_every_case_once(phantoms: PhantomDataset) -> None:
    cases = load(phantoms.by_manifest)
    parts = folds(cases, 4, seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(24))
    groups = [{cases[row].group for row in part} for part in parts]
    assert not set.intersection(*groups)
    assert sum(len(group) for group in groups) == len({case.group for case in cases})


def test_the_digest_changes_with_a_label_and_not_with_the_order(phantoms: PhantomDataset) -> None:
    cases = load(phantoms.by_manifest)
    assert manifest_sha256(cases) == manifest_sha256(cases[::-1])
    first = cases[0]
    other = Case(first.path, 1 - first.label, first.split, first.group, first.source, first.boxes)
    assert manifest_sha256(cases) != manifest_sha256([other, *cases[1:]])


def test_a_set_without_val_gives_a_sixth_of_its_groups(phantoms: PhantomDataset, tmp_path: Path, cache: Path) -> None:
    shutil.copytree(phantoms.by_class / "train", tmp_path / "set" / "train")
    recipe = Recipe(model=ModelConfig(weights="none", input_size=64))
    splits = load_splits([tmp_path / "set"], recipe, cache)
    assert 0 < len(splits.val.cases) < len(splits.train.cases)


def test_what_the_recipe_leaves_out_is_not_trained_on(phantoms: PhantomDataset, cache: Path) -> None:
    recipe = Recipe(model=ModelConfig(weights="none", input_size=64))
    train = load_splits([phantoms.by_manifest], recipe, cache).train.cases
    sampling = {
        train[0].source: Sampling(without=(train[0].path.name,)),
        "other": Sampling(without=(train[1].path.name,)),
    }
    assert load_splits([phantoms.by_manifest], replace(recipe, sampling=sampling), cache).train.cases == train[1:]


def test_a_group_on_both_sides_is_refused(phantoms: PhantomDataset, tmp_path: Path, cache: Path) -> None:
    picture = next(phantoms.by_class.glob("train/fractured/*.jpg"))
    shutil.copy(picture, tmp_path / "a.jpg")
    shutil.copy(picture, tmp_path / "b.jpg")
    rows = "image,label,split,group\na.jpg,1,train,7\nb.jpg,1,val,7\n"
    (tmp_path / "manifest.csv").write_text(rows)
    with pytest.raises(DataError, match="validation would mean nothing"):
        load_splits([tmp_path], Recipe(), cache)


def test_two_folders_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="same name"):
        load_cases([tmp_path / "a" / "set", tmp_path / "b" / "set"])


def test_the_real_sets_have_the_known_counts(shared_data: Path) -> None:
    fracatlas = load(shared_data / "fracatlas")
    counts = Counter((case.split, case.label) for case in fracatlas)
    assert len(fracatlas) == 3921
    assert counts["train", 1] == 482
    assert counts["val", 1] == 104
    assert counts["test", 1] == 103
    assert len({case.group for case in load(shared_data / "bonedata")}) > 1
