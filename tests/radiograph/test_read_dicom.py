"""DICOM files become grey levels by the standard's transforms, and what is no radiograph is refused or remarked."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from radiograph import RadiographError, read
from tests.radiograph import files
from tests.radiograph.files import Change, dicom, sample, with_attributes

_TWELVE = sample(12).pixels


def _code(data: bytes, frame: int | None = None) -> str:
    with pytest.raises(RadiographError) as caught:
        read(data, frame=frame)
    return caught.value.code


def _compressed(syntax: UID) -> bytes:
    dataset = dcmread(io.BytesIO(dicom()))
    dataset.compress(syntax)
    return files.written(dataset)


def _deflated() -> bytes:
    def change(dataset: FileDataset) -> None:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    return dicom(change)


def _big_endian() -> bytes:
    dataset = dcmread(io.BytesIO(dicom()))
    dataset.PixelData = _TWELVE.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    return buffer.getvalue()


def _bare(*, implicit: bool) -> bytes:
    """Return a dataset without preamble and meta group, as some archives store it."""
    dataset = dcmread(io.BytesIO(dicom()))
    bare = Dataset()
    bare.update(dataset)
    buffer = io.BytesIO()
    dcmwrite(buffer, bare, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue()


CODINGS = {
    "explicit": dicom(),
    "rle": _compressed(RLELossless),
    "jpeg 2000": _compressed(JPEG2000Lossless),
    "deflated": _deflated(),
    "big-endian": _big_endian(),
    "without preamble, implicit": _bare(implicit=True),
    "without preamble, explicit": _bare(implicit=False),
    "without preamble, with meta group": dicom()[132:],
}


@pytest.mark.parametrize("name", CODINGS)
def test_every_lossless_coding_gives_the_stored_levels(name: str) -> None:
    radiograph = read(CODINGS[name])
    assert (radiograph.kind, radiograph.bits, radiograph.original_size) == ("DICOM", 12, (files.WIDTH, files.HEIGHT))
    assert np.array_equal(radiograph.pixels, _TWELVE)


def test_jpeg_in_dicom_is_decoded() -> None:
    def change(dataset: FileDataset) -> None:
        dataset.PixelData = encapsulate([files.encoded(files.grey(), "JPEG", quality=95)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit

    radiograph = read(dicom(change, bits=8))
    assert np.abs(radiograph.pixels.astype(int) - sample().pixels).max() <= 12


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        ("CT", "a CT slice"),
        ("MR", "an MR slice"),
        ("US", "an ultrasound"),
        ("MG", "a mammogram"),
        ("XA", "an angiogram"),
    ],
)
def test_other_modalities_are_refused_by_name(modality: str, words: str) -> None:
    with pytest.raises(RadiographError, match=words) as caught:
        read(dicom(with_attributes(Modality=modality)))
    assert caught.value.code == "not_a_radiograph"


@pytest.mark.parametrize(
    ("sop_class", "words"),
    [
        ("2", "a CT slice"),
        ("2.1", "a CT slice"),
        ("6.1", "an ultrasound"),
        ("77.1.4", "a photograph"),
        ("1.2.1", "mammo"),
    ],
)
@pytest.mark.parametrize("modality", ["DX", "OT", ""])
def test_a_picture_of_another_kind_is_refused_whatever_its_modality_says(
    sop_class: str, words: str, modality: str
) -> None:
    change = with_attributes(Modality=modality, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{sop_class}")
    with pytest.raises(RadiographError, match=words) as caught:
        read(dicom(change))
    assert caught.value.code == "not_a_radiograph"


@pytest.mark.parametrize("sop_class", ["1", "1.1", "1.1.1", "7", "12.2", "unknown"])
def test_radiographs_and_secondary_captures_pass(sop_class: str) -> None:
    assert not _remarks(with_attributes(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{sop_class}"))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 1}, "a colour picture"),
        ({"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3}, "a colour picture"),
    ],
)
def test_colour_is_refused_with_its_reason(attributes: dict[str, object], words: str) -> None:
    with pytest.raises(RadiographError, match=words) as caught:
        read(dicom(with_attributes(**attributes)))
    assert caught.value.code == "colour_picture"


@pytest.mark.parametrize("modality", ["CR", "DX", "DR", "RG", "dx "])
def test_radiographs_pass_without_remark(modality: str) -> None:
    assert not _remarks(with_attributes(Modality=modality))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (with_attributes(Modality="RF"), "fluoroscopy"),
        (with_attributes(Modality="OT"), "does not say"),
        (with_attributes(Modality=""), "does not say"),
        (with_attributes(BodyPartExamined="CHEST"), "the chest"),
        (with_attributes(BodyPartExamined="c-spine"), "the spine"),
        (with_attributes(BurnedInAnnotation="YES"), "burnt"),
    ],
)
def test_what_the_header_says_of_the_picture_is_remarked(change: Change, word: str) -> None:
    remarks = _remarks(change)
    assert len(remarks) == 1
    assert word in remarks[0]


@pytest.mark.parametrize("part", ["HAND", "KNEE", "LEG", "SHOULDER", "HIP", "", "Mueller^Anna"])
def test_limbs_and_unknown_words_are_not_remarked(part: str) -> None:
    assert not _remarks(with_attributes(BodyPartExamined=part))


def _remarks(change: Change) -> list[str]:
    """Return the warnings but that on the sample's low resolution."""
    return [warning for warning in read(dicom(change)).warnings if "resolution" not in warning]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_attributes(PhotometricInterpretation="RGB", SamplesPerPixel=3), "colour_picture"),
        (with_attributes(PhotometricInterpretation="YBR_FULL", SamplesPerPixel=3), "colour_picture"),
        (with_attributes(PhotometricInterpretation="PALETTE COLOR"), "colour_picture"),
        (with_attributes(BitsAllocated=32, BitsStored=32), "unsupported_pixels"),
        (with_attributes(BitsAllocated=1, BitsStored=1), "unsupported_pixels"),
        (with_attributes(BitsStored=17), "unsupported_pixels"),
        (with_attributes(Rows=4, Columns=4), "too_small"),
        (with_attributes(Rows=files.HEIGHT + 1), "truncated"),
    ],
)
def test_pictures_that_are_not_read_are_refused(change: Change, code: str) -> None:
    assert _code(dicom(change)) == code


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation"])
def test_a_header_without_what_pixels_need_is_incomplete(keyword: str) -> None:
    assert _code(dicom(lambda dataset: delattr(dataset, keyword))) == "truncated"


def test_floating_point_pixels_are_refused() -> None:
    def change(dataset: FileDataset) -> None:
        del dataset.PixelData
        dataset.FloatPixelData = np.ones(_TWELVE.size, np.float32).tobytes()

    assert _code(dicom(change)) == "unsupported_pixels"


@pytest.mark.parametrize("frame", [1, 2, 3])
def test_a_chosen_frame_is_read(frame: int) -> None:
    pixels = read(files.multi_frame(3), frame=frame).pixels
    assert np.array_equal(pixels, np.maximum(_TWELVE, frame - 1) - (frame - 1))


@pytest.mark.parametrize("frame", [None, 0, 4, -1])
def test_frames_that_are_not_there_are_asked_for_again(frame: int | None) -> None:
    assert _code(files.multi_frame(3), frame) == "frame_needed"


def test_a_single_frame_needs_no_choice_but_allows_it() -> None:
    assert np.array_equal(read(dicom(), frame=1).pixels, _TWELVE)
    assert _code(dicom(), 2) == "frame_needed"


def test_undecodable_compression_is_named() -> None:
    def change(dataset: FileDataset) -> None:
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit

    with pytest.raises(RadiographError, match=r"JPEG Extended \(Process 2 and 4\)") as caught:
        read(dicom(change))
    assert caught.value.code == "unsupported_compression"


def test_unknown_compression_is_not_repeated() -> None:
    def change(dataset: FileDataset) -> None:
        dataset.PixelData = encapsulate([b"\x00" * 64])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = UID("1.2.3.4.5.678")

    with pytest.raises(RadiographError, match="in an unknown way") as caught:
        read(dicom(change))
    assert "678" not in str(caught.value)


def test_a_codestream_larger_than_its_header_says_is_refused_before_decoding() -> None:
    data = _compressed(JPEG2000Lossless)
    start = data.index(b"\xff\x4f\xff\x51") + 8
    assert _code(data[:start] + struct.pack(">II", 60_000, 60_000) + data[start + 8 :]) == "truncated"


def test_a_deflated_file_that_grows_without_end_is_refused() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = 9 * (packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH))
    data = _deflated()
    start = 144 + int.from_bytes(data[140:144], "little")
    assert _code(data[:start] + body) == "too_large"


def test_a_picture_inside_a_jpeg_of_the_same_file_is_found_first() -> None:
    """A DICOM file may carry another format's magic in its preamble (PS3.10, 7.1)."""
    data = dicom()
    assert read(b"II*\x00" + data[4:]).kind == "DICOM"


def test_eight_bit_picture_equals_the_same_png() -> None:
    png = files.encoded(Image.fromarray(sample().pixels), "PNG")
    assert np.array_equal(read(sample().to_dicom()).pixels, read(png).pixels)
