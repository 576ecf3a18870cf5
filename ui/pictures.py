"""Radiographs as the viewer shows them: heat map, outlines with their scores and drawn notes in layers of their own.

Everything stands inside the page, so looking at it asks nobody for anything. What zooms, moves and sets the window is
``assets/viewer.js``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from radiograph import Radiograph
from ui.overlay import Layers, Place, Polygon, annotation_layer, jpeg, layers, png
from ui.reading import Reading
from ui.signs import Look, escape, icon

NO_PICTURE: Final = '<section class="empty bare"><p>There is no picture to show for this file.</p></section>'
KEYS: Final = (
    "Wheel or pinch zooms, dragging moves the picture; with Shift it sets the window: up is brighter, right has more "
    "contrast. Keys: + and − zoom, arrows move, 0 fits, 1 shows the original's pixels, I inverts, H heat map, "
    "O outlines, R resets."
)


@dataclass(frozen=True, eq=False)
class View:
    """One radiograph with its layers, ready for the viewer.

    ``size`` is that of the shown picture (px), ``full`` that of the file's; ``deep`` tells that the file holds more
    than 8 bits. ``picture``, ``heat`` and ``notes`` are data URIs; ``outline`` is SVG.
    """

    file: str
    look: Look
    probability: str
    size: tuple[int, int]
    full: tuple[int, int]
    deep: bool
    picture: str
    heat: str | None
    notes: str | None
    outline: str
    places: tuple[Place, ...]


def view_of(reading: Reading, look: Look, probability: str, whole: Radiograph) -> View:
    """Return a reading for the viewer; ``whole`` is the radiograph as it was read, with what was drawn over it."""
    drawn = layers(reading)
    notes = annotation_layer(whole)
    return View(
        reading.file,
        look,
        probability,
        drawn.size,
        (whole.width, whole.height),
        whole.bits > 8,
        _data_uri(jpeg(drawn.picture), "jpeg"),
        None if drawn.heat is None else _data_uri(png(drawn.heat), "png"),
        None if notes is None else _data_uri(png(notes), "png"),
        _outline(drawn, look.kind),
        drawn.places,
    )


def alone(view: View | None, place: int) -> str:
    """Return the viewer's content for one view of the session: marked, and beside it the original."""
    if view is None:
        return NO_PICTURE
    figures = _marked(view, place, "With the model's heat map" if view.heat else "Radiograph")
    if view.heat:
        figures += _original(view, place)
    return f'<div class="pictures">{figures}</div>{_regions(view, place)}'


def side_by_side(views: Sequence[tuple[int, View]]) -> str:
    """Return the viewer's content for several views of a study, each with its place in the session."""
    figures = "".join(
        _marked(view, place, f"{icon(view.look)} {escape(view.file)}: {view.look.title}, {view.probability}")
        for place, view in views
    )
    return f'<div class="pictures several">{figures}</div>'


def _marked(view: View, place: int, caption: str) -> str:
    marks = f" {len(view.places)} outlined." if view.places else ""
    layers = f" with the model's heat map. {view.look.title}.{marks}" if view.heat else ""
    over = f'<img class="heat" alt="" src="{view.heat}">' if view.heat else ""
    over += f'<img class="notes" alt="" src="{view.notes}">' if view.notes else ""
    return _figure(
        view, place, "marked", f"Radiograph {view.file}{layers}", f"{over}{view.outline}{_scores(view)}", caption
    )


def _original(view: View, place: int) -> str:
    return _figure(view, place, "original", f"Radiograph {view.file}, original", "", "Original")


def _figure(view: View, place: int, kind: str, label: str, over: str, caption: str) -> str:
    (width, height), (full_width, full_height) = view.size, view.full
    # The original beside it gets its picture from the marked one, so that nothing is sent twice.
    source = f' src="{view.picture}"' if kind == "marked" else ""
    name = "radiograph" if kind == "marked" else "copy"
    return (
        f'<figure class="view {kind}" data-place="{place}" data-full="{full_width},{full_height}"'
        f'{" data-deep" if view.deep else ""} style="--w:{width};--h:{height}">'
        f'<div class="frame" tabindex="0" role="group" aria-label="{escape(f"Move and zoom {view.file}, {kind}")}" '
        'aria-describedby="viewer-keys">'
        f'<div class="stack" role="img" aria-label="{escape(label)}">'
        f'<img class="{name}" alt=""{source}><canvas class="pixels" hidden></canvas>{over}</div></div>'
        f'<figcaption>{caption}<output class="zoom"></output></figcaption></figure>'
    )


def _scores(view: View) -> str:
    labels = []
    for number, place in enumerate(view.places, 1):
        top = place.outline[place.outline[:, 1].argmin()]
        bottom = place.outline[place.outline[:, 1].argmax()]
        # Above the outline, but below it where there is no room above.
        below = float(top[1]) < 0.06
        x, y = (bottom if below else top).tolist()
        labels.append(
            f'<span class="score{" below" if below else ""}" aria-hidden="true" '
            f'style="left:{100 * min(max(x, 0.06), 0.94):.2f}%;top:{100 * y:.2f}%">{number} · {place.score:.2f}</span>'
        )
    return "".join(labels)


def _regions(view: View, place: int) -> str:
    """Return a button for each outlined region, which shows it large; nothing where there is none."""
    if not view.places:
        return ""
    line = "solid" if view.look.kind == "fracture" else "dotted"
    buttons = "".join(
        f'<li><button type="button" class="region" data-place="{place}" data-box="{_box(found.outline)}">'
        f"Region {number}, {line} outline, score {found.score:.2f}</button></li>"
        for number, found in enumerate(view.places, 1)
    )
    return (
        f'<div class="regions"><h3>Outlined regions</h3><ul>{buttons}</ul>'
        "<p>The score is the heat map's highest value inside, from 0 to 1.</p></div>"
    )


def _box(outline: Polygon) -> str:
    (left, top), (right, bottom) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    return f"{left:.4f},{top:.4f},{right:.4f},{bottom:.4f}"


def _outline(drawn: Layers, kind: str) -> str:
    if not drawn.outlines:
        return ""
    width, height = drawn.size
    scaled = (polygon * (width, height) for polygon in drawn.outlines)
    path = " ".join("M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z" for corners in scaled)
    return (
        f'<svg class="outline {kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="halo" d="{path}"/><path class="line" d="{path}"/></svg>'
    )


def _data_uri(file: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode('ascii')}"
