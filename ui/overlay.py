"""What is drawn over a radiograph: the heat map as a see-through layer, and outlines of the places it points to.

Layers, not one flat picture: the radiograph below stays as it is, and the reader of it can turn the layers off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from export import contract
from radiograph import Radiograph, prepare
from ui.reading import Reading

DISPLAY_LIMIT: Final = 1600
"""Longest side (px) of a picture sent to the page."""
LAYER_LIMIT: Final = 400
"""Longest side (px) of the heat layer, which is smooth by nature and scaled up by the browser."""
FAINTEST: Final = 0.15
"""Heat below this value is not drawn at all."""
OPAQUEST: Final = 0.7

# One warm hue from dark to light: the order can be told by brightness alone, whatever the reader's colour vision.
_STOPS: Final = np.array([0.0, 0.4, 0.7, 1.0])
_COLOURS: Final = np.array([(88, 16, 20), (190, 62, 8), (248, 146, 18), (255, 236, 170)])

Polygon = NDArray[np.float32]
"""Corners [K,2] as x, y in 0..1 of the picture's width and height; closed, the last joins the first."""


@dataclass(frozen=True, eq=False)
class Place:
    """One place the heat map points to: its outline, and the map's highest value in it, 0..1."""

    outline: Polygon
    score: float


@dataclass(frozen=True, eq=False)
class Layers:
    """A radiograph as shown, uint8 [h,w]; its heat layer, uint8 RGBA [h',w',4]; outlines around its hottest places.

    ``places`` are the outlines that enclose something, with their scores; ``outlines`` has the holes in them as well.
    """

    picture: NDArray[np.uint8]
    heat: NDArray[np.uint8] | None
    outlines: tuple[Polygon, ...]
    places: tuple[Place, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture (px)."""
        return int(self.picture.shape[1]), int(self.picture.shape[0])


def layers(reading: Reading) -> Layers:
    """Return what to draw for a reading: outlines only for a suspicion or a fracture, nothing outside the scope."""
    picture = display_picture(reading.radiograph)
    if reading.outside_scope:
        return Layers(picture, None, ())
    height, width = picture.shape
    scale = min(1.0, LAYER_LIMIT / max(width, height))
    geometry = replace(reading.geometry, width=max(1, round(width * scale)), height=max(1, round(height * scale)))
    heatmap = geometry.heatmap_to_original(reading.prediction.heatmap)
    positive = reading.prediction.finding != contract.NO_FRACTURE
    found = outlines(heatmap) if positive else ()
    return Layers(picture, heat_layer(heatmap), found, places(heatmap, found))


def marked_picture(drawn: Layers, *, dotted: bool) -> NDArray[np.uint8]:
    """Return the radiograph with heat and outlines drawn into it, uint8 RGB [h,w,3]; dotted lines for a suspicion."""
    picture = Image.fromarray(drawn.picture).convert("RGBA")
    if drawn.heat is not None:
        heat = Image.fromarray(drawn.heat).resize(picture.size, Image.Resampling.BILINEAR)
        picture.alpha_composite(heat)
    width, height = picture.size
    pen = ImageDraw.Draw(picture)
    line = max(1.0, max(width, height) / 400)
    for polygon in drawn.outlines:
        corners = _even(polygon * (width, height), 2.5 * line if dotted else line / 2)
        # A dark rim first, so that the line shows on bright bone as well.
        for reach, colour in ((1.6 * line, (0, 0, 0)), (line, (255, 255, 255))):
            for x, y in corners.tolist():
                pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    return np.asarray(picture.convert("RGB"))


def annotation_layer(radiograph: Radiograph, limit: int = DISPLAY_LIMIT) -> NDArray[np.uint8] | None:
    """Return what a DICOM file draws over its picture as RGBA uint8 [h,w,4] of the displayed size, or None."""
    if radiograph.overlay is None:
        return None
    plane = Image.fromarray(radiograph.overlay.astype(np.uint8) * np.uint8(255))
    # Averaged rather than picked, or thin letters would break.
    plane.thumbnail((limit, limit), Image.Resampling.BOX)
    layer = np.full((plane.height, plane.width, 4), (255, 230, 90, 0), np.uint8)
    layer[..., 3] = np.asarray(plane)
    return layer


def places(heatmap: NDArray[np.float32], found: tuple[Polygon, ...]) -> tuple[Place, ...]:
    """Return the outlines that enclose something, not the holes, with the highest value inside; strongest first."""
    height, width = heatmap.shape
    told = []
    for polygon in found:
        x, y = polygon[:, 0], polygon[:, 1]
        if np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) <= 0:  # holes are traced the other way round
            continue
        mask = Image.new("1", (width, height))
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in (polygon * (width, height)).tolist()], 1, 1)
        told.append(Place(polygon, float(heatmap[np.asarray(mask)].max())))
    return tuple(sorted(told, key=lambda place: -place.score))


def display_picture(radiograph: Radiograph, limit: int = DISPLAY_LIMIT) -> NDArray[np.uint8]:
    """Return the radiograph as uint8 [h,w], its longer side at most ``limit`` px; never enlarged.

    Eight-bit pixels keep their grey values; deeper ones are shown in the window in which the model sees them.
    """
    longest = min(limit, max(radiograph.width, radiograph.height))
    if radiograph.pixels.dtype != np.uint8:
        prepared = prepare(radiograph, longest)
        place = prepared.geometry
        rows = slice(place.top, place.top + place.inner_height)
        return prepared.image[rows, place.left : place.left + place.inner_width, 0]
    picture = Image.fromarray(radiograph.pixels)
    picture.thumbnail((longest, longest), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(picture)


def heat_layer(heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a heat map [h,w] in 0..1 as RGBA uint8 [h,w,4]: hotter is lighter and more opaque.

    Values are not stretched to the picture's own maximum: a faint map looks faint.
    """
    values = np.clip(heatmap, 0.0, 1.0)
    layer = np.empty((*values.shape, 4), np.uint8)
    for channel in range(3):
        layer[..., channel] = np.rint(np.interp(values, _STOPS, _COLOURS[:, channel]))
    opacity = np.clip((values - FAINTEST) / (1.0 - FAINTEST), 0.0, 1.0) ** 0.7
    layer[..., 3] = np.rint(opacity * OPAQUEST * 255.0)
    return layer


def outlines(heatmap: NDArray[np.float32]) -> tuple[Polygon, ...]:
    """Return the outlines of the places that reach half of the map's maximum, the longest first; holes count too."""
    highest = float(heatmap.max())
    if highest < FAINTEST:
        return ()
    loops = _trace(heatmap >= highest / 2)
    scale = np.array([heatmap.shape[1], heatmap.shape[0]], np.float32)
    polygons = (_smooth(loop) / scale for loop in sorted(loops, key=len, reverse=True) if len(loop) >= 8)
    return tuple(polygon.astype(np.float32) for polygon in polygons)


def jpeg(picture: NDArray[np.uint8], quality: int = 88) -> bytes:
    """Return a grey picture uint8 [h,w] as a JPEG file without metadata."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(layer: NDArray[np.uint8]) -> bytes:
    """Return an RGBA picture uint8 [h,w,4] as a PNG file without metadata."""
    file = BytesIO()
    Image.fromarray(layer).save(file, "PNG", compress_level=4)
    return file.getvalue()


def _trace(mask: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """Return the borders of a mask as closed loops of pixel corners [K,2] (x, y), with the inside to the right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, start, end in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            following.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while following:
        corner = next(iter(following))
        loop = []
        while corner in following:
            ends = following[corner]
            loop.append(corner)
            following_corner = ends.pop()
            if not ends:
                del following[corner]
            corner = following_corner
        loops.append(np.array(loop, np.float32))
    return loops


def _smooth(loop: NDArray[np.float32], reach: int = 4) -> NDArray[np.float32]:
    """Return the loop with its pixel steps rounded off by a moving mean, and every second corner left out."""
    reach = min(reach, len(loop) // 4)
    around = sum(np.roll(loop, shift, axis=0) for shift in range(-reach, reach + 1))
    return np.asarray(around, np.float32)[::2] / np.float32(2 * reach + 1)


def _even(corners: NDArray[np.float32], step: float) -> NDArray[np.float64]:
    """Return points [M,2] at equal distances of about ``step`` along a closed polygon [K,2]."""
    closed = np.vstack([corners, corners[:1]]).astype(np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    places_along = np.linspace(0, along[-1], max(3, round(along[-1] / step)), endpoint=False)
    return np.column_stack([np.interp(places_along, along, closed[:, axis]) for axis in (0, 1)])
