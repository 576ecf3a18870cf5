"""DICOM files: which of them are radiographs, and their pixels as they are meant to be looked at."""

from __future__ import annotations

from typing import Any, Final

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from radiograph.codestream import codestream_size, with_whole_spectrum
from radiograph.dicom_file import damaged, parsed
from radiograph.dicom_levels import Stored, grey_levels
from radiograph.dicom_origin import ORIGIN_TAGS, take_origin
from radiograph.dicom_overlay import OVERLAY_TAGS, overlay_of
from radiograph.dicom_scope import refuse_other_modalities, scope_warnings
from radiograph.errors import (
    ColourPicture,
    RadiographError,
    UnsupportedCompression,
    UnsupportedPixels,
)
from radiograph.frames import frame_index
from radiograph.image import Radiograph
from radiograph.limits import check_picture_size

_ATTRIBUTES: Final = [
    Tag(keyword)
    for keyword in (
        "SOPClassUID",
        "Modality",
        "BodyPartExamined",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "PixelRepresentation",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "BurnedInAnnotation",
        "RescaleIntercept",
        "RescaleSlope",
        "ModalityLUTSequence",
        "VOILUTSequence",
        "VOILUTFunction",
        "WindowCenter",
        "WindowWidth",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "FloatPixelData",
        "DoubleFloatPixelData",
        "PixelData",
    )
]
_TAGS: Final = [*_ATTRIBUTES, *ORIGIN_TAGS, *OVERLAY_TAGS]
_UNTOUCHED: Final[Any] = {"view_only": True, "correct_unused_bits": False}
"""Not copied; the bits above the stored ones stay, because they may hold an overlay. (pydicom types both wrongly.)"""
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")


def read_dicom(data: bytes, frame: int | None = None) -> Radiograph:
    """Return the radiograph in the bytes of a DICOM file; ``frame`` (from 1) chooses one of several.

    Rescale, VOI LUT or window, MONOCHROME1 and pixel padding are applied (see ``dicom_levels``), and the depth stays
    BitsStored, at least 8. Raises NotARadiograph, NoPixels, ColourPicture, UnsupportedPixels, UnsupportedCompression,
    FrameNeeded, Truncated, TooLarge and TooSmall, all but damaged pixels before anything is decoded.
    """
    try:
        return _read(data, frame)
    except RadiographError:
        raise
    except Exception:  # a header may hold anything, and pydicom only looks at a value when it is asked for it
        raise damaged() from None


def _read(data: bytes, frame: int | None) -> Radiograph:
    dataset = parsed(data, _TAGS)
    origin = take_origin(dataset)
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnsupportedPixels("The DICOM file stores floating point values. Export it with 8 or 16 bits a pixel.")
    refuse_other_modalities(dataset)
    remarks = scope_warnings(dataset)
    _refuse_pixel_kinds(dataset)
    columns, rows = int(dataset.Columns), int(dataset.Rows)
    check_picture_size(columns, rows)
    index = _frame_index(dataset, frame)
    stored = _decoded(dataset, index)
    overlay = overlay_of(dataset, stored, index)
    if overlay is not None:
        remarks = (*remarks, "The file carries drawn annotations (an overlay), which the model is not shown.")
    levels, bits = grey_levels(stored, dataset)
    return Radiograph(levels, bits, (columns, rows), "DICOM", remarks, origin, overlay)


def _refuse_pixel_kinds(dataset: Dataset) -> None:
    """Raise ColourPicture or UnsupportedPixels unless a pixel is one grey value of at most 16 bit."""
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.PhotometricInterpretation not in _GREY:
        raise ColourPicture(
            f"The DICOM file holds {_colours(dataset)}, such as a photograph or a screen capture. "
            "Give the original radiograph."
        )
    allocated, depth = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in (8, 16) or not 1 <= depth <= allocated:
        raise UnsupportedPixels(
            "The DICOM file stores its pixels with a number of bits that is not read. "
            "Export it with 8 to 16 bits a pixel."
        )


def _colours(dataset: Dataset) -> str:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return "a picture in the colours of a palette"
    return "a colour picture" if int(dataset.get("SamplesPerPixel") or 1) > 1 else "a picture that is not plain grey"


def _frame_index(dataset: Dataset, frame: int | None) -> int:
    try:
        count = int(dataset.get("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        count = 1
    if count <= 1:
        dataset.pop("NumberOfFrames", None)
    return frame_index("DICOM", "frame", max(1, count), frame)


def _decoded(dataset: FileDataset, index: int) -> Stored:
    """Return one frame's stored values [rows, columns], as wide as the file stores them."""
    syntax = _transfer_syntax(dataset)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise _not_decodable(syntax) from None
    if syntax.is_encapsulated:
        index = _check_codestream(dataset, index)
    else:
        _trim(dataset)
    try:
        stored, _ = decoder.as_array(dataset, index=index, raw=True, **_UNTOUCHED)
    except Exception:
        if syntax.is_encapsulated:
            raise _not_decodable(syntax) from None
        raise
    if stored.dtype.itemsize > 2 or stored.shape != (dataset.Rows, dataset.Columns):
        raise damaged()
    native: Stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return native


def _transfer_syntax(dataset: FileDataset) -> UID:
    """Return the stated transfer syntax; for files without a meta group the plain one they were parsed with."""
    stated = dataset.file_meta.get("TransferSyntaxUID")
    if stated:
        return UID(stated)
    if dataset["PixelData"].is_undefined_length:
        raise UnsupportedCompression(
            "The DICOM file does not say how its pixels are compressed. Export it again, with its meta header."
        )
    implicit, little = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _check_codestream(dataset: Dataset, index: int) -> int:
    """Return the place of the frame to decode, repaired where a known fault keeps decoders from it.

    Raises Truncated where the compressed picture is not of the size in the header, before a decoder believes it.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    frame = get_frame(dataset.PixelData, index, number_of_frames=count)
    size = codestream_size(frame)
    if size and size != (dataset.Columns, dataset.Rows):
        raise damaged()
    repaired = with_whole_spectrum(frame)
    if repaired == frame:
        return index
    for keyword in ("NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        dataset.pop(keyword, None)
    dataset.PixelData = encapsulate([repaired])
    return 0


def _trim(dataset: Dataset) -> None:
    """Cut pixels that are longer than the picture, which pydicom would warn about."""
    count = int(dataset.get("NumberOfFrames") or 1)
    expected = dataset.Rows * dataset.Columns * count * dataset.BitsAllocated // 8
    if len(dataset.PixelData) > expected + expected % 2:
        dataset.PixelData = dataset.PixelData[: expected + expected % 2]


def _not_decodable(syntax: UID) -> UnsupportedCompression:
    known = syntax.name != str(syntax)
    return UnsupportedCompression(
        f"The pixels are compressed {f'as {syntax.name}' if known else 'in an unknown way'} and cannot be decoded: "
        "the file is damaged or of a variant that is not read. Export it uncompressed or as JPEG 2000."
    )
