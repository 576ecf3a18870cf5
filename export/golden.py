"""Golden cases: pictures with the answers an exported version gave when it was made, kept inside the version.

A server that gives other answers to them runs another graph, other weights or another precision.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from export import contract
from radiograph import prepare
from radiograph.phantom import phantom

GOLDEN: Final = "assets.extra/golden.npz"
CASES: Final = 6
BLOCKS: Final = 8
"""Side of the heat map's digest: the mean over each of 8 by 8 blocks."""


@dataclass(frozen=True, eq=False)
class Golden:
    """N golden cases: ``images`` uint8 [N,S,S,1], and what was answered to them.

    ``probability`` and ``novelty`` are float32 [N]; ``heatmap`` float32 [N,8,8] is the heat map's digest.
    """

    images: NDArray[np.uint8]
    probability: NDArray[np.float32]
    novelty: NDArray[np.float32]
    heatmap: NDArray[np.float32]


def golden_pictures(size: int, count: int, first_seed: int = 7000) -> NDArray[np.uint8]:
    """Return ``count`` phantoms prepared at ``size`` px, uint8 [N,S,S,1], every second one fractured."""
    sides = ((480, 640), (640, 480), (512, 512))
    drawn = (
        phantom(seed=first_seed + place, fractured=place % 2 == 0, size=sides[place % len(sides)])
        for place in range(count)
    )
    return np.stack([prepare(picture.radiograph, size).image for picture in drawn])


def heatmap_digest(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [8,8], the means of a heat map [H,W] over blocks of nearly equal size; H and W at least 8."""
    rows, columns = (np.arange(BLOCKS) * side // BLOCKS for side in heatmap.shape)
    sums = np.add.reduceat(np.add.reduceat(heatmap.astype(np.float64), rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff(np.append(starts, side)) for starts, side in zip((rows, columns), heatmap.shape, strict=True)
    )
    means: NDArray[np.float32] = (sums / (heights[:, None] * widths[None, :])).astype(np.float32)
    return means


def write_golden(folder: Path, size: int) -> None:
    """Ask the SavedModel in ``folder`` about ``CASES`` phantoms of ``size`` px and write cases and answers into it."""
    import tensorflow as tf

    images = golden_pictures(size, CASES)
    signature = (loaded := tf.saved_model.load(str(folder))).signatures[contract.SIGNATURE_IMAGE]
    answers = [signature(tf.constant(image[None])) for image in images]
    del loaded
    path = folder / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        images=images,
        probability=np.concatenate([answer[contract.PROBABILITY].numpy() for answer in answers]),
        novelty=np.concatenate([answer[contract.NOVELTY].numpy() for answer in answers]),
        heatmap=np.stack([heatmap_digest(answer[contract.HEATMAP].numpy()[0]) for answer in answers]),
    )


def read_golden(content: bytes) -> Golden:
    """Return the cases of a golden file's bytes; raise ``ValueError`` where it is none."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            golden = Golden(arrays["images"], arrays["probability"], arrays["novelty"], arrays["heatmap"])
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"it is no file of golden cases ({error})") from error
    return golden
