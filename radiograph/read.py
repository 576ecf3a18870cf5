"""Any radiograph file in, one picture out.

A file's kind is told by its content, never by its name. Everything that can go wrong is one of these, each with a
``code`` for programs and a sentence for the user::

    RadiographError
    ├── FileMissing             there is nothing at the path
    ├── NotReadable             a folder, a device, or no permission
    ├── EmptyFile               no content
    ├── UnknownFormat           text, PDF, archive, …: none of the kinds that are read
    ├── Truncated               cut short or damaged
    ├── TooLarge                above 64 megapixels or 512 MB, said before anything is decoded
    ├── TooSmall                a side below 32 px
    ├── ColourPicture           a colour photograph, or a DICOM file in colour
    ├── UnsupportedPixels       32 bit or floating point values
    ├── FrameNeeded             several DICOM frames or TIFF pages; ``count`` says how many
    └── of DICOM files only
        ├── NotARadiograph      another modality, such as a CT slice
        ├── NoPixels            a header without a picture
        └── UnsupportedCompression
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Final

import numpy as np

from radiograph.dicom import read_dicom
from radiograph.dicom_file import looks_like_dicom
from radiograph.errors import EmptyFile, FileMissing, NotReadable, RadiographError, UnknownFormat
from radiograph.image import FileKind, Radiograph
from radiograph.limits import LOW_RESOLUTION, check_file_size
from radiograph.raster import read_raster

BMP_HEADER_SIZES: Final = (12, 40, 52, 56, 64, 108, 124)
CLIPPED_BRIGHT: Final = 0.05
"""Share of the middle of the picture at its brightest level: of 1,500 FracAtlas radiographs none has above 0.1 %."""
CLIPPED_DARK: Final = 0.7
"""Share of pixels at the darkest level; a limb on a large black film reaches half."""

_PICTURES: Final[tuple[tuple[bytes, FileKind], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)
_NOT_READ: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"GIF8", "a GIF picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
)


def read(source: str | os.PathLike[str] | bytes, *, name: str | None = None, frame: int | None = None) -> Radiograph:
    """Return the radiograph in a file, given by its path or its bytes: JPEG, PNG, TIFF, WebP, BMP or DICOM.

    Pixels are uint8, or uint16 with 9 to 16 bits as the file has them; turned upright by the file's orientation mark,
    dense bone bright, transparent parts black. Raises one of the errors above; its sentence names the file only where
    ``name`` is given. ``frame`` (from 1) chooses from a DICOM file of several frames or a TIFF file of several pages.
    Safe to call from threads; the file is only read.
    """
    try:
        return _noticed(_read(content(source), frame))
    except RadiographError as error:
        if name:
            error.name = _basename(name)
        raise


def content(source: str | os.PathLike[str] | bytes) -> bytes:
    """Return the bytes of a file of at most 512 MiB; raises FileMissing, NotReadable or TooLarge."""
    if isinstance(source, bytes):
        check_file_size(len(source))
        return source
    path = Path(source)
    try:
        if not path.exists():
            raise FileMissing("There is no such file. Check the path.")
        if not path.is_file():
            raise NotReadable("This is a folder or a device, not a file. Give the files in it one by one.")
        check_file_size(path.stat().st_size)
        return path.read_bytes()
    except (OSError, ValueError):
        raise NotReadable("The file cannot be opened. Check its name and that you may read it.") from None


def _read(data: bytes, frame: int | None) -> Radiograph:
    if not data:
        raise EmptyFile("The file is empty. Copy or export it again.")
    if looks_like_dicom(data):
        return read_dicom(data, frame)
    kind = _kind(data)
    if kind is None:
        raise UnknownFormat(
            f"This is {_description(data)}, not a radiograph. "
            "JPEG, PNG, TIFF, WebP, BMP and DICOM files are read, whatever their names."
        )
    return read_raster(data, kind, frame)


def _kind(data: bytes) -> FileKind | None:
    for magic, kind in _PICTURES:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES:
        return "BMP"
    return None


def _description(data: bytes) -> str:
    """Return what a file that is not read seems to be, in words."""
    for magic, words in _NOT_READ:
        if data.startswith(magic):
            return words
    if data[4:8] == b"ftyp":
        return "a HEIC or AVIF picture, or a film"
    start = data[:4096]
    if b"\x00" not in start:
        try:
            # The cut may fall inside a character, so the last bytes do not count.
            start[: max(len(start) - 3, 1)].decode("utf-8")
        except UnicodeDecodeError:
            return "a file of an unknown kind"
        return "a web page" if b"<html" in start.lower() else "a text file"
    return "a file of an unknown kind"


def _noticed(radiograph: Radiograph) -> Radiograph:
    """Return the radiograph with warnings on what can be seen in its pixels."""
    warnings = []
    if max(radiograph.width, radiograph.height) < LOW_RESOLUTION:
        warnings.append(
            f"Low resolution ({radiograph.width} × {radiograph.height} pixels): thin fracture lines may not be visible."
        )
    pixels = radiograph.pixels
    dark = np.count_nonzero(pixels == pixels.min()) / pixels.size
    # Margins are left out, where a collimator leaves the film unexposed and rightly white.
    top, left = radiograph.height // 4, radiograph.width // 4
    middle = pixels[top:-top, left:-left]
    bright = np.count_nonzero(middle == pixels.max()) / middle.size
    if CLIPPED_BRIGHT < bright < 1:
        warnings.append(f"{bright:.0%} of the middle of the picture is pure white: detail there is lost.")
    if dark == 1:
        warnings.append("The picture is of one grey level throughout: there is nothing on it to read.")
    elif dark > CLIPPED_DARK:
        warnings.append(f"{dark:.0%} of the picture is of one dark level: it shows little, or its exposure is clipped.")
    return replace(radiograph, warnings=(*radiograph.warnings, *warnings)) if warnings else radiograph


def _basename(name: str) -> str:
    """Return the last part of a name in either system's notation, on one line."""
    return "".join(letter for letter in PureWindowsPath(name).name if letter.isprintable())
