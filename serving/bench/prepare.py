"""From a file to the model's input: this project's way beside the plain one with Pillow and NumPy.

    osteo bench prepare --size 448

The plain way is the same recipe written down as it comes to mind: floating point from the start, percentiles of all
pixels. Both must give the same picture, within what rounding allows.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from rich.table import Table

from radiograph import prepare, read
from radiograph.phantom import phantom
from radiograph.prepare import HIGH_PERCENTILE, LOW_PERCENTILE
from serving.bench import plots
from serving.bench.process import forget_peak, usage
from serving.bench.summary import BenchError, Taken, ratio, rounded, take_turns

SIDES: Final = ((900, 1200), (1760, 2140), (2800, 3400))
"""Width and height in px: a web copy, a CR plate, a flat panel."""
_PEAK_ROUNDS: Final = 3
Way = Callable[[bytes, int], NDArray[np.uint8]]


@dataclass
class File:
    """A radiograph to prepare, and what was measured on it: times, and peak memory in MB, by way."""

    name: str
    content: bytes
    taken: dict[str, Taken] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    off: float = 0.0


def ours(content: bytes, size: int) -> NDArray[np.uint8]:
    """This project's way, as training and serving go it."""
    return prepare(read(content), size).image[..., 0]


def plain(content: bytes, size: int) -> NDArray[np.uint8]:
    """The same recipe in plain Pillow, pydicom and NumPy."""
    pixels = _plain_pixels(content)
    height, width = pixels.shape
    scale = size / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = np.asarray(Image.fromarray(pixels.astype(np.float32)).resize(inner, Image.Resampling.BILINEAR))
    low, high = np.percentile(scaled, [LOW_PERCENTILE, HIGH_PERCENTILE])
    content_levels = np.clip((scaled - low) / max(high - low, 1e-6) * 255, 0, 255)
    image = np.zeros((size, size))
    top, left = (size - inner[1]) // 2, (size - inner[0]) // 2
    image[top : top + inner[1], left : left + inner[0]] = content_levels
    return np.rint(image).astype(np.uint8)


WAYS: Final[Mapping[str, Way]] = {"radiograph": ours, "plain": plain}


def _plain_pixels(content: bytes) -> NDArray[np.float64]:
    """Return grey levels 0..255, dense bone bright."""
    if content[128:132] == b"DICM":
        dataset = pydicom.dcmread(io.BytesIO(content))
        levels = dataset.pixel_array.astype(np.float64)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            levels = levels.max() - levels
    else:
        picture = Image.open(io.BytesIO(content))
        levels = np.asarray(picture if picture.mode.startswith("I") else picture.convert("L")).astype(np.float64)
        if not picture.mode.startswith("I"):
            return levels
    low, high = np.percentile(levels, [0.1, 99.9])
    windowed: NDArray[np.float64] = np.clip((levels - low) / max(high - low, 1) * 255, 0, 255)
    return windowed


def drawn(sides: Sequence[tuple[int, int]] = SIDES) -> list[File]:
    """Return phantoms of these sides as JPEG, PNG of 8 and 16 bit, and DICOM."""
    files = []
    for width, height in sides:
        eight = phantom(seed=3, fractured=True, size=(width, height))
        twelve = phantom(seed=3, fractured=True, size=(width, height), bits=12)
        kinds = {
            "JPEG": _encoded(eight.pixels, "JPEG", quality=90),
            "PNG 8 bit": _encoded(eight.pixels, "PNG"),
            "PNG 16 bit": _encoded(twelve.pixels << 4, "PNG"),
            "DICOM 12 bit": twelve.to_dicom(),
        }
        files += [File(f"{kind} {width} × {height}", content) for kind, content in kinds.items()]
    return files


def given(paths: Sequence[Path]) -> list[File]:
    """Return the user's own files; raise ``BenchError`` for one that is not there."""
    try:
        return [File(path.name, path.read_bytes()) for path in paths]
    except OSError as error:
        raise BenchError(f"{error.filename} cannot be read: {error.strerror}.") from error


def run(files: Sequence[File], size: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure both ways on every file and return the figures."""
    arms = []
    for file in files:
        images = {name: way(file.content, size) for name, way in WAYS.items()}
        file.off = float(np.mean(np.abs(images["plain"].astype(float) - images["radiograph"])))
        for name, way in WAYS.items():
            file.peak[name] = peak_mb(partial(way, file.content, size))
            file.taken[name] = Taken()
            arms.append(partial(file.taken[name].add, partial(way, file.content, size), seconds))
    take_turns(arms, rounds, "Preparing")
    return {"input_size": size, "files": [_figures(file) for file in files]}


def peak_mb(call: Callable[[], object]) -> float:
    """Return how far the memory of this process rises while ``call`` runs, in MB; NaN where Linux does not tell.

    The smallest of a few runs, for the first one may also pay for what stays in memory.
    """
    rises = []
    for _ in range(_PEAK_ROUNDS):
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        try:
            forget_peak()
        except OSError:
            return float("nan")
        before = usage(os.getpid()).memory_mb
        call()
        rises.append(usage(os.getpid()).peak_mb - before)
    return max(min(rises), 0.0)


def _figures(file: File) -> dict[str, Any]:
    return {
        "file": file.name,
        "bytes": len(file.content),
        **{name: {**file.taken[name].figures(), "peak_mb": rounded(file.peak[name], 3)} for name in WAYS},
        "times_as_fast": ratio(file.taken["plain"].wall, file.taken["radiograph"].wall),
        "cpu_ratio": ratio(file.taken["plain"].cpu, file.taken["radiograph"].cpu),
        "grey_levels_apart": rounded(file.off, 2),
    }


def table(figures: Mapping[str, Any]) -> Table:
    """Return the table of a run."""
    shown = Table("file", title=f"From a file to the model's input of {figures['input_size']} px")
    for name in ("ms", "plain ms", "ratio", "CPU ms", "plain CPU ms", "ratio", "peak MB", "plain peak MB", "apart"):
        shown.add_column(name, justify="right")
    for told in figures["files"]:
        mine, theirs = told["radiograph"], told["plain"]
        shown.add_row(
            told["file"],
            f"{mine['p50_ms']:.1f}",
            f"{theirs['p50_ms']:.1f}",
            f"{told['times_as_fast']:.2f}",
            f"{mine['cpu_ms']:.1f}",
            f"{theirs['cpu_ms']:.1f}",
            f"{told['cpu_ratio']:.2f}",
            f"{mine['peak_mb'] or 0:.0f}",
            f"{theirs['peak_mb'] or 0:.0f}",
            f"{told['grey_levels_apart']:.2f}",
        )
    return shown


def plot(figures: Mapping[str, Any], path: Path) -> Path:
    """Draw the medians of both ways, file by file."""
    groups = {told["file"]: {name: told[name]["p50_ms"] for name in WAYS} for told in figures["files"]}
    return plots.grouped_bars(path, "Read and prepare, median", "ms", groups)


def _encoded(pixels: NDArray[Any], kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()
