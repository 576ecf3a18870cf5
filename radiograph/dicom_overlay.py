"""Overlay planes (PS3.3, C.9.2): annotations that a DICOM file carries beside its picture, one bit a pixel.

They are kept apart from the grey levels, because the model must never read what somebody drew.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import Tag

from radiograph.dicom_levels import Stored

_GROUPS: Final = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES, _ORIGIN, _FIRST, _BITS, _POSITION, _DATA = (
    0x0010, 0x0011, 0x0015, 0x0050, 0x0051, 0x0100, 0x0102, 0x3000
)  # fmt: skip

OVERLAY_TAGS: Final = [
    Tag(group, element)
    for group in _GROUPS
    for element in (_ROWS, _COLUMNS, _FRAMES, _ORIGIN, _FIRST, _BITS, _POSITION, _DATA)
]


def overlay_of(dataset: Dataset, stored: Stored, frame: int) -> NDArray[np.bool_] | None:
    """Return the overlay planes of frame ``frame`` (from 0) joined on the picture, bool [height, width], or None.

    Planes in the unused high bits of ``stored`` (retired, still written) are read as well; a plane that its header
    describes wrongly is left out.
    """
    joined = np.zeros(stored.shape, np.bool_)
    for group in _GROUPS:
        try:
            _draw(joined, dataset, group, stored, frame)
        except Exception:  # noqa: S112 – a header may hold anything, and an annotation must not cost the picture
            continue
    return joined if joined.any() else None


def _draw(joined: NDArray[np.bool_], dataset: Dataset, group: int, stored: Stored, frame: int) -> None:
    def number(element: int, default: int) -> int:
        return int(dataset[group, element].value) if (group, element) in dataset else default

    if (group, _ROWS) not in dataset:
        return
    if (group, _DATA) not in dataset:
        if number(_BITS, 1) > 1 and number(_POSITION, 0) >= int(dataset.BitsStored):
            joined |= (stored >> number(_POSITION, 0) & 1).astype(np.bool_)
        return
    rows, columns = number(_ROWS, 0), number(_COLUMNS, 0)
    place = frame - (number(_FIRST, 1) - 1)
    if not 0 <= place < number(_FRAMES, 1) and number(_FRAMES, 1) > 1:
        return
    start = rows * columns * (place if number(_FRAMES, 1) > 1 else 0)
    packed = np.frombuffer(dataset[group, _DATA].value, np.uint8)
    bits = np.unpackbits(packed[start // 8 : (start + rows * columns) // 8 + 1], bitorder="little")
    plane = bits[start % 8 :][: rows * columns].reshape(rows, columns).astype(np.bool_)
    top, left = (int(value) - 1 for value in dataset[group, _ORIGIN].value) if (group, _ORIGIN) in dataset else (0, 0)
    height, width = joined.shape
    inside = plane[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    joined[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]] |= inside
