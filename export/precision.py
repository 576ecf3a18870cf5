"""Precision: the number format a version computes in, chosen by measuring on the machine that exports it.

Speed alone does not decide: a format counts only where it answers as float32 does. On a CPU bfloat16 pays where the
processor has instructions for it. What a network of depthwise convolutions rounds in its finest maps moves its answer
most, so the short formats are tried from several strides on, with float32 before.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from export import contract
from export.fold import FLOAT32, Compute
from export.savedmodel import Answering, write_saved_model

MOVED: Final = 0.01
"""How far a probability may move from that of float32."""
_GAIN: Final = 1.05
"""Less is within the noise of the measurement."""
STRIDES: Final = (1, 4, 8, 16)
"""Of the finest maps that are computed in a short format; 1 is all of them."""
_BATCHES: Final = (1, 8)
_ROUNDS: Final = 7
_LOOKED_AT: Final = 64
Run = Callable[[NDArray[np.uint8]], Mapping[str, Any]]


@dataclass(frozen=True)
class Trial:
    """What one format did: times as fast as float32, the farthest a probability moved, and how many findings did.

    A finding also counts as moved where one format takes a picture for one outside the scope and the other does not.
    """

    compute: Compute
    speed: float
    moved: float
    flips: int
    pictures: int

    @property
    def holds(self) -> bool:
        """Tell whether it answers as float32 does."""
        return self.moved <= MOVED and self.flips == 0


def choose_precision(
    network: keras.Model, answering: Answering, images: NDArray[np.uint8]
) -> tuple[Compute, tuple[Trial, ...]]:
    """Return the fastest format that answers as float32 does, and what was measured of each of the others.

    Looks at up to 64 of ``images`` (uint8 [N,S,S,1]), evenly spread. Times are medians of interleaved runs on this
    machine; speed is the geometric mean over batches of 1 and 8. float16 is tried where there is a GPU.
    """
    dtypes = ("bfloat16", *(("float16",) if tf.config.list_physical_devices("GPU") else ()))
    formats = [Compute(dtype, stride) for dtype in dtypes for stride in STRIDES]
    looked_at = images[:: max(1, len(images) // _LOOKED_AT)][:_LOOKED_AT]
    with tempfile.TemporaryDirectory() as scratch:

        def version(compute: Compute) -> _Version:
            return _Version(network, answering, compute, Path(scratch))

        exact = version(FLOAT32)
        known = _answers(exact.run, looked_at)
        trials = tuple(_tried(version(compute), exact, known, looked_at) for compute in formats)
    return fastest(trials), trials


def fastest(trials: Sequence[Trial]) -> Compute:
    """Return the fastest format of those that answer as float32 does and gain more than measuring errs by."""
    worth = [trial for trial in trials if trial.holds and trial.speed >= _GAIN]
    return max(worth, key=lambda trial: trial.speed).compute if worth else FLOAT32


def described(compute: Compute, trials: Sequence[Trial], *, half_constants: bool) -> str:
    """Return for the card what a version computes in, and why."""
    told = f"{compute}, constants stored as float16" if half_constants else str(compute)
    for trial in trials:
        told += (
            f"; {trial.compute} measured {trial.speed:.2f} × as fast as float32, moved probabilities by up to "
            f"{trial.moved:.1g} and {trial.flips} of {trial.pictures} findings"
        )
    return told


class _Version:
    """The network as a SavedModel in one format, loaded as a server loads it.

    A large network takes gigabytes in each format, and what TensorFlow is done with refers to itself in circles: it is
    cleared away before it piles up.
    """

    def __init__(self, network: keras.Model, answering: Answering, compute: Compute, scratch: Path) -> None:
        self.compute = compute
        gc.collect()
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            write_saved_model(network, answering, Path(folder), half_constants=False, compute=compute)
            gc.collect()
            self._loaded = tf.saved_model.load(folder)

    def run(self, images: NDArray[np.uint8]) -> Mapping[str, Any]:
        """Return its answer to ``images`` uint8 [N,S,S,1]."""
        answer: Mapping[str, Any] = self._loaded.signatures[contract.SIGNATURE_IMAGE](tf.constant(images))
        return answer


def _tried(version: _Version, exact: _Version, known: Mapping[str, NDArray[Any]], images: NDArray[np.uint8]) -> Trial:
    """Return how ``version`` does beside the ``exact`` one, whose answers are ``known``."""
    speed = statistics.geometric_mean([_speed(version, exact, batch, images) for batch in _BATCHES])
    return _trial(version.compute, speed, known, _answers(version.run, images))


def _speed(version: _Version, exact: _Version, batch: int, images: NDArray[np.uint8]) -> float:
    """Return how many times as fast ``version`` is; by turns, so that both meet the same disturbances."""
    given = np.resize(images, (batch, *images.shape[1:]))
    taken: dict[_Version, list[float]] = {exact: [], version: []}
    for turn in range(_ROUNDS + 1):
        for asked, seconds in taken.items():
            started = time.perf_counter()
            asked.run(given)[contract.PROBABILITY].numpy()
            if turn:  # the first turn builds kernels
                seconds.append(time.perf_counter() - started)
    return statistics.median(taken[exact]) / statistics.median(taken[version])


def _trial(
    compute: Compute, speed: float, exact: Mapping[str, NDArray[Any]], short: Mapping[str, NDArray[Any]]
) -> Trial:
    moved = float(np.max(np.abs(exact[contract.PROBABILITY] - short[contract.PROBABILITY])))
    within = [told[contract.NOVELTY] <= 1 for told in (exact, short)]
    flips = int(np.sum((exact[contract.FINDING] != short[contract.FINDING]) | (within[0] != within[1])))
    return Trial(compute, speed, moved, flips, len(exact[contract.PROBABILITY]))


def _answers(run: Run, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    parts = [run(images[start : start + 8]) for start in range(0, len(images), 8)]
    return {
        name: np.concatenate([part[name].numpy() for part in parts])
        for name in (contract.PROBABILITY, contract.FINDING, contract.NOVELTY)
    }
