"""Arrays in one ``.npz`` file that is whole at any moment, whatever happens while it is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WriteError(Exception):
    """A file could not be written, the disk being full for one; what stood there before still stands."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write ``arrays`` beside ``path`` down to the disk, then rename; raise ``WriteError``, ``path`` untouched."""
    partial = path.with_suffix(".partial.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise WriteError(
            f"{path} could not be written: {error.strerror}. What stood there before is whole; "
            "put that right and give the same command again."
        ) from error
