"""Real files: DICOM samples in many transfer syntaxes, and pictures that are no limb radiographs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from radiograph import RadiographError, prepare, read
from tests import dicom_tools

DICOM_SIZES = {
    "RG1_J2KI.dcm": (1841, 1955, 15),
    "RG2_JLSL.dcm": (1760, 2140, 10),
    "RG3_J2KR.dcm": (1760, 1760, 10),
    "RG3_JPLL.dcm": (1760, 1760, 10),
    "RG3_JPLY.dcm": (1760, 1760, 10),
    "RG3_RLE.dcm": (1760, 1760, 10),
    "RG3_UNC.dcm": (1760, 1760, 10),
    "highdicom_dx_image.dcm": (211, 169, 8),
}
DICOM_REFUSED = {
    "CT_small.dcm": ("not_a_radiograph", "CT slice"),
    "MR_small.dcm": ("not_a_radiograph", "MR slice"),
}
COLOUR = {"astronaut.jpg", "coffee.jpg", "ihc.jpg", "retina.jpg"}
"""Of the pictures out of scope, those whose colour gives them away; the others are left to the model's novelty."""


def test_the_table_covers_every_dicom_sample(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "dicom").glob("*.dcm")} == {*DICOM_SIZES, *DICOM_REFUSED}


@pytest.mark.parametrize("name", DICOM_SIZES)
def test_dicom_radiographs_are_read(shared_data: Path, name: str) -> None:
    radiograph = read(shared_data / "dicom" / name)
    assert (radiograph.width, radiograph.height, radiograph.bits) == DICOM_SIZES[name]
    assert radiograph.pixels.max() < 1 << radiograph.bits
    assert int(radiograph.pixels.max()) - int(radiograph.pixels.min()) > 0.5 * (1 << radiograph.bits)


@pytest.mark.parametrize("name", ["RG3_J2KR.dcm", "RG3_JPLL.dcm", "RG3_RLE.dcm"])
def test_every_lossless_compression_gives_the_uncompressed_pixels(shared_data: Path, name: str) -> None:
    uncompressed = read(shared_data / "dicom" / "RG3_UNC.dcm")
    assert np.array_equal(read(shared_data / "dicom" / name).pixels, uncompressed.pixels)


def test_twelve_bit_jpeg_gives_what_another_decoder_gives(shared_data: Path, tmp_path: Path) -> None:
    """RG3_JPLY states no spectrum in its scan, which the decoders in use refuse as it stands."""
    dicom_tools.run("dcmdjpeg", shared_data / "dicom" / "RG3_JPLY.dcm", tmp_path / "plain.dcm")
    ours, theirs = read(shared_data / "dicom" / "RG3_JPLY.dcm"), read(tmp_path / "plain.dcm")
    assert np.abs(ours.pixels.astype(int) - theirs.pixels).max() <= 1


def test_bone_is_bright_in_a_monochrome1_radiograph(shared_data: Path) -> None:
    """The lower leg of RG3: its shin bone lies about column 880, the film beside the leg about column 560."""
    pixels = read(shared_data / "dicom" / "RG3_UNC.dcm").pixels[600:800]
    assert np.median(pixels[:, 850:910]) > np.median(pixels[:, 520:600]) + 200


@pytest.mark.parametrize("name", DICOM_REFUSED)
def test_dicom_files_that_are_not_read_say_why(shared_data: Path, name: str) -> None:
    code, words = DICOM_REFUSED[name]
    with pytest.raises(RadiographError, match=words) as caught:
        read(shared_data / "dicom" / name)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["RG1_J2KI.dcm", "highdicom_dx_image.dcm"])
def test_chest_radiographs_are_remarked(shared_data: Path, name: str) -> None:
    assert any("the chest" in warning for warning in read(shared_data / "dicom" / name).warnings)


def test_colour_photographs_are_refused_and_no_other_picture(shared_data: Path) -> None:
    refused = {}
    for path in sorted((shared_data / "out_of_scope").rglob("*.jpg")):
        try:
            read(path)
        except RadiographError as error:
            refused[path.name] = error.code
    assert refused == dict.fromkeys(COLOUR, "colour_picture")


def test_a_sample_of_real_radiographs_is_read_without_warnings(shared_data: Path) -> None:
    with (shared_data / "fracatlas" / "manifest.csv").open(encoding="utf-8") as file:
        names = [row["image"] for row in csv.DictReader(file)][::50]
    warned = {}
    for name in names:
        radiograph = read(shared_data / "fracatlas" / "images" / name)
        assert prepare(radiograph, 64).image.max() == 255
        if radiograph.warnings:
            warned[name] = radiograph.warnings
    assert len(warned) <= 0.02 * len(names), warned
