"""What export is worth: one network, run in this process as Keras, as SavedModels, and by the runtimes of others.

    osteo bench export --network default --network resnet152v2

Compared are medians; how far each way's probabilities are from Keras' own stands beside them.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from serving.bench import plots
from serving.bench.networks import Network, pictures
from serving.bench.runtimes import PLAIN, Run, plain, predict, ways
from serving.bench.summary import Taken, ratio, rounded, say, take_turns

_LOOKED_AT: Final = 8
"""Pictures on which the ways' probabilities are compared."""
Times = dict[tuple[str, int], Taken]
"""What was measured, by way and batch."""


def measure(network: Network, batches: Sequence[int], seconds: float, rounds: int) -> dict[str, Any]:
    """Return times of every way at every batch size, how they compare, and how far the answers differ.

    Each way takes turns with the plain SavedModel alone and is cleared away before the next is built.
    """
    say(f"Building and exporting {network.name}, {network.size} px …")
    looked_at = pictures(_LOOKED_AT, network.size)
    known = predict(network)(looked_at)
    told: dict[str, Any] = {}
    pooled = {batch: Taken() for batch in batches}
    with tempfile.TemporaryDirectory() as scratch:
        run_plain = plain(network, Path(scratch))
        told[PLAIN] = {"probability_off": _off(run_plain(looked_at), known)}
        for name, run in ways(network, Path(scratch)):
            taken: Times = {(way, batch): Taken() for batch in batches for way in (PLAIN, name)}
            arms = [
                partial(_turn, run_plain if way == PLAIN else run, _batch(looked_at, batch), seconds, into)
                for (way, batch), into in taken.items()
            ]
            take_turns(arms, rounds, f"{network.name}, {name}")
            told[name] = {
                "batches": {str(batch): _figures(taken[name, batch], taken[PLAIN, batch], batch) for batch in batches},
                "probability_off": _off(run(looked_at), known),
            }
            for batch, into in pooled.items():
                into.extend(taken[PLAIN, batch])
            del run, arms
            gc.collect()
    told[PLAIN]["batches"] = {str(batch): _figures(into, into, batch) for batch, into in pooled.items()}
    return {"network": network.name, "input_size": network.size, "ways": told}


def _batch(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return np.resize(images, (count, *images.shape[1:]))


def _off(answers: NDArray[np.float32], known: NDArray[np.float32]) -> float | None:
    return rounded(float(np.max(np.abs(answers - known))), 2)


def _turn(run: Run, images: NDArray[np.uint8], seconds: float, into: Taken) -> None:
    run(images)  # the first one after another's turn finds cold caches
    into.add(lambda: run(images), seconds)


def _figures(mine: Taken, beside: Taken, batch: int) -> dict[str, Any]:
    """Return the figures of ``mine``; ``beside`` is what the plain SavedModel took in turns with it."""
    return {
        **mine.figures(),
        "ms_a_picture": rounded(statistics.median(mine.wall) / batch * 1e3),
        "times_as_fast_as_plain": ratio(beside.wall, mine.wall),
        "cpu_ratio_to_plain": ratio(beside.cpu, mine.cpu),
    }


def table(told: Mapping[str, Any]) -> Table:
    """Return the table of one network."""
    batches = list(next(iter(told["ways"].values()))["batches"])
    shown = Table(
        "way", title=f"{told['network']}, {told['input_size']} px: ms a picture, and times as fast as the {PLAIN}"
    )
    for batch in batches:
        shown.add_column(f"batch {batch}", justify="right")
        shown.add_column("against plain", justify="right")
        shown.add_column("in CPU time", justify="right")
    shown.add_column("probability off by", justify="right")
    for way_name, way in told["ways"].items():
        cells = []
        for batch in batches:
            figures = way["batches"][batch]
            cells.append(f"{figures['ms_a_picture']:.1f}")
            cells += [f"{figures[name]:.2f} ×" for name in ("times_as_fast_as_plain", "cpu_ratio_to_plain")]
        shown.add_row(way_name, *cells, f"{way['probability_off']:.1g}")
    return shown


def plot(measured: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw how many times as fast as the plain SavedModel each way is."""
    groups = {
        f"{told['network']}, batch {batch}": {
            name: way["batches"][batch]["times_as_fast_as_plain"] for name, way in told["ways"].items()
        }
        for told in measured
        for batch in next(iter(told["ways"].values()))["batches"]
    }
    return plots.grouped_bars(path, "The same network in one process", f"times as fast as the plain {PLAIN}", groups)
