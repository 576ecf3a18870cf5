"""Whether two pictures are one radiograph, turned, mirrored, rescaled, squashed, recompressed or adjusted in contrast.

First a description that rotation and mirroring leave alone finds candidates (rings about the centre, of each the
magnitudes of its angular Fourier series). Then one picture is laid upon the other: the angle by circular correlation
of the rings, the rest by Lucas and Kanade's affine registration (Baker and Matthews 2004), and fine structure is
correlated where both have content. Two hands of different people align well in outline and fail there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]
Rings = NDArray[np.floating]
Spectra = NDArray[np.complex64]

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
_SURE: Final = 0.85
"""Correlation of fine structure that needs no second look from the other side."""
_LEAST_SHARED: Final = 0.2
"""Share of the picture that two must have in common; in one that is black nearly all over, ``_MOSTLY`` of the rest."""
_MOSTLY: Final = 0.8
_ANGLES: Final = 180
_RADII: Final = np.linspace(0.1, 0.95, 32)
_TURNS: Final = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
_UNIT: Final = np.stack([np.outer(_RADII, np.cos(_TURNS)), np.outer(_RADII, np.sin(_TURNS))])
# The whole picture as an ellipse, then circles: a pair that was squashed to a square agrees in the first.
_PAIRS: Final = ((0, 0), *((1, k) for k in range(1, 1 + len(SCALES))), *((k, 1) for k in range(2, 1 + len(SCALES))))
_FIRSTS, _SECONDS = np.array(_PAIRS).T


@dataclass(frozen=True, eq=False)
class Details:
    """A small picture, uint8 [height, width], with what comparing needs, each computed when first asked for.

    ``known`` is what ``rings`` gives for the picture, where that was computed before.
    """

    picture: NDArray[np.uint8]
    known: Rings | None = None

    @cached_property
    def radii(self) -> list[tuple[float, float]]:
        """Half axes (x, y) in pixels of the ellipse and the circles whose rings are compared."""
        return _radii(self.picture.shape)

    @cached_property
    def spectra(self) -> Spectra:
        """Angular Fourier series of the rings, complex64 [6, 32, 91], each of the six of unit strength."""
        return _spectra(rings(self.picture) if self.known is None else self.known.astype(np.float32))

    @cached_property
    def half(self) -> NDArray[np.uint8]:
        """The picture at half the size."""
        return _half(self.picture)

    @cached_property
    def medium(self) -> tuple[Plane, Plane]:
        """Structure of some millimetres of bone, and where there is a picture, float32 at half the size."""
        return _structure(self.half, 1, 4), _content(self.half, margin=5)

    @cached_property
    def fine(self) -> tuple[Plane, Plane]:
        """Structure as fine as the small picture has it, and where there is a picture, float32 [height, width]."""
        return _structure(self.picture, 1, 4), _content(self.picture, margin=11)


def thumbnail(pixels: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Return the picture with its long side at ``SIDE`` px, uint8 [height, width]."""
    height, width = pixels.shape
    scale = SIDE / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    # Pillow resizes 8 bit several times as fast as floating point.
    grey = pixels if pixels.dtype == np.uint8 and bits == 8 else np.float32(255.0 / (2**bits - 1)) * pixels
    small = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(np.clip(np.asarray(small), 0, 255), dtype=np.uint8)


def _half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).reduce(2))


def _radii(shape: tuple[int, ...]) -> list[tuple[float, float]]:
    height, width = shape
    short = min(height, width) / 2
    return [(width / 2, height / 2), *((scale * short, scale * short) for scale in SCALES)]


def rings(picture: NDArray[np.uint8]) -> Rings:
    """Return structure along 32 rings of 180 angles, float32 [6, 32, 180], one for each of the ellipse and circles."""
    # Half the size holds all that is as coarse as this, at an eighth of the work.
    values = _half(picture).astype(np.float32)
    values = (values - values.mean()) / (values.std() + 1e-6)
    band = ndimage.gaussian_filter(values, 1) - ndimage.gaussian_filter(values, 6)
    middle = np.array([(side / 2 - 1) / 2 for side in picture.shape])
    # [6, 2]: half axes down and across in the halved picture
    axes = np.array(_radii(picture.shape))[:, ::-1] / 2
    places = middle[:, None, None, None] + axes.T[:, :, None, None] * _UNIT[::-1, None]
    return np.asarray(ndimage.map_coordinates(band, places, order=1), dtype=np.float32)


def _spectra(found: Rings) -> Spectra:
    weight = _RADII[:, None]
    centred = found - (found * weight).sum(axis=(1, 2), keepdims=True) / (weight.sum() * _ANGLES)
    strength = np.sqrt((weight * centred * centred).sum(axis=(1, 2), keepdims=True)) + 1e-9
    return np.asarray(np.fft.rfft(centred * np.sqrt(weight) / strength, axis=2), dtype=np.complex64)


def describe(found: Rings) -> Plane:
    """Return unit vectors, float32 [6, 768], of the rings of a picture, that turning and mirroring it hardly change."""
    series = np.abs(np.fft.rfft(found, axis=2))[:, :, :24] * np.sqrt(_RADII)[:, None]
    vectors = np.sqrt(series).reshape(len(found), -1)
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


def _content(picture: NDArray[np.uint8], margin: int) -> Plane:
    """Return 1 where there is a picture and 0 in black that reaches its edge, with a margin: fill of turned copies."""
    parts, _ = ndimage.label(picture <= 6)
    edge = np.unique(np.r_[parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    fill = np.isin(parts, edge[edge > 0])
    return np.asarray(~ndimage.maximum_filter(fill, size=margin), dtype=np.float32)


def _turned(first: Details, second: Details) -> tuple[float, Matrix]:
    """Return the best correlation of the rings, and the matrix that takes places in ``second`` to ``first``."""
    a, b = first.spectra[_FIRSTS], second.spectra[_SECONDS]
    crossed = np.stack([(a * np.conj(b)).sum(axis=1), (a * b).sum(axis=1)], axis=1)
    curves = np.fft.irfft(crossed, n=_ANGLES, axis=2)
    pair, mirrored, turn = np.unravel_index(int(curves.argmax()), curves.shape)
    angle = float(turn) * 2 * np.pi / _ANGLES
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        rotation = rotation @ np.diag([1.0, -1.0])
    one, other = _PAIRS[pair]
    matrix = np.diag(first.radii[one]) @ rotation @ np.diag(1 / np.array(second.radii[other]))
    return float(curves[pair, mirrored, turn]), matrix


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

    From ``COPY`` on, the two are one radiograph. Where laying the first upon the second leaves a doubt, the second is
    laid upon the first as well: one sure fit is enough, else the lesser counts.
    """
    scores = []
    for one, other in ((first, second), (second, first)):
        score = _fit(one, other)
        if score is None:
            return 0.0
        if score >= _SURE:
            return score
        scores.append(score)
    return min(scores)


def _fit(first: Details, second: Details) -> float | None:
    """Return the correlation once ``first`` is laid upon ``second``; None where they plainly differ.

    Maps that shear, or share too little, have 0: a real copy is turned, mirrored and scaled, but two knees of different
    people need bending to fit.
    """
    rough, matrix = _turned(first, second)
    if rough < _ROUGH[0]:
        return None
    laid = _lay(first.medium, second.medium, _Laid(-1.0, matrix, np.zeros(2), 0.0), 20)
    if laid.score < _ROUGH[1]:
        return None
    start = _Laid(-1.0, laid.matrix, laid.shift * 2, 0.0)
    laid = _lay(first.fine, second.fine, start, 12)
    content = min(float(first.fine[1].mean()), float(second.fine[1].mean()))
    if laid.shared < min(_LEAST_SHARED, _MOSTLY * content) or _sheared(laid.matrix, first, second) > _SHEAR:
        return 0.0
    return laid.score


def confirms_name(first: Details, second: Details) -> bool:
    """Return whether two files whose names say they are copies may be believed: their rings agree, or they match."""
    return _turned(first, second)[0] >= _NAMED or match(first, second) >= COPY
