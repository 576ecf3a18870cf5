"""Which picture to read of a file that holds several: DICOM frames, TIFF pages."""

from __future__ import annotations

from radiograph.errors import FrameNeeded


def frame_index(kind: str, unit: str, count: int, frame: int | None) -> int:
    """Return the place, from 0, of the ``frame`` (from 1) among ``count``; of one alone it need not be named.

    ``kind`` of file and ``unit`` (frame, page) are for the sentence. Raises FrameNeeded where several are there and
    none is named, or one is named that is not there.
    """
    if frame is None and count > 1:
        raise FrameNeeded(f"The {kind} file holds {count} {unit}s. Say which one to read, 1 to {count}.", count)
    if frame is not None and not 1 <= frame <= count:
        there = f"Ask for one of 1 to {count}." if count > 1 else f"It holds one {unit} only."
        raise FrameNeeded(f"The {kind} file has no {unit} {frame}. {there}", count)
    return (frame or 1) - 1
