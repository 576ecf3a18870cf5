"""Copies are found in every guise, and pictures that are only alike are not taken for copies."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.audit_trees import BICUBIC, picture, save, tree
from training.audit import audit
from training.audit_registration import COPY, Details, match, thumbnail


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


GUISES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the same again": lambda im: im,
    "as a JPEG": lambda im: jpeg(im, 60),
    "turned by 90 degrees": lambda im: im.transpose(Image.Transpose.ROTATE_90),
    "turned by 17 degrees": lambda im: im.rotate(17, BICUBIC),
    "turned by 130 degrees": lambda im: im.rotate(130, BICUBIC),
    "turned on a larger canvas": lambda im: im.rotate(25, BICUBIC, expand=True),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "at twice the size": lambda im: im.resize((im.width * 2, im.height * 2), BICUBIC),
    "at half the size": lambda im: im.resize((im.width // 2, im.height // 2), BICUBIC),
    "squashed to a square, then turned": lambda im: im.resize((224, 224), BICUBIC).rotate(-30, BICUBIC),
    "brighter": lambda im: im.point([min(255, int(255 * (v / 255) ** 0.7)) for v in range(256)]),
    "cropped by a little": lambda im: im.crop((4, 5, im.width - 4, im.height - 5)),
    "mirrored, turned, halved and as a JPEG": lambda im: jpeg(
        ImageOps.mirror(im.rotate(-21, BICUBIC)).resize((im.width // 2, im.height // 2), BICUBIC), 80
    ),
}


@pytest.mark.parametrize("guise", GUISES)
def test_a_copy_under_another_name_and_split_is_found(guise: str, tmp_path: Path) -> None:
    tree(tmp_path)
    save(GUISES[guise](picture(0)), tmp_path / "val" / "fractured" / "elsewhere.png")
    report = audit(tmp_path)
    assert report.distinct == 4
    (leak,) = report.across_splits
    assert {s.item.name for s in leak.files} == {"train/fractured/0.png", "val/fractured/elsewhere.png"}
    # The held-out file stays, training loses its copy.
    assert leak.files[0].item.split == "val"


def limb_on_black() -> Image.Image:
    """A narrow limb in a picture that is black nearly all over."""
    wide = Image.new("L", (300, 400))
    wide.paste(picture(5).crop((40, 5, 180, 255)), (80, 75))
    return wide


def test_a_turned_copy_of_a_picture_that_is_mostly_black_is_found(tmp_path: Path) -> None:
    save(limb_on_black(), tree(tmp_path) / "train" / "fractured" / "dark.png")
    save(limb_on_black().rotate(25, BICUBIC, expand=True), tmp_path / "val" / "fractured" / "turned.png")
    report = audit(tmp_path)
    assert (report.distinct, report.near, len(report.across_splits)) == (5, 1, 1)


@pytest.mark.parametrize("quality", [60, 95])
def test_copies_of_equal_pixels_are_counted_whatever_their_bytes(quality: int, tmp_path: Path) -> None:
    folder = tree(tmp_path) / "train" / "fractured"
    shutil.copy(folder / "0.png", folder / "again.png")
    save(picture(0), folder / "other bytes.bmp")
    save(picture(0), folder / "other pixels.jpg", quality)
    report = audit(tmp_path)
    (same,) = report.exact
    assert {scan.item.path.name for scan in same} == {"0.png", "again.png", "other bytes.bmp"}
    assert len({scan.sha256 for scan in same}) == 2
    assert (report.distinct, report.near) == (4, 1)


def test_a_copy_with_the_other_label_is_left_out_of_the_manifest(tmp_path: Path) -> None:
    tree(tmp_path)
    save(picture(0).transpose(Image.Transpose.ROTATE_180), tmp_path / "train" / "not fractured" / "x.png")
    report = audit(tmp_path)
    (contrary,) = report.both_labels
    assert contrary.labels == (0, 1)
    assert contrary not in report.kept
    assert len(report.kept) == 3
    assert report.balance()["train", 1] == (1, 0)


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ("IMG0000239.jpg", "IMG0000240.jpg", True),  # one exposure, processed twice
        ("IMG0000497.jpg", "IMG0001158.jpg", False),  # two left knees
        ("IMG0000653.jpg", "IMG0001027.jpg", False),  # two right knees
        ("IMG0000055.jpg", "IMG0000067.jpg", False),  # two elbows
    ],
)
def test_alike_radiographs_are_told_from_copies(first: str, second: str, one: bool, shared_data: Path) -> None:
    details = []
    for name in (first, second):
        with Image.open(shared_data / "fracatlas" / "images" / name) as image:
            details.append(Details(thumbnail(np.asarray(image.convert("L")), 8)))
    assert (match(*details) >= COPY) == one


@pytest.mark.slow
def test_the_slice_of_the_seeds_set_has_twelve_families_and_one_copy_across_splits(shared_data: Path) -> None:
    report = audit(shared_data / "bonedata_slice", workers=os.cpu_count())
    assert (report.files, report.families, report.distinct) == (642, 12, 11)
    (leak,) = report.across_splits
    assert {"val/not fractured/3.jpg", "train/not fractured/69.jpg"} <= {scan.item.name for scan in leak.files}
    assert not report.both_labels
    assert not report.misnamed
    assert not report.broken
