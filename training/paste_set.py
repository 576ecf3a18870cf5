"""A data set of pasted fractures, made from another's training pictures: ``osteo data paste``.

Beside the pictures with a fracture there are controls, as many at most: a patch as large that shows none, in a
radiograph of the same region, so that the seam of a patch tells nothing. Where a fracture was pasted the set does not
say: a turned patch's box is larger than its fracture, and a location map that learned from such boxes got worse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy import ndimage

from radiograph import Radiograph
from radiograph.prepare import Box
from training import plots
from training.cleaned import MANIFEST, CleanedSet, Fields
from training.datasets import PASTED, Case, DataError, PreparedCases, load, prepare_cases
from training.pasting import Patch, Plane, best_place, cut_patch, paste, shrunk
from training.recipe import Recipe
from training.run import CACHE, to_train

ROUNDS: Final = 2
"""Times each fractured picture lends a fracture."""
LEAST_SIMILARITY: Final = 0.82
"""Normalised cross-correlation of patch and place below which a picture is not kept."""
_CANDIDATES: Final = 12
_TURNS: Final = 3
_TURN: Final = 25.0
_SHEET: Final = 8
_BONE: Final = 60.0
"""Grey level from which a pixel may be bone."""


@dataclass(frozen=True)
class _Job:
    """A patch to paste: whose, where it lies, into which radiographs it may go, and whether it shows a fracture."""

    source: int
    box: Box
    candidates: tuple[int, ...]
    label: int


@dataclass(frozen=True, eq=False)
class _Made:
    job: _Job
    target: int
    image: NDArray[np.uint8]
    box: Box
    similarity: float


def write_pasted(folder: Path, out: Path, recipe: Recipe, console: Console, cache: Path = CACHE) -> Path:
    """Write the set ``<name>-pasted`` into ``out`` from the train split of ``folder`` and return its folder.

    The recipe gives the size in pixels, the seed and the files that are left out. Beside the set lies ``sheet.png``,
    some of its pictures. Raises ``DataError`` where the set has no train and val split, no boxes or no normals of the
    same region, ``FetchError`` where it cannot be written.
    """
    cases = load(folder)
    if not any(case.split == "val" for case in cases):
        raise DataError(f"{folder} has no val split: pasted pictures could mix what trains with what validates.")
    train = [case for case in to_train(cases, recipe) if case.split == "train"]
    target = out / f"{train[0].source if train else folder.resolve().name}{PASTED}"
    if (target / MANIFEST).is_file():
        console.print(f"It is already there: {target}", soft_wrap=True)
        return target
    prepared = prepare_cases(train, recipe.model.input_size, cache)
    rng = np.random.default_rng(recipe.seed)
    jobs = _jobs(prepared, rng)
    if not jobs:
        raise DataError(f"{folder} has nothing to paste: it needs fractures with boxes and normals of the same region.")
    made = [
        picture
        for job in track(jobs, f"Pasting {len(jobs)} patches", console=console, transient=True)
        if (picture := _make(job, prepared, rng)) is not None
    ]
    _write(_balanced(made), prepared, target, console)
    return target


def _jobs(prepared: PreparedCases, rng: np.random.Generator) -> list[_Job]:
    normals: dict[str, list[int]] = defaultdict(list)
    for row, case in enumerate(prepared.cases):
        if case.label == 0 and case.hardware != "hardware":
            normals[case.region].append(row)
    jobs = []
    for _ in range(ROUNDS):
        for row, boxes in enumerate(prepared.boxes):
            pool = normals[prepared.cases[row].region]
            if prepared.labels[row] == 0 or not boxes or len(pool) < 2:
                continue
            box = boxes[rng.integers(len(boxes))]
            jobs.append(_Job(row, box, _drawn(pool, rng), 1))
            lender = int(rng.choice(pool))
            control = _box_on_bone(prepared.images[lender], (box[2] - box[0], box[3] - box[1]), rng)
            others = [other for other in pool if other != lender]
            jobs.append(_Job(lender, control, _drawn(others, rng), 0))
    return jobs


def _drawn(pool: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.choice(pool, min(_CANDIDATES, len(pool)), replace=False).tolist())


def _box_on_bone(image: NDArray[np.uint8], size: tuple[float, float], rng: np.random.Generator) -> Box:
    """Return a box of this size in 0..1, drawn where the picture is bright and has edges."""
    small = shrunk(image[..., 0].astype(np.float32))
    window = max(3, int(max(size) * len(small)))
    edges = ndimage.uniform_filter(ndimage.gaussian_gradient_magnitude(small, 1.0), window)
    chance = ((small > _BONE) * edges.astype(np.float64)).ravel() ** 2
    flat = chance.sum() == 0
    down, across = divmod(int(rng.choice(small.size, p=None if flat else chance / chance.sum())), small.shape[1])
    x, y = (across + 0.5) / small.shape[1], (down + 0.5) / small.shape[0]
    return max(x - size[0] / 2, 0.0), max(y - size[1] / 2, 0.0), min(x + size[0] / 2, 1.0), min(y + size[1] / 2, 1.0)


def _make(job: _Job, prepared: PreparedCases, rng: np.random.Generator) -> _Made | None:
    source = _plane(prepared, job.source)
    turns = [(rng.uniform(-_TURN, _TURN), mirrored) for mirrored in (False, True) for _ in range(_TURNS)]
    cut = [cut_patch(source, job.box, angle, mirrored=mirrored) for angle, mirrored in turns]
    patches: list[Patch] = [patch for patch in cut if patch is not None]
    candidates = [_plane(prepared, row) for row in job.candidates]
    place = best_place(patches, candidates)
    if place is None or place.similarity < LEAST_SIMILARITY:
        return None
    image, box = paste(patches[place.patch], candidates[place.candidate], place.top, place.left)
    return _Made(job, job.candidates[place.candidate], image, box, place.similarity)


def _plane(prepared: PreparedCases, row: int) -> Plane:
    plane: Plane = prepared.images[row, ..., 0].astype(np.float32)
    return plane


def _balanced(made: Sequence[_Made]) -> Iterator[_Made]:
    """Give all pictures with a fracture and no more controls than these."""
    fractured = sum(picture.job.label for picture in made)
    controls = 0
    for picture in made:
        controls += 1 - picture.job.label
        if picture.job.label or controls <= fractured:
            yield picture


def _write(made: Iterator[_Made], prepared: PreparedCases, target: Path, console: Console) -> None:
    written = CleanedSet(target)
    rows: list[Fields] = []
    samples: dict[int, list[plots.Sample]] = {0: [], 1: []}
    for picture in made:
        name, label = f"{len(rows):05d}.jpg", picture.job.label
        lender, taker = (prepared.cases[row] for row in (picture.job.source, picture.target))
        written.add(name, Radiograph(picture.image, 8, picture.image.shape[::-1], "phantom"))
        rows.append(_row(name, label, lender, taker, picture.similarity))
        if len(samples[label]) < _SHEET:
            nothing = np.zeros((1, 1))
            samples[label].append(plots.Sample(picture.image, nothing, [picture.box], label, np.nan, taker.path.name))
    if not rows:
        raise DataError("No place was found that looks like the surroundings of a fracture; nothing was pasted.")
    plots.grid([*samples[1], *samples[0]], target / "sheet.png", title="Pasted patches: fractures, then controls")
    written.finish(rows)
    fractured = sum(row["label"] == 1 for row in rows)
    console.print(
        f"{fractured} pictures with a pasted fracture and {len(rows) - fractured} controls: {target}. "
        f"Look at some of them: {target / 'sheet.png'}. They are for training alone, under the licence of the set "
        "they come from.",
        soft_wrap=True,
    )


def _row(name: str, label: int, lender: Case, taker: Case, similarity: float) -> Fields:
    return {
        "image": name,
        "label": label,
        "split": "train",
        "group": lender.group,
        "region": taker.region,
        "hardware": 0,
        "lender": lender.path.name,
        "taker": taker.path.name,
        "similarity": f"{similarity:.3f}",
    }
