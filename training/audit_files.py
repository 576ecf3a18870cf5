"""The files of a data set as they lie on disk: where each belongs by folder, manifest and name, and what it holds."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from radiograph import Radiograph, RadiographError, read
from training.audit_registration import Details, confirms_name, thumbnail
from training.datasets import FRACTURED_NAMES, NORMAL_NAMES, DataError

SPLITS: Final = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
NOT_PICTURES: Final = frozenset(
    {".csv", ".json", ".txt", ".md", ".xml", ".yaml", ".yml", ".html", ".db", ".ini", ".pdf"}
)
_BLOCK: Final = 8
"""Side of a JPEG block in px."""
_MOSTLY: Final = 0.9
"""Share of a row's pixels that must be alike for it to count as a repetition."""
_NORMAL_TOO: Final = frozenset({"non fractured", "unfractured", "no fracture"})
_COPY_SUFFIX: Final = re.compile(
    r"(?:[-_ .]+(?:rotated|rotate|rot|flipped|flip|mirrored|mirror|aug|copy)[-_ ]?\d*|\.rf\.[0-9a-z]{8,})$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Item:
    """A file with what folder, manifest and name say of it; ``label`` is None and ``split`` "" where they do not."""

    path: Path
    name: str
    split: str
    label: int | None
    family: str
    group: str = ""


@dataclass(frozen=True)
class Scan:
    """What one file holds: hashes of the file and of its pixels, size, brightness; or ``error``, why it is not read.

    ``of`` names the file of the same family that this one is a copy of by name and content; ``misnamed`` says that the
    name claims such a copy and the content does not show it.
    """

    item: Item
    error: str = ""
    code: str = ""
    sha256: str = ""
    pixels_sha256: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    mean: float = 0.0
    spread: float = 0.0
    fill: float = 0.0
    of: str = ""
    misnamed: bool = False
    picture: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)


def family_of(stem: str) -> str:
    """Return the name without marks of copying: ``10`` for ``10-rotated1-rotated2``, ``knee`` for ``knee_flip``."""
    while (shorter := _COPY_SUFFIX.sub("", stem)) not in {stem, ""}:
        stem = shorter
    return stem


def find(path: Path) -> list[Item]:
    """Return the pictures of a folder tree or of a manifest (a CSV file, or a folder with ``manifest.csv``).

    In a tree a folder called train, val or test names the split and one called fractured or not fractured the label,
    at any depth. Raises ``DataError`` where there is nothing to audit.
    """
    if path.is_file() and path.suffix.lower() == ".csv":
        return _from_manifest(path)
    if not path.is_dir():
        raise DataError(f"There is no folder or manifest {path}. Give the folder that holds the pictures.")
    if (path / "manifest.csv").is_file():
        return _from_manifest(path / "manifest.csv")
    files = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
    items = [_by_folder(file, path) for file in files if file.suffix.lower() not in NOT_PICTURES]
    if not items:
        raise DataError(f"{path} holds no pictures. Give the folder that holds them, or one with a manifest.csv.")
    return items


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _by_folder(file: Path, root: Path) -> Item:
    relative = file.relative_to(root)
    folders = [part.lower() for part in relative.parts[:-1]]
    split = next((SPLITS[part] for part in folders if part in SPLITS), "")
    label = next((label for part in reversed(folders) if (label := label_of(part)) is not None), None)
    family = f"{relative.parent.as_posix()}/{family_of(file.stem)}"
    return Item(file, relative.as_posix(), split, label, family)


def label_of(text: str) -> int | None:
    """Return 1 for the names of fractured, 0 for those of normal, None for any other."""
    name = text.strip().lower()
    if name.replace("_", " ").replace("-", " ") in _NORMAL_TOO:
        return 0
    return 1 if name in FRACTURED_NAMES else 0 if name in NORMAL_NAMES else None


def _from_manifest(manifest: Path) -> list[Item]:
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"image", "label"} <= set(rows[0]):
        raise DataError(f"{manifest} needs at least the columns image and label, and one row.")
    folder = manifest.parent / "images" if (manifest.parent / "images").is_dir() else manifest.parent
    return [
        Item(
            path=folder / row["image"],
            name=row["image"],
            split=SPLITS.get((row.get("split") or "").strip().lower(), ""),
            label=label_of(row["label"] or ""),
            family="/".join((row.get("split") or "", row["label"] or "", family_of(row["image"].rpartition(".")[0]))),
            group=row.get("group") or row.get("block") or "",
        )
        for row in rows
        if row["image"]
    ]


def families(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items by family, the file with the shortest name (the original) first in each."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.family].append(item)
    return [sorted(members, key=lambda item: (len(item.name), item.name)) for members in found.values()]


def scan(item: Item) -> Scan:
    """Return what the file holds, with its small ``picture``; one that cannot be read has an ``error`` instead."""
    try:
        content = item.path.read_bytes()
    except OSError:
        return Scan(item, "The file cannot be opened. Is it there, and may you read it?", "not_readable")
    digest = hashlib.sha256(content).hexdigest()
    try:
        radiograph = read(content)
    except RadiographError as error:
        return Scan(item, str(error), error.code, sha256=digest, size=len(content))
    mean, spread = _brightness(radiograph)
    pixels = hashlib.sha256(repr(radiograph.pixels.shape).encode() + radiograph.pixels.tobytes()).hexdigest()
    return Scan(
        item,
        sha256=digest,
        pixels_sha256=pixels,
        width=radiograph.width,
        height=radiograph.height,
        size=len(content),
        mean=mean,
        spread=spread,
        fill=_fill_at_bottom(radiograph),
        picture=thumbnail(radiograph.pixels, radiograph.bits),
    )


def _brightness(radiograph: Radiograph) -> tuple[float, float]:
    """Return mean and standard deviation of the grey values on a scale of 0..255."""
    counts = np.bincount(radiograph.pixels.ravel(), minlength=2**radiograph.bits) / radiograph.pixels.size
    levels = np.arange(len(counts)) * (255.0 / (2**radiograph.bits - 1))
    mean = float(counts @ levels)
    return mean, float(np.sqrt(counts @ (levels - mean) ** 2))


def _fill_at_bottom(radiograph: Radiograph) -> float:
    """Return the share of rows at the bottom that a decoder made up for data that are missing.

    They are one even middle grey, or the last block of a JPEG file over and over: rows that repeat every eight pixels.
    """
    pixels, middle = radiograph.pixels, 2 ** (radiograph.bits - 1)
    spread = np.ptp(pixels, axis=1)
    even = (spread <= middle // 64) & (np.abs(pixels[:, 0].astype(np.int64) - middle) <= middle // 8)
    right = pixels[:, pixels.shape[1] // 2 :]
    other = np.flatnonzero(~(even | _repeats(right))[::-1])
    return float(other[0] if other.size else len(even)) / len(even)


def _repeats(rows: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which ``rows`` [N,W] are eight pixels over and over that are not all alike, as the dark margins are."""
    if rows.shape[1] <= 2 * _BLOCK:
        return np.zeros(len(rows), np.bool_)
    repeated: NDArray[np.bool_] = np.mean(rows[:, _BLOCK:] == rows[:, :-_BLOCK], axis=1) > _MOSTLY
    varied: NDArray[np.bool_] = np.mean(rows[:, 1:] == rows[:, :-1], axis=1) < 1 / 2
    return repeated & varied


def scan_family(members: Sequence[Item]) -> list[Scan]:
    """Return the scans of one family; those after the first readable one are compared with it and say ``of`` it.

    Only the first, and those whose content denies their name, keep their ``picture``.
    """
    scans: list[Scan] = []
    original: Scan | None = None
    details: Details | None = None
    for item in members:
        found = scan(item)
        if found.picture is not None and original is None:
            original = found
        elif found.picture is not None and original is not None and original.picture is not None:
            details = details or Details(original.picture)
            if found.pixels_sha256 == original.pixels_sha256 or confirms_name(details, Details(found.picture)):
                found = replace(found, of=original.item.name, picture=None)
            else:
                found = replace(found, misnamed=True)
        scans.append(found)
    return scans
