"""Whether two pictures are one radiograph, turned, mirrored, rescaled, squashed, recompressed or adjusted in contrast.

First a description that rotation and mirroring leave alone finds candidates (rings about the centre, of each the
magnitudes of its angular Fourier series). Then one picture is laid upon the other: the angle by circular correlation
of the rings, the rest by Lucas and Kanade's affine registration (Baker and Matthews 2004), and fine structure is
correlated where both have content. Two hands of different people align well in outline and fail there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

SIDE: Final = 256
"""Pixels of the long side of the pictures compared."""
SCALES: Final = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Radii tried, in parts of half the short side: a picture turned on a larger canvas is smaller in it."""
COPY: Final = 0.75
"""Correlation of fine structure from which two pictures are one. Measured on FracAtlas (3,921 radiographs): turned,
mirrored, halved copies of JPEG quality 70 have 0.83 or more, the nearest other radiographs 0.74 or less."""
_NAMED: Final = 0.75
_ROUGH: Final = (0.65, 0.7)
"""Agreement of the rings, and of medium structure, below which two pictures are not looked at more closely. Copies of
FracAtlas in twelve guises had 0.78 and 0.85 or more."""
_HOPELESS: Final = 0.55
"""Correlation after three rounds below which laying on is given up: copies had 0.85 by then, others 0.49 (median)."""
_SHEAR: Final = 1.035
_LEAST_SHARED: Final = 0.2
_ANGLES: Final = 180
_RADII: Final = np.linspace(0.1, 0.95, 32)
_TURNS: Final = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
_UNIT: Final = np.stack([np.outer(_RADII, np.cos(_TURNS)), np.outer(_RADII, np.sin(_TURNS))])
# The whole picture as an ellipse, then circles: a pair that was squashed to a square agrees in the first.
_PAIRS: Final = ((0, 0), *((1, k) for k in range(1, 1 + len(SCALES))), *((k, 1) for k in range(2, 1 + len(SCALES))))


@dataclass(frozen=True, eq=False)
class Details:
    """A small picture, uint8 [height, width], with what comparing needs, each computed when first asked for."""

    picture: NDArray[np.uint8]

    @cached_property
    def radii(self) -> list[tuple[float, float]]:
        """Half axes (x, y) in pixels of the ellipse and the circles whose rings are compared."""
        return _radii(self.picture.shape)

    @cached_property
    def rings(self) -> list[Plane]:
        """Structure along 32 rings of 180 angles, float32 [32, 180], one for each of ``radii``."""
        return _rings(self.picture)

    @cached_property
    def medium(self) -> Plane:
        """Structure of some millimetres of bone, float32 [height, width]."""
        return _structure(self.picture, 2, 8)

    @cached_property
    def fine(self) -> Plane:
        """Structure as fine as the small picture has it, float32 [height, width]."""
        return _structure(self.picture, 1, 4)

    @cached_property
    def content(self) -> Plane:
        """1 where there is a picture, 0 in the black fill of turned copies, float32 [height, width]."""
        return _content(self.picture)


def thumbnail(pixels: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Return the picture with its long side at ``SIDE`` px, uint8 [height, width]."""
    grey = np.asarray(pixels, dtype=np.float32) * (255.0 / (2**bits - 1))
    height, width = grey.shape
    scale = SIDE / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(np.clip(np.asarray(small), 0, 255), dtype=np.uint8)


def _radii(shape: tuple[int, ...]) -> list[tuple[float, float]]:
    height, width = shape
    short = min(height, width) / 2
    return [(width / 2, height / 2), *((scale * short, scale * short) for scale in SCALES)]


def _rings(picture: NDArray[np.uint8]) -> list[Plane]:
    values = picture.astype(np.float32)
    values = (values - values.mean()) / (values.std() + 1e-6)
    band = ndimage.gaussian_filter(values, 2) - ndimage.gaussian_filter(values, 12)
    middle = [(side - 1) / 2 for side in picture.shape]
    return [
        ndimage.map_coordinates(band, [middle[0] + _UNIT[1] * ry, middle[1] + _UNIT[0] * rx], order=1)
        for rx, ry in _radii(picture.shape)
    ]


def describe(picture: NDArray[np.uint8]) -> Plane:
    """Return unit vectors, float32 [6, 768], one a radius, that turning and mirroring the picture hardly change."""
    weight = np.sqrt(_RADII)[:, None]
    vectors = np.stack(
        [np.sqrt(np.abs(np.fft.rfft(ring, axis=1))[:, :24] * weight).ravel() for ring in _rings(picture)]
    )
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), dtype=np.float32)


def similarity(some: Plane, others: Plane) -> Plane:
    """Return the best agreement of descriptions [A, 6, D] and [B, 6, D] over the radii tried, float32 [A, B]."""
    best = np.full((len(some), len(others)), -1.0, dtype=np.float32)
    for one, other in _PAIRS:
        np.maximum(best, some[:, one] @ others[:, other].T, out=best)
    return best


def _structure(picture: NDArray[np.uint8], low: float, high: float) -> Plane:
    """Return a band of detail divided by its local strength: a marker or a film edge weighs no more than bone."""
    values = picture.astype(np.float32)
    band = ndimage.gaussian_filter(values, low) - ndimage.gaussian_filter(values, high)
    strength = np.sqrt(np.maximum(ndimage.gaussian_filter(band * band, 2 * high), 0))
    return np.asarray(band / (strength + 0.5), dtype=np.float32)


def _content(picture: NDArray[np.uint8]) -> Plane:
    """Return 1 where there is a picture and 0 in black that reaches its edge, with a margin: fill of turned copies."""
    parts, _ = ndimage.label(picture <= 6)
    edge = np.unique(np.r_[parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    fill = np.isin(parts, edge[edge > 0])
    return np.asarray(~ndimage.maximum_filter(fill, size=11), dtype=np.float32)


def _turned(first: Details, second: Details) -> tuple[float, Matrix]:
    """Return the best correlation of the rings, and the matrix that takes places in ``second`` to ``first``."""
    weight = _RADII[:, None]

    def centred(ring: Plane) -> NDArray[np.float64]:
        return np.asarray(ring - (ring * weight).sum() / (weight.sum() * _ANGLES), dtype=np.float64)

    best, matrix = -1.0, np.eye(2)
    for (one, other), mirrored in product(_PAIRS, (False, True)):
        a, b = centred(first.rings[one]), centred(second.rings[other])
        size = np.sqrt((weight * a * a).sum() * (weight * b * b).sum()) + 1e-9
        spectrum = np.fft.rfft(b, axis=1)
        crossed = np.fft.rfft(a * weight, axis=1) * (spectrum if mirrored else np.conj(spectrum))
        curve = np.fft.irfft(crossed.sum(axis=0), n=_ANGLES) / size
        turn = int(curve.argmax())
        if curve[turn] > best:
            best, angle = float(curve[turn]), turn * 2 * np.pi / _ANGLES
            rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            if mirrored:
                rotation = rotation @ np.diag([1.0, -1.0])
            matrix = np.diag(first.radii[one]) @ rotation @ np.diag(1 / np.array(second.radii[other]))
    return best, matrix


def _correlation(a: Plane, b: Plane) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-12))


@dataclass(frozen=True, eq=False)
class _Laid:
    """How well two planes agree once laid upon each other, by which map, and how much of the second is shared."""

    score: float
    matrix: Matrix
    shift: Matrix
    shared: float


def _lay(first: tuple[Plane, Plane], second: tuple[Plane, Plane], start: _Laid, rounds: int) -> _Laid:
    """Return the best affine map found from ``start``; each side is (structure, content)."""
    still, still_content = second
    height, width = still.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grid = np.stack([x - (width - 1) / 2, y - (height - 1) / 2])
    matrix, shift, best, last = start.matrix, start.shift, start, -2.0
    for step in range(rounds + 1):
        warped, content = (_warped(plane, still.shape, matrix, shift) for plane in first)
        inside = (content > 0.9) & (still_content > 0.9)
        if inside.mean() < _LEAST_SHARED / 2:
            break
        score = _correlation(warped[inside], still[inside])
        if score > best.score:
            best = _Laid(score, matrix, shift, float(inside.mean()))
        if step == rounds or (step > 3 and score - last < 5e-4) or (step > 2 and score < _HOPELESS):
            break
        last = score
        change = _step(warped, still, inside, grid)
        shift = matrix @ change[[2, 5]] + shift
        matrix = matrix @ (np.eye(2) + change[[0, 1, 3, 4]].reshape(2, 2))
    return best


def _warped(plane: Plane, shape: tuple[int, ...], matrix: Matrix, shift: Matrix) -> Plane:
    """Return the plane, 0 outside of it, under the map of (x, y) from the middle of a picture of ``shape``."""
    flipped = matrix[::-1, ::-1]
    middle, target = ((np.array(sides) - 1) / 2 for sides in (plane.shape, shape))
    offset = middle + shift[::-1] - flipped @ target
    return np.asarray(ndimage.affine_transform(plane, flipped, offset, shape, order=1), dtype=np.float32)


def _step(warped: Plane, still: Plane, inside: NDArray[np.bool_], grid: Plane) -> Matrix:
    """Return one Gauss-Newton step on the difference of the normalised planes: six numbers of an affine map."""
    a, b = warped[inside], still[inside]
    down, across = np.gradient((warped - a.mean()) / (a.std() + 1e-9))
    x, y = grid
    slopes = np.stack([across * x, across * y, across, down * x, down * y, down], axis=-1)[inside]
    residual = (b - b.mean()) / (b.std() + 1e-9) - (a - a.mean()) / (a.std() + 1e-9)
    normal = (slopes.T @ slopes).astype(np.float64)
    return np.asarray(np.linalg.solve(normal + np.diag(np.diag(normal) * 1e-6 + 1e-9), slopes.T @ residual))


def _sheared(matrix: Matrix, first: Details, second: Details) -> float:
    """Return how unequally the map stretches (1 is not at all), plain or with both pictures squashed to a square."""
    ratios = []
    for index in (0, 1):
        plain = np.diag(1 / np.array(first.radii[index])) @ matrix @ np.diag(second.radii[index])
        strengths = np.linalg.svd(plain, compute_uv=False)
        ratios.append(float(strengths[0] / max(strengths[1], 1e-9)))
    return min(ratios)


def match(first: Details, second: Details) -> float:
    """Return the correlation of fine structure once laid upon each other, -1..1; 0 where they plainly differ.

    From ``COPY`` on, the two are one radiograph. Maps that shear, or share too little, count as plainly different:
    a real copy is turned, mirrored and scaled, but two knees of different people need bending to fit.
    """
    rough, matrix = _turned(first, second)
    if rough < _ROUGH[0]:
        return 0.0
    small_first = (first.medium[::2, ::2], first.content[::2, ::2])
    small_second = (second.medium[::2, ::2], second.content[::2, ::2])
    laid = _lay(small_first, small_second, _Laid(-1.0, matrix, np.zeros(2), 0.0), 20)
    if laid.score < _ROUGH[1]:
        return 0.0
    start = _Laid(-1.0, laid.matrix, laid.shift * 2, 0.0)
    laid = _lay((first.fine, first.content), (second.fine, second.content), start, 12)
    if laid.shared < _LEAST_SHARED or _sheared(laid.matrix, first, second) > _SHEAR:
        return 0.0
    return laid.score


def confirms_name(first: Details, second: Details) -> bool:
    """Return whether two files whose names say they are copies may be believed: their rings agree, or they match."""
    return _turned(first, second)[0] >= _NAMED or match(first, second) >= COPY
