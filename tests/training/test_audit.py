"""The audit finds what is planted: broken files, copies by name, leaks, contrary labels, shortcuts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.training.audit_trees import BICUBIC, picture, save, tree
from training import datasets
from training.audit import audit, run_audit
from training.audit_files import family_of
from training.datasets import DataError


def test_a_clean_set_has_no_faults(tmp_path: Path) -> None:
    report = audit(tree(tmp_path, 8))
    assert (report.files, report.families, report.distinct, len(report.kept)) == (8, 8, 8, 8)
    faults = (report.broken, report.across_splits, report.both_labels, report.misnamed, report.exact)
    assert not any(faults)
    assert report.balance() == {(s, label): (2, 2) for s in ("train", "val") for label in (0, 1)}


def test_copies_by_name_are_one_family_and_one_radiograph(tmp_path: Path) -> None:
    tree(tmp_path)
    folder = tmp_path / "train" / "fractured"
    save(picture(0).resize((224, 224)), folder / "0-rotated1.png")
    save(picture(0).resize((224, 224)).rotate(12, BICUBIC), folder / "0-rotated1-rotated2.png")
    report = audit(tmp_path)
    assert (report.files, report.families, report.distinct) == (6, 4, 4)
    assert not report.misnamed


def test_a_name_that_claims_a_copy_of_another_picture_is_not_believed(tmp_path: Path) -> None:
    tree(tmp_path)
    save(picture(99), tmp_path / "train" / "fractured" / "0-rotated1.png")
    report = audit(tmp_path)
    assert [scan.item.name for scan in report.misnamed] == ["train/fractured/0-rotated1.png"]
    assert report.distinct == 5


@pytest.mark.parametrize(
    ("stem", "family"),
    [
        ("10-rotated1-rotated2", "10"),
        ("10", "10"),
        ("knee_flip", "knee"),
        ("a_rot90-flipped", "a"),
        ("img.rf.0123abcdef", "img"),
        ("rotated", "rotated"),
        ("IMG0000123", "IMG0000123"),
        ("image (3)", "image (3)"),
    ],
)
def test_the_family_is_the_name_without_marks_of_copying(stem: str, family: str) -> None:
    assert family_of(stem) == family


def cut_short(path: Path) -> None:
    save(picture(7), path)
    path.write_bytes(path.read_bytes()[:-4000])


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut short": cut_short,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a picture"),
    "a colour photograph": lambda path: (
        Image.linear_gradient("L")
        .convert("RGB")
        .point(list(range(256)) + [0] * 256 + [255 - v for v in range(256)])
        .save(path)
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_file_that_cannot_be_read_is_listed_with_a_sentence(fault: str, tmp_path: Path) -> None:
    tree(tmp_path)
    BROKEN[fault](tmp_path / "train" / "fractured" / "bad.jpg")
    report = audit(tmp_path)
    (bad,) = report.broken
    assert bad.item.name == "train/fractured/bad.jpg"
    assert bad.error.endswith(".")
    assert (report.files, report.distinct) == (5, 4)


def test_the_filling_of_a_decoder_is_seen(tmp_path: Path) -> None:
    filled = np.asarray(picture(3)).copy()
    filled[200:] = 128
    save(Image.fromarray(filled), tree(tmp_path) / "train" / "fractured" / "filled.png")
    assert [scan.item.name for scan in audit(tmp_path).filled] == ["train/fractured/filled.png"]


def test_a_block_that_a_decoder_repeats_is_seen(tmp_path: Path) -> None:
    filled = np.asarray(picture(3)).copy()
    block = np.random.default_rng(0).integers(90, 200, (8, 8), np.uint8)
    below = filled[200:]
    below[:] = np.tile(block, (below.shape[0] // 8 + 1, below.shape[1] // 8 + 1))[: below.shape[0], : below.shape[1]]
    save(Image.fromarray(filled), tree(tmp_path) / "train" / "fractured" / "repeated.png")
    assert [scan.item.name for scan in audit(tmp_path).filled] == ["train/fractured/repeated.png"]


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_manifest_is_audited_with_its_groups(tmp_path: Path) -> None:
    for seed in range(4):
        save(picture(seed), tmp_path / "images" / f"{seed}.png")
    rows = [
        {"image": f"{seed}.png", "label": str(seed % 2), "split": split, "group": group}
        for seed, (split, group) in enumerate([("train", "p1"), ("train", "p2"), ("val", "p1"), ("val", "p3")])
    ]
    report = audit(write_manifest(tmp_path, rows))
    assert (report.files, report.distinct) == (4, 4)
    groups = {r.files[0].item.name: r.group for r in report.radiographs}
    assert groups["0.png"] == groups["2.png"] != groups["1.png"]
    assert report.groups_across_splits == (groups["0.png"],)


def test_a_file_listed_twice_with_both_labels_is_contrary(tmp_path: Path) -> None:
    save(picture(0), tmp_path / "a.png")
    rows = [{"image": "a.png", "label": "0"}, {"image": "a.png", "label": "1"}]
    assert len(audit(write_manifest(tmp_path, rows)).both_labels) == 1


def test_a_flat_folder_without_labels_is_audited_too(tmp_path: Path) -> None:
    for seed in range(3):
        save(picture(seed), tmp_path / f"{seed}.png")
    report = audit(tmp_path)
    assert (report.files, report.distinct, len(report.kept)) == (3, 3, 0)
    assert math.isnan(report.imbalance)


SHORTCUTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mean brightness": lambda im: im.point([min(255, v + 40) for v in range(256)]),
    "brightness spread": lambda im: im.point([min(255, round(v * 1.6)) for v in range(256)]),
    "height": lambda im: im.resize((im.width, im.height + 20), BICUBIC),
    "width": lambda im: im.resize((im.width + 20, im.height), BICUBIC),
}


@pytest.mark.parametrize("planted", SHORTCUTS)
def test_a_planted_shortcut_shows_alone_and_among_all(planted: str, tmp_path: Path) -> None:
    for seed in range(40):
        image = picture(seed, (80, 96))
        fractured = seed % 2 == 0
        label = "fractured" if fractured else "not fractured"
        save(SHORTCUTS[planted](image) if fractured else image, tmp_path / "data" / label / f"{seed}.png")
    printed = io.StringIO()
    report = run_audit(tmp_path / "data", tmp_path / "out", Console(file=printed, width=200))
    assert report.shortcuts["all"].low > 0.8
    assert report.shortcuts[planted].low > 0.8
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert f'{planted}</th><td class="number bad">' in page


def test_an_imbalance_of_the_classes_shows(tmp_path: Path) -> None:
    for seed in range(12):
        save(picture(seed), tmp_path / "data" / "train" / ("fractured" if seed < 2 else "normal") / f"{seed}.png")
    printed = io.StringIO()
    report = run_audit(tmp_path / "data", tmp_path / "out", Console(file=printed, width=200))
    assert report.imbalance == 5
    assert json.loads(printed.getvalue().strip().splitlines()[-1])["imbalance"] == 5
    assert "5.0 to 1" in printed.getvalue()
    assert "5.0 to 1" in (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")


def test_what_the_audit_writes_can_be_trained_from_and_loads_nothing(tmp_path: Path) -> None:
    data = tree(tmp_path / "data")
    save(picture(0).rotate(9, BICUBIC), data / "val" / "fractured" / "a&<b>.png")
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.rglob("*.png")}
    printed = io.StringIO()
    report = run_audit(data, tmp_path / "out", Console(file=printed, width=200))

    cases = datasets.load(tmp_path / "out")
    assert [(case.path.name, case.label, case.split) for case in cases] == [
        ("a&<b>.png", 1, "val"), ("1.png", 0, "train"), ("2.png", 1, "val"), ("3.png", 0, "val"),
    ]  # fmt: skip
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "a&amp;&lt;b&gt;.png" in page
    assert "<b>" not in page
    assert "data:image/jpeg;base64," in page
    assert not any(word in page for word in ("http:", "https:", "<script", "<link", "url("))
    figures = json.loads(printed.getvalue().strip().splitlines()[-1])
    assert (figures["distinct"], figures["copies_across_splits"]) == (report.distinct, 1)
    assert before == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.rglob("*.png")}


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "There is no folder"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "holds no pictures"),
        (lambda folder: (folder / "manifest.csv").write_text("name\na.png\n"), "columns image and label"),
    ],
)
def test_nothing_to_audit_is_said_in_a_sentence(prepare: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(DataError, match=words):
        audit(folder)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        run_audit(tree(tmp_path / "data"), blocked / "out", Console(quiet=True))
