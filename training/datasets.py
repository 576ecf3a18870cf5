"""Data sets as lists of cases: FracAtlas and its kin by manifest, or any ``train|val|test/<class>`` folder tree."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from radiograph import PREPROCESSING, Geometry, RadiographError, prepare, read
from radiograph.prepare import Box
from training.array_file import write_arrays

FRACTURED_NAMES: Final = frozenset({"fractured", "fracture", "positive", "1"})
NORMAL_NAMES: Final = frozenset({"not fractured", "not_fractured", "normal", "negative", "0"})
SPLITS: Final = ("train", "val", "test")
PASTED: Final = "-pasted"
"""Ends the name of a set that ``osteo data paste`` made from the training pictures of the set before it."""
MASK_STRIDE: Final = 4
"""Pixels of the model input a cell of the box masks covers, each way."""


class DataError(Exception):
    """The folder is not a data set this program knows, or it is not whole; the message says what is missing."""


@dataclass(frozen=True)
class Case:
    """One radiograph with what is known of it.

    ``boxes`` are the fractures in 0..1 of the picture: ``()`` means there is none, None that their place is not known.
    ``group`` never crosses a split. ``region``, ``view`` and ``hardware`` are "" where not known.
    """

    path: Path
    label: int
    split: str
    group: str
    source: str
    boxes: tuple[Box, ...] | None
    region: str = ""
    view: str = ""
    hardware: str = ""


@dataclass(frozen=True, eq=False)
class PreparedCases:
    """Cases with their model inputs, row by row.

    ``images`` uint8 [N,S,S,1]; ``masks`` uint8 [N,S/4,S/4], the share of each cell within a box times 255;
    ``place_known`` bool [N]: whether the mask tells where the fractures are; ``geometries`` map back.
    """

    cases: tuple[Case, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    place_known: NDArray[np.bool_]
    geometries: tuple[Geometry, ...]

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 or 1 for each case, int64 [N]."""
        return np.array([case.label for case in self.cases], np.int64)

    @property
    def boxes(self) -> list[list[Box]]:
        """The fractures of each case, normalised to the model input; empty also where their place is not known."""
        return [
            [geometry.box_to_input(box) for box in case.boxes or ()]
            for case, geometry in zip(self.cases, self.geometries, strict=True)
        ]

    def subset(self, rows: NDArray[np.intp]) -> PreparedCases:
        """Return the cases of ``rows``, in that order."""
        return PreparedCases(
            tuple(self.cases[i] for i in rows),
            self.images[rows],
            self.masks[rows],
            self.place_known[rows],
            tuple(self.geometries[i] for i in rows),
        )


def load(folder: Path, *, source: str | None = None) -> list[Case]:
    """Return the cases of a data set folder: one with ``manifest.csv``, or a tree ``train|val|test/<class>/``.

    ``source`` names the set in reports (default: the folder's name). Raises ``DataError`` on anything else.
    """
    name = source or folder.resolve().name
    if (folder / "manifest.csv").is_file():
        return _load_manifest(folder, name)
    if any((folder / split).is_dir() for split in SPLITS):
        return _load_tree(folder, name)
    raise DataError(
        f"{folder} is not a data set: it has neither a manifest.csv nor folders like train/fractured and "
        "train/not fractured. Fetch one with: osteo data fetch fracatlas"
    )


def _load_manifest(folder: Path, source: str) -> list[Case]:
    boxes_file = folder / "boxes.json"
    boxes: dict[str, list[dict[str, list[float]]]] = {}
    if boxes_file.is_file():
        boxes = json.loads(boxes_file.read_text(encoding="utf-8"))
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"image", "label"} <= set(rows[0]):
        raise DataError(f"{folder / 'manifest.csv'} needs at least the columns image and label, and one row.")
    images = folder / "images"
    cases = [_manifest_case(row, images if images.is_dir() else folder, source, boxes) for row in rows]
    missing = [case.path.name for case in cases if not case.path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} pictures of {folder}/manifest.csv are missing, the first is {missing[0]}.")
    return cases


def _manifest_case(
    row: dict[str, str], images: Path, source: str, boxes: dict[str, list[dict[str, list[float]]]]
) -> Case:
    label = int(row["label"])
    known: tuple[Box, ...] | None = ()
    if label:
        found = [entry["box_xyxy"] for entry in boxes.get(row["image"], [])]
        known = tuple((b[0], b[1], b[2], b[3]) for b in found) or None
    group = row.get("group") or row.get("block") or row["image"]
    views = [view for view in ("frontal", "lateral", "oblique") if row.get(view) == "1"]
    return Case(
        path=images / row["image"],
        label=label,
        split=row.get("split") or "train",
        group=f"{source}/{group}",
        source=source,
        boxes=known,
        region=row.get("region", ""),
        view="+".join(views),
        hardware={"1": "hardware", "0": "none"}.get(row.get("hardware", ""), ""),
    )


def _load_tree(folder: Path, source: str) -> list[Case]:
    cases = []
    for split in SPLITS:
        for class_folder in sorted(path for path in (folder / split).glob("*") if path.is_dir()):
            name = class_folder.name.lower()
            if name not in FRACTURED_NAMES | NORMAL_NAMES:
                raise DataError(
                    f"The folder {split}/{class_folder.name} is no class this program knows; name it "
                    "'fractured' or 'not fractured'."
                )
            label = int(name in FRACTURED_NAMES)
            for path in sorted(p for p in class_folder.iterdir() if p.is_file() and not p.name.startswith(".")):
                # turned copies are named after their original: 10-rotated1-rotated2.jpg is a copy of 10.jpg
                family = f"{source}/{split}/{name}/{path.stem.split('-')[0]}"
                cases.append(Case(path, label, split, family, source, None if label else ()))
    if not cases:
        raise DataError(f"{folder} holds no pictures.")
    return cases


def prepare_cases(cases: Sequence[Case], size: int, cache: Path | None = None) -> PreparedCases:
    """Return ``cases`` decoded and prepared for a model input of ``size`` px, from ``cache`` where it holds them.

    Raises ``DataError`` naming the first picture that cannot be read.
    """
    store = cache / f"prepared-{_fingerprint(cases, size)}.npz" if cache else None
    if store is not None and store.is_file():
        with np.load(store) as saved:
            images, geometry = saved["images"], saved["geometry"]
        geometries = tuple(Geometry(*(int(value) for value in row)) for row in geometry)
    else:
        images = np.empty((len(cases), size, size, 1), np.uint8)
        found = []
        for row, case in enumerate(track(cases, f"Preparing {len(cases)} radiographs at {size} px", transient=True)):
            try:
                prepared = prepare(read(case.path), size)
            except RadiographError as error:
                raise DataError(f"{case.path.name}: {error} Clean the set first with: osteo data audit") from error
            images[row] = prepared.image
            found.append(prepared.geometry)
        geometries = tuple(found)
        if store is not None:
            _save(store, images, geometries)
    masks = np.stack([box_mask(case.boxes or (), geo) for case, geo in zip(cases, geometries, strict=True)])
    known = np.array([case.boxes is not None for case in cases])
    return PreparedCases(tuple(cases), images, masks, known, geometries)


def box_mask(boxes: Iterable[Box], geometry: Geometry) -> NDArray[np.uint8]:
    """Return uint8 [S/4, S/4]: the share of each cell of the model input that lies within a box, times 255."""
    cells = geometry.size // MASK_STRIDE
    mask = np.zeros((cells, cells), np.float32)
    edges = np.arange(cells, dtype=np.float32)
    for box in boxes:
        x0, y0, x1, y1 = (value * cells for value in geometry.box_to_input(box))
        across = np.clip(np.minimum(edges + 1, x1) - np.maximum(edges, x0), 0, 1)
        down = np.clip(np.minimum(edges + 1, y1) - np.maximum(edges, y0), 0, 1)
        mask = np.maximum(mask, np.outer(down, across))
    return np.rint(mask * 255).astype(np.uint8)


def folds(cases: Sequence[Case], count: int, seed: int) -> list[NDArray[np.intp]]:
    """Return the rows of each of ``count`` folds; groups stay whole, the share of fractures is kept about equal."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    labels = [case.label for case in cases]
    groups = [case.group for case in cases]
    return [held_out for _, held_out in splitter.split(labels, labels, groups)]


def manifest_sha256(cases: Sequence[Case]) -> str:
    """Return a digest of names, labels, splits and boxes: the same set gives the same digest on every machine."""
    digest = hashlib.sha256()
    for case in sorted(cases, key=lambda case: (case.split, case.path.name)):
        digest.update(repr((case.path.name, case.label, case.split, case.group, case.boxes)).encode())
    return digest.hexdigest()


def _fingerprint(cases: Sequence[Case], size: int) -> str:
    digest = hashlib.sha256(f"{PREPROCESSING} {size}".encode())
    for case in cases:
        stat = case.path.stat()
        digest.update(f"{case.path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _save(store: Path, images: NDArray[np.uint8], geometries: Sequence[Geometry]) -> None:
    rows = [[g.width, g.height, g.size, g.left, g.top, g.inner_width, g.inner_height] for g in geometries]
    write_arrays(store, {"images": images, "geometry": np.array(rows, np.int64)})
