"""Golden cases: pictures with the answers an exported version gave when it was made, kept inside the version.

A server that gives other answers to them runs another graph, other weights or another precision.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from export import contract
from radiograph import Radiograph, prepare
from radiograph.phantom import phantom

GOLDEN: Final = "assets.extra/golden.npz"
CASES: Final = 6
CANDIDATES: Final = 24
SEED: Final = 7000
TOLERANCE: Final = 1e-3
"""How far answers in float32 may be off on another processor."""
SHORT_TOLERANCE: Final = 0.03
"""The same where maps of features are computed in shorter numbers, which every processor rounds in its own way."""
BLOCKS: Final = 8
"""Side of the heat map's digest: the mean over each of 8 by 8 blocks."""


@dataclass(frozen=True, eq=False)
class Golden:
    """N golden cases: ``images`` uint8 [N,S,S,1], and what was answered to them.

    ``probability`` and ``novelty`` are float32 [N]; ``heatmap`` float32 [N,8,8] is the heat map's digest. A server
    that runs the same version on another processor may be off by ``tolerance``.
    """

    images: NDArray[np.uint8]
    probability: NDArray[np.float32]
    novelty: NDArray[np.float32]
    heatmap: NDArray[np.float32]
    tolerance: float


def drawn_radiographs(count: int, first_seed: int) -> list[Radiograph]:
    """Return ``count`` phantoms, the same for the same seed: by turns broken and whole, every second pair a close-up.

    A close-up is the middle of a phantom: models score it higher, so that the scores spread.
    """
    sides = ((480, 640), (640, 480), (512, 512))
    drawn = []
    for place in range(count):
        picture = phantom(seed=first_seed + place, fractured=place % 2 == 0, size=sides[place % len(sides)]).radiograph
        if place // 2 % 2:
            height, width = picture.pixels.shape
            middle = picture.pixels[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4]
            picture = Radiograph(middle, picture.bits, (middle.shape[1], middle.shape[0]), picture.kind)
        drawn.append(picture)
    return drawn


def drawn_pictures(size: int, count: int, first_seed: int) -> NDArray[np.uint8]:
    """Return ``drawn_radiographs`` prepared at ``size`` px, uint8 [N,S,S,1]."""
    return np.stack([prepare(picture, size).image for picture in drawn_radiographs(count, first_seed)])


def heatmap_digest(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [8,8], the means of a heat map [H,W] over blocks of nearly equal size; H and W at least 8."""
    rows, columns = (np.arange(BLOCKS) * side // BLOCKS for side in heatmap.shape)
    sums = np.add.reduceat(np.add.reduceat(heatmap.astype(np.float64), rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff(np.append(starts, side)) for starts, side in zip((rows, columns), heatmap.shape, strict=True)
    )
    means: NDArray[np.float32] = (sums / (heights[:, None] * widths[None, :])).astype(np.float32)
    return means


def write_golden(folder: Path, size: int, tolerance: float = TOLERANCE) -> None:
    """Ask the SavedModel in ``folder`` about drawn pictures of ``size`` px; write ``CASES`` of them with the answers.

    Those are taken whose probabilities lie as far apart as there are any, from the lowest to the highest.
    """
    import tensorflow as tf

    images = drawn_pictures(size, CANDIDATES, SEED)
    signature = (loaded := tf.saved_model.load(str(folder))).signatures[contract.SIGNATURE_IMAGE]
    answers = [signature(tf.constant(image[None])) for image in images]
    del loaded
    probability = np.concatenate([answer[contract.PROBABILITY].numpy() for answer in answers])
    taken = np.argsort(probability, kind="stable")[np.linspace(0, CANDIDATES - 1, CASES).round().astype(int)]
    path = folder / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        images=images[taken],
        probability=probability[taken],
        novelty=np.concatenate([answers[place][contract.NOVELTY].numpy() for place in taken]),
        tolerance=np.float64(tolerance),
        heatmap=np.stack([heatmap_digest(answers[place][contract.HEATMAP].numpy()[0]) for place in taken]),
    )


def read_golden(content: bytes) -> Golden:
    """Return the cases of a golden file's bytes; raise ``ValueError`` where it is none."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            tolerance = float(arrays["tolerance"]) if "tolerance" in arrays else TOLERANCE
            golden = Golden(
                arrays["images"], arrays["probability"], arrays["novelty"], arrays["heatmap"], tolerance=tolerance
            )
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise ValueError(f"it is no file of golden cases ({error})") from error
    return golden
