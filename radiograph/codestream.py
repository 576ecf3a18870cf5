"""What a compressed DICOM frame says of itself, read without decoding it.

Decoders ask for memory by the size in the codestream, not by the rows and columns of the DICOM header around it, so a
small file could claim gigabytes.
"""

from __future__ import annotations

from typing import Final

_J2K_START: Final = b"\xff\x4f\xff\x51"
_JPEG_START: Final = b"\xff\xd8"
_FRAME_HEADERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81, table B.1), and SOF55 of JPEG-LS (T.87)."""
_SEQUENTIAL: Final = (0xC0, 0xC1)
_SCAN: Final = 0xDA


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Return (width, height) in px from a JPEG, JPEG-LS or JPEG 2000 codestream, None where it says neither."""
    start = frame.find(_J2K_START, 0, 4096)
    if start >= 0:
        right, bottom, left, top = (_number(frame, start + offset, 4) for offset in (8, 12, 16, 20))
        return right - left, bottom - top
    return _jpeg_size(frame)


def with_whole_spectrum(frame: bytes) -> bytes:
    """Return a sequential JPEG frame with scans that state the whole spectrum, which is all a sequential scan can be.

    ITU-T T.81, table B.3 asks for 0, 63 and 0; some writers of 12 bit JPEG left zeros, and strict decoders refuse
    them. Any other frame is returned as it is.
    """
    segments = _segments(frame)
    if not any(marker in _SEQUENTIAL for marker, _ in segments):
        return frame
    for marker, position in segments:
        if marker == _SCAN:
            # after the length, the number of components and two bytes for each
            start = position + 5 + 2 * frame[position + 4]
            return frame[:start] + b"\x00\x3f\x00" + frame[start + 3 :]
    return frame


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    for marker, position in _segments(frame):
        if marker in _FRAME_HEADERS:
            return _number(frame, position + 7, 2), _number(frame, position + 5, 2)
    return None


def _segments(frame: bytes) -> list[tuple[int, int]]:
    """Return marker and position of each segment of a JPEG frame, up to its first scan."""
    found = []
    position = len(_JPEG_START)
    while frame.startswith(_JPEG_START) and position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # a marker may be preceded by any number of fill bytes
            position += 1
            continue
        found.append((marker, position))
        if marker == _SCAN:
            break
        position += 2 + _number(frame, position + 2, 2)
    return found


def _number(frame: bytes, position: int, size: int) -> int:
    return int.from_bytes(frame[position : position + size], "big")
