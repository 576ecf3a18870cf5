"""A training run's whole state in one file, replaced atomically, so that a kill at any moment loses minutes at most.

The state before it is kept beside it, for the disk that loses what was written last.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.array_file import write_arrays

_DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class CheckpointError(Exception):
    """A checkpoint is damaged, and so is the one before it; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything a run needs to go on: step, stage, arrays by group (model, optimizer, average), history so far.

    The group ``optimizer`` is missing where a stage has just ended: the next one begins with an optimizer of its own.
    ``sums`` are the running sums of the epoch it stands in, so that its figures count all its steps.
    """

    step: int
    stage: int
    arrays: Mapping[str, Sequence[NDArray[Any]]]
    history: list[dict[str, float]] = field(default_factory=list)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sums: Sequence[float] = ()


def before(path: Path) -> Path:
    """Return where the checkpoint that ``path`` replaced is kept."""
    return path.with_suffix(".before.npz")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path`` and keep the one that was there; raise ``WriteError`` with both untouched."""
    meta = {
        "step": checkpoint.step,
        "stage": checkpoint.stage,
        "history": checkpoint.history,
        "recipe": checkpoint.recipe,
        "sums": list(checkpoint.sums),
    }
    flat = {f"{group}/{i:04}": array for group, arrays in checkpoint.arrays.items() for i, array in enumerate(arrays)}
    fresh = path.with_suffix(".fresh.npz")
    write_arrays(fresh, {"meta": np.array(json.dumps(meta)), **flat})
    with contextlib.suppress(FileNotFoundError):
        path.replace(before(path))
    fresh.replace(path)


def load(path: Path, say: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
    """Return the checkpoint at ``path``, or None where no run has been there.

    A damaged one is told to ``say`` and the one before it is returned; where that is damaged or gone too,
    ``CheckpointError`` is raised.
    """
    damaged = False
    for file in (path, before(path)):
        try:
            checkpoint = _read(file)
        except FileNotFoundError:
            continue
        except _DAMAGE:
            damaged = True
            continue
        if damaged:
            say(f"{path} is damaged; going on from the checkpoint before it.")
            file.replace(path)  # the next save would keep the damaged one and drop this
        return checkpoint
    if damaged:
        raise CheckpointError(
            f"{path} is damaged and there is no whole one before it. Begin in another folder with --run; where "
            f"{path.parent / 'best.npz'} is there, --from goes on from these weights."
        )
    return None


def _read(path: Path) -> Checkpoint:
    arrays: dict[str, list[NDArray[Any]]] = {}
    with path.open("rb") as file, np.load(file) as saved:
        meta = json.loads(str(saved["meta"]))
        for name in sorted(key for key in saved.files if key != "meta"):
            arrays.setdefault(name.split("/")[0], []).append(saved[name])
    return Checkpoint(meta["step"], meta["stage"], arrays, meta["history"], meta["recipe"], meta.get("sums", ()))
