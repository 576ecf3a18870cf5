"""What a radiograph is once its file has been read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radiograph.dicom_origin import Origin
from radiograph.window import eight_bit

FileKind = Literal["JPEG", "PNG", "TIFF", "WebP", "BMP", "DICOM", "phantom"]


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph as it is meant to be looked at: dense bone bright, upright as the file says.

    ``pixels`` is uint8 or uint16 [height, width] in 0..2**bits - 1, with the file's bit depth kept (8 to 16).
    ``original_size`` is (width, height) as stored in the file, before its orientation mark was applied.
    ``warnings`` are sentences for the reader of the finding, never values from a DICOM header. Of DICOM files alone,
    ``origin`` tells which of them belong together, and ``overlay`` is what was drawn over the picture, bool
    [height, width]; the model never sees it.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int
    original_size: tuple[int, int]
    kind: FileKind
    warnings: tuple[str, ...] = ()
    origin: Origin | None = None
    overlay: NDArray[np.bool_] | None = None

    @property
    def width(self) -> int:
        """Columns of ``pixels``."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of ``pixels``."""
        return int(self.pixels.shape[0])

    @cached_property
    def eight_bit(self) -> NDArray[np.uint8]:
        """``pixels`` as uint8, windowed to the range in use where they are deeper; made once, for model and page."""
        return eight_bit(self.pixels, self.bits)
