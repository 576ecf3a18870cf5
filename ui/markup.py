"""Results as HTML: pure functions from typed results to text, every foreign word escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from export import contract
from radiograph import Radiograph
from serving.answer import Prediction
from ui.pictures import View, view_of
from ui.reading import Failure, Reading, Result
from ui.signs import FAILED, LOOKS, OUTSIDE, Look, escape, icon, look_of, sentence
from ui.study import Study
from ui.words import count, meaning, operating_point, percent, version_words


@dataclass(frozen=True)
class Shown:
    """One result as the page shows it: ``card`` is HTML, ``probability`` text, ``view`` the picture, if any."""

    file: str
    look: Look
    probability: str
    card: str
    view: View | None


def show(result: Result, card: contract.ModelCard | None = None, whole: Radiograph | None = None) -> Shown:
    """Return what the page shows of a result; ``card`` tells what its probability meant in the test set.

    ``whole`` is the radiograph as it was read, where the result holds a smaller picture of it.
    """
    look = look_of(result)
    if isinstance(result, Failure):
        return Shown(result.file, look, "–", _card(result.file, look, result.error, ""), None)
    probability = "–" if result.outside_scope else percent(result.prediction.probability)
    said = _card(result.file, look, look.sentence, _figures(result, card))
    return Shown(result.file, look, probability, said, view_of(result, look, probability, whole or result.radiograph))


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
