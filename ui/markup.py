"""Results as HTML: pure functions from typed results to text, every foreign word escaped.

Finding, colour, shape and outline always go together, so that none of them is needed to understand the others.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from export import contract
from serving.answer import Prediction
from ui.overlay import Layers, Polygon, jpeg, layers, png
from ui.reading import OUTSIDE_SCOPE, Failure, Reading, Result
from ui.study import Study
from ui.words import count, meaning, operating_point, percent, version_words


@dataclass(frozen=True)
class Look:
    """How one kind of result is shown: ``kind`` names its colours in the style sheet, ``icon`` its shape (SVG)."""

    kind: str
    title: str
    sentence: str
    icon: str


@dataclass(frozen=True)
class Shown:
    """One result as the page shows it: ``card`` and ``pictures`` are HTML, ``probability`` is text."""

    file: str
    look: Look
    probability: str
    card: str
    pictures: str


_FRACTURE_ICON: Final = '<path d="M12 1 23 12 12 23 1 12Z" fill="currentColor"/>'
_SUSPICION_ICON: Final = (
    '<path d="M12 2.5 22.5 21.5 1.5 21.5Z" fill="none" stroke="currentColor" stroke-width="2.4" '
    'stroke-dasharray="0.1 4.4" stroke-linecap="round"/>'
)
_CLEAR_ICON: Final = '<circle cx="12" cy="12" r="10" fill="none" stroke="currentColor" stroke-width="2"/>'
_OUTSIDE_ICON: Final = (
    '<path d="M2.5 2.5h19v19h-19ZM2.5 21.5 21.5 2.5" fill="none" stroke="currentColor" stroke-width="2"/>'
)
_FAILURE_ICON: Final = '<path d="M4 4 20 20M20 4 4 20" stroke="currentColor" stroke-width="3.2"/>'

LOOKS: Final = {
    contract.FRACTURE: Look(
        "fracture", "Fracture", "The model sees signs of a fracture. Solid outlines show where.", _FRACTURE_ICON
    ),
    contract.SUSPICION: Look(
        "suspicion",
        "Suspicion of fracture",
        "The model cannot rule a fracture out. Dotted outlines show where to look.",
        _SUSPICION_ICON,
    ),
    contract.NO_FRACTURE: Look(
        "clear", "No fracture seen", "The model sees no fracture. That does not exclude one.", _CLEAR_ICON
    ),
}
OUTSIDE: Final = Look("outside", "No finding given", OUTSIDE_SCOPE, _OUTSIDE_ICON)
FAILED: Final = Look("failed", "Not read", "", _FAILURE_ICON)


NO_PICTURE: Final = '<section class="empty bare"><p>There is no picture to show for this file.</p></section>'


def escape(text: str) -> str:
    """Return foreign text safe inside HTML, its attributes, and the page's own text templates."""
    safe = html.escape(text)
    for character in "{}$`":
        safe = safe.replace(character, f"&#{ord(character)};")
    return safe


def sentence(text: str) -> str:
    """Return a sentence of this program as HTML, its commands (between backquotes) set as such."""
    return re.sub("&#96;(.+?)&#96;", r"<code>\1</code>", escape(text))


def look_of(result: Result) -> Look:
    """Return how a result is shown; outside the model's scope no finding is, whatever was served."""
    if isinstance(result, Failure):
        return FAILED
    return OUTSIDE if result.outside_scope else LOOKS[result.prediction.finding]


def icon(look: Look) -> str:
    """Return the shape of a result; it only repeats the words beside it, so screen readers skip it."""
    return f'<svg class="icon {look.kind}" viewBox="0 0 24 24" aria-hidden="true">{look.icon}</svg>'


def show(result: Result, card: contract.ModelCard | None = None) -> Shown:
    """Return what the page shows of a result; ``card`` tells what its probability meant in the test set."""
    look = look_of(result)
    if isinstance(result, Failure):
        return Shown(result.file, look, "–", _card(result.file, look, result.error, ""), NO_PICTURE)
    probability = "–" if result.outside_scope else percent(result.prediction.probability)
    said = _card(result.file, look, look.sentence, _figures(result, card))
    return Shown(result.file, look, probability, said, _pictures(result.file, look, layers(result)))


def study_cards(read: Sequence[Study]) -> str:
    """Return the finding of each study with its reason; nothing for one file of which there is nothing more to say."""
    if len(read) == 1 and len(read[0].results) == 1 and not read[0].remarks:
        return ""
    return "".join(_study_card(study, number, len(read)) for number, study in enumerate(read, 1))


def _study_card(study: Study, number: int, studies: int) -> str:
    look = LOOKS[study.finding] if study.finding else OUTSIDE if study.readings else FAILED
    name = f"Study {number} of {studies}" if studies > 1 else "Study"
    views = ", ".join(result.file for result in study.results)
    # The remarks concern all studies that were given together, so they are said once.
    remarks = "".join(f"<li>{sentence(remark)}</li>" for remark in study.remarks) if number == 1 else ""
    return (
        f'<section class="card study {look.kind}" aria-label="{name}">'
        f'<p class="file">{name}, {count(len(study.results), "file")}{f": {escape(views)}" if studies > 1 else ""}</p>'
        f"<h2>{icon(look)}<span>{look.title}</span></h2>"
        f'<p class="sentence">{sentence(study.reason)}</p>'
        f"{f'<ul class=warnings aria-label=Remarks>{remarks}</ul>' if remarks else ''}</section>"
    )


def table(shown: Sequence[Shown]) -> str:
    """Return the results as a table whose rows can be chosen; nothing for less than two."""
    if len(shown) < 2:
        return ""
    rows = "".join(
        f'<tr><td><button type="button" data-index="{index}">{escape(entry.file)}</button></td>'
        f'<td><span class="with-icon">{icon(entry.look)}{entry.look.title}</span></td>'
        f'<td class="number">{entry.probability}</td></tr>'
        for index, entry in enumerate(shown)
    )
    return (
        f'<table class="results"><caption>{len(shown)} files</caption><thead><tr><th scope="col">File</th>'
        f'<th scope="col">Finding</th><th scope="col" class="number">Probability</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _card(file: str, look: Look, said: str, figures: str) -> str:
    return (
        f'<section class="card {look.kind}" aria-label="Finding">'
        f'<p class="file">{escape(file)}</p>'
        f"<h2>{icon(look)}<span>{look.title}</span></h2>"
        f'<p class="sentence">{sentence(said)}</p>{figures}</section>'
    )


def _pictures(file: str, look: Look, drawn: Layers) -> str:
    """Return the radiograph with heat layer and outlines, and a place for the original beside it."""
    width, height = drawn.size
    lying = " lying" if width > 1.15 * height else ""
    pictures = f'class="pictures{lying}" style="--w:{width};--h:{height}"'
    radiograph = f'src="{_data_uri(jpeg(drawn.picture), "jpeg")}"'
    if drawn.heat is None:
        alone = f'<div class="stack"><img class="radiograph" alt="{escape(f"Radiograph {file}")}" {radiograph}></div>'
        return f"<div {pictures}><figure>{alone}</figure></div>"
    label = f"Radiograph {file} with the model's heat map. {look.title}."
    return (
        f"<div {pictures}>"
        f'<figure class="marked"><div class="stack" role="img" aria-label="{escape(label)}">'
        f'<img class="radiograph" alt="" {radiograph}>'
        f'<img class="heat" alt="" src="{_data_uri(png(drawn.heat), "png")}">'
        f"{_outline(drawn.outlines, look.kind, width, height)}</div>"
        "<figcaption>With the model's heat map</figcaption></figure>"
        f'<figure class="original"><div class="stack"><img class="copy" alt="{escape(f"Radiograph {file}")}"></div>'
        "<figcaption>Original</figcaption></figure></div>"
    )


def _figures(reading: Reading, card: contract.ModelCard | None) -> str:
    prediction = reading.prediction
    scale = "" if reading.outside_scope else _scale(reading)
    # The first warning of a picture outside the model's scope is the card's own sentence.
    shown = reading.warnings[1:] if reading.outside_scope else reading.warnings
    warnings = "".join(f"<li>{sentence(warning)}</li>" for warning in shown)
    meanings = "" if reading.outside_scope or card is None else _meanings(prediction, card)
    limit = f"{contract.NOVELTY_LIMIT:g}"
    return (
        f"{scale}{meanings}"
        f"{f'<ul class=warnings aria-label=Warnings>{warnings}</ul>' if warnings else ''}"
        '<dl class="facts">'
        f"<div><dt>Model</dt><dd>{escape(prediction.model)}, {escape(version_words(prediction))}</dd></div>"
        f"<div><dt>Novelty</dt><dd>{prediction.novelty:.2f} (limit {limit})</dd></div>"
        f"<div><dt>Time</dt><dd>{reading.milliseconds:.0f} ms</dd></div></dl>"
    )


def _meanings(prediction: Prediction, card: contract.ModelCard) -> str:
    said = (meaning(prediction.probability, card), operating_point(prediction.finding, card))
    return "".join(f'<p class="meaning">{sentence(text)}</p>' for text in said if text)


def _scale(reading: Reading) -> str:
    prediction = reading.prediction
    suspicion, fracture = prediction.suspicion_threshold, prediction.fracture_threshold
    label = (
        f"Probability {percent(prediction.probability)}. "
        f"Suspicion from {percent(suspicion)}, fracture from {percent(fracture)}."
    )
    return (
        f'<div class="probability" role="img" aria-label="{label}">'
        f'<p class="value"><strong>{percent(prediction.probability)}</strong> probability</p>'
        f'<div class="scale" style="--p:{prediction.probability:.4f};--s:{suspicion:.4f};--f:{fracture:.4f}">'
        '<i class="bar"></i><i class="tick suspicion"></i><i class="tick fracture"></i><i class="mark"></i></div>'
        f'<p class="legend"><span><i class="tick suspicion"></i>suspicion from {percent(suspicion)}</span>'
        f'<span><i class="tick fracture"></i>fracture from {percent(fracture)}</span></p></div>'
    )


def _outline(polygons: Sequence[Polygon], kind: str, width: int, height: int) -> str:
    if not polygons:
        return ""
    scaled = (polygon * (width, height) for polygon in polygons)
    path = " ".join("M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z" for corners in scaled)
    return (
        f'<svg class="outline {kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="halo" d="{path}"/><path class="line" d="{path}"/></svg>'
    )


def _data_uri(file: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode('ascii')}"
