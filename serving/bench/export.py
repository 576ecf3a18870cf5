"""What export is worth: one network, run in this process as Keras, as SavedModels, and by the runtimes of others.

    osteo bench export --network default --network resnet152v2

Compared are medians; how far each way's probabilities are from Keras' own stands beside them.
"""

from __future__ import annotations

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
from serving.bench.runtimes import PLAIN, PREDICT, Run, ways
from serving.bench.summary import Taken, ratio, rounded, say, take_turns

_LOOKED_AT: Final = 8
"""Pictures on which the ways' probabilities are compared."""
Times = dict[tuple[str, int], Taken]
"""What was measured, by way and batch."""


def measure(network: Network, batches: Sequence[int], seconds: float, rounds: int) -> dict[str, Any]:
    """Return times of every way at every batch size, how they compare, and how far the answers differ."""
    say(f"Building and exporting {network.name}, {network.size} px …")
    looked_at = pictures(_LOOKED_AT, network.size)
    with tempfile.TemporaryDirectory() as scratch:
        runs = dict(ways(network, Path(scratch)))
        answers = {name: run(looked_at) for name, run in runs.items()}
        taken: Times = {(name, batch): Taken() for batch in batches for name in runs}
        arms = [
            partial(_turn, runs[name], np.resize(looked_at, (batch, *looked_at.shape[1:])), seconds, into)
            for (name, batch), into in taken.items()
        ]
        take_turns(arms, rounds, network.name)
    return {
        "network": network.name,
        "input_size": network.size,
        "ways": {
            name: {
                "batches": {str(batch): _figures(taken, name, batch) for batch in batches},
                "probability_off": rounded(float(np.max(np.abs(answers[name] - answers[PREDICT]))), 2),
            }
            for name in runs
        },
    }


def _turn(run: Run, images: NDArray[np.uint8], seconds: float, into: Taken) -> None:
    run(images)  # the first one after another's turn finds cold caches
    into.add(lambda: run(images), seconds)


def _figures(taken: Times, name: str, batch: int) -> dict[str, Any]:
    mine, plain = taken[name, batch], taken[PLAIN, batch]
    return {
        **mine.figures(),
        "ms_a_picture": rounded(statistics.median(mine.wall) / batch * 1e3),
        "times_as_fast_as_plain": ratio(plain.wall, mine.wall),
        "cpu_ratio_to_plain": ratio(plain.cpu, mine.cpu),
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
