"""The bytes of a DICOM file and the attributes in them, bounded in size and with nothing of a patient kept.

Only the attributes that are asked for are parsed, so that no name, date or number of a patient is held in memory, let
alone shown or logged.
"""

from __future__ import annotations

import logging
import re
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Final

from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian

from radiograph.errors import NoPixels, TooLarge, Truncated
from radiograph.limits import MAX_PIXELS

# pydicom's warnings and log lines quote the values they are about, and those may be a patient's.
logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")

_FIRST_TAG: Final = re.compile(
    rb"\x02\x00[\x00-\x16]\x00(UL|OB|UI)|\x08\x00[\x00-\x18]\x00((UL|CS|UI|DA|TM|SH)|[\x00-\x40]\x00\x00\x00)"
    rb"|\x00\x08\x00[\x00-\x18](UL|CS|UI|DA|TM|SH)"
)
"""How a file without the 128 bytes of preamble begins: the meta group, or the identifying group in any coding."""

_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_MAX_INFLATED: Final = 2 * MAX_PIXELS + 2**24
"""The largest picture with 16 bits a pixel, and a generous header."""
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def looks_like_dicom(data: bytes) -> bool:
    """Return whether the bytes begin as a DICOM file does, with the preamble (PS3.10, 7.1) or without it."""
    return data[128:132] == b"DICM" or _FIRST_TAG.match(data) is not None


def parsed(data: bytes, tags: Sequence[BaseTag]) -> FileDataset:
    """Return the attributes ``tags`` of a DICOM file that has pixels; their values are read when asked for.

    Raises NoPixels where the file has none of the pixel attributes among ``tags``, Truncated and TooLarge.
    """
    data = _inflated(data)
    stream = BytesIO(data)
    ends: list[int | None] = [0]

    def note_end(_tag: BaseTag, _vr: str | None, length: int) -> bool:
        ends[0] = None if length == _UNDEFINED_LENGTH else stream.tell() + length
        return False

    dataset = read_partial(stream, note_end, force=True, specific_tags=list(tags))
    if not any(keyword in dataset for keyword in _PIXELS):
        # Where a value of undefined length is cut short, pydicom gives back nothing at all.
        cut_short = not dataset if ends[0] is None else ends[0] != len(data)
        if cut_short:
            raise damaged()
        raise NoPixels("The DICOM file holds no picture, only a header or a report. Export the picture itself.")
    return dataset


def damaged() -> Truncated:
    """Return the error of a DICOM file that cannot be what it should."""
    return Truncated("The DICOM file is damaged or incomplete. Copy or export it again.")


def _inflated(data: bytes) -> bytes:
    """Return a deflated file (PS3.5, A.5) as the plain one it stands for, or raise TooLarge.

    pydicom would inflate it without a limit, and a few kilobytes can stand for gigabytes.
    """
    start = 144 + int.from_bytes(data[140:144], "little")  # after the meta group, whose length is its first value
    if data[128:132] != b"DICM" or _DEFLATED not in data[144:start]:
        return data
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], _MAX_INFLATED + 1)
    if len(inflated) > _MAX_INFLATED:
        raise TooLarge("The deflated DICOM file is too large once it is unpacked. Export the single radiograph.")
    return data[:start].replace(_DEFLATED, ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")) + inflated
