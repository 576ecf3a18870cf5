"""Which files show one radiograph: equal bytes, equal pixels, copies by name, and copies found by looking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.audit_files import Scan
from training.audit_registration import COPY, Details, Rings, describe, match, rings, similarity

_NEAREST: Final = 3
_HASH_BITS: Final = 10
_ALIKE: Final = 0.94
"""Agreement of ring descriptions from which two pictures are looked at. Copies of FracAtlas in twelve guises (turned on
a larger canvas, squashed, halved, cropped ...) had 0.96 or more; the nearest others have 0.96 (median)."""
_ROWS: Final = 128
_HASHED: Final = 32
"""Side of the picture in px that ``imagehash.phash`` takes its cosine transform of."""
_FORMS: Final = (None, *Image.Transpose)
"""A square's eight turns and mirrors."""

Advance = Callable[[int], None]


def hashes(picture: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the perceptual hashes of the picture in its eight turned and mirrored forms, uint64 [8], itself first."""
    # The hash begins by making the picture this small; done before, turning it costs nothing.
    image = Image.fromarray(picture).resize((_HASHED, _HASHED), Image.Resampling.LANCZOS)
    forms = (image if form is None else image.transpose(form) for form in _FORMS)
    bits = [np.packbits(imagehash.phash(form).hash.ravel()) for form in forms]
    return np.concatenate(bits).view(np.uint64)


def all_rings(pictures: Sequence[NDArray[np.uint8]], workers: int, advance: Advance) -> list[Rings]:
    """Return the ``rings`` of every picture, two bytes a value: they stay in memory while pairs are compared."""

    def found(picture: NDArray[np.uint8]) -> Rings:
        around = rings(picture).astype(np.float16)
        advance(1)
        return around

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(found, pictures))


def candidates(
    pictures: Sequence[NDArray[np.uint8]], around: Sequence[Rings], workers: int, advance: Advance
) -> list[tuple[int, int]]:
    """Return pairs (i < j) of pictures that may be one: the nearest three of each by rings, and by hash.

    ``around`` holds the rings of the pictures.
    """
    if len(pictures) < 2:
        return []
    with ThreadPoolExecutor(workers) as pool:
        marks = np.stack(list(pool.map(hashes, pictures)))
    described = np.stack([describe(found.astype(np.float32)) for found in around])
    nearest = min(_NEAREST, len(pictures) - 1)
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(pictures), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(pictures)))
        alike = similarity(described[rows], described)
        # Distance of every form of these to the plain form of all others.
        apart = np.bitwise_count(marks[rows, :, None] ^ marks[None, None, :, 0]).min(axis=1).astype(np.float32)
        own = (np.arange(len(rows)), rows)
        alike[own], apart[own] = -np.inf, np.inf
        closest = np.argpartition(-alike, nearest - 1, axis=1)[:, :nearest]
        hashed = np.argpartition(apart, nearest - 1, axis=1)[:, :nearest]
        for row, by_rings, by_hash, agreed, distance in zip(rows, closest, hashed, alike, apart, strict=True):
            found = [other for other in by_rings if agreed[other] >= _ALIKE]
            found += [other for other in by_hash if distance[other] <= _HASH_BITS]
            pairs.update((min(int(row), int(other)), max(int(row), int(other))) for other in found)
        advance(len(rows))
    return sorted(pairs)


def matched_pairs(
    pictures: Sequence[NDArray[np.uint8]],
    around: Sequence[Rings],
    pairs: Sequence[tuple[int, int]],
    workers: int,
    advance: Advance,
) -> list[tuple[int, int, float]]:
    """Return those pairs that are one radiograph, with the correlation that shows it."""

    @lru_cache(maxsize=256)
    def details(index: int) -> Details:
        return Details(pictures[index], around[index])

    def examined(pair: tuple[int, int]) -> tuple[int, int, float]:
        score = match(details(pair[0]), details(pair[1]))
        advance(1)
        return *pair, score

    with ThreadPoolExecutor(workers) as pool:
        return [found for found in pool.map(examined, pairs) if found[2] >= COPY]


def components(count: int, links: Iterable[tuple[int, int]]) -> NDArray[np.int32]:
    """Return for each of ``count`` things the number of the set it belongs to when the links join them."""
    joined = np.array(list(links), dtype=np.int64).reshape(-1, 2)
    ones = np.ones(len(joined), dtype=np.int8)
    graph = coo_array((ones, (joined[:, 0], joined[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)


def sure_links(scans: Sequence[Scan]) -> list[tuple[int, int]]:
    """Return pairs of readable files that are one by their bytes, by their pixels, or by name and content."""
    first: dict[str, int] = {}
    named = {scan.item.name: index for index, scan in enumerate(scans)}
    links = []
    for index, scan in enumerate(scans):
        if scan.error:
            continue
        links += [(first.setdefault(key, index), index) for key in (scan.sha256, scan.pixels_sha256)]
        if scan.of:
            links.append((named[scan.of], index))
    return links


def exact_copies(scans: Sequence[Scan]) -> list[list[Scan]]:
    """Return sets of readable files whose pixels are equal, the bytes perhaps not."""
    sets: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        if not scan.error:
            sets[scan.pixels_sha256].append(scan)
    return [found for found in sets.values() if len(found) > 1]
