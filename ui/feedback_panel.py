"""The part of the reader that asks whether the finding is right, and the same for programs as ``/feedback``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import gradio as gr
from gradio.components import Component

from ui.feedback import LONGEST_NOTE, Feedback, FeedbackError, keep, of_reading, of_result
from ui.overlay import display_picture, png
from ui.reading import Reading
from ui.session import Session
from ui.signs import sentence

GONE: Final = "The radiograph is no longer held here. Drop its file again."
OFF: Final = "This page keeps no feedback. It is started with `--feedback FOLDER` to keep it."
CONSENT: Final = "Keep the picture too, so that the model can be checked on it. Letters burnt into it are kept with it."
KEPT: Final = "{opinion} is kept on this page's machine, {what}. The other button changes it."

Update = dict[Component, object]


@dataclass(frozen=True, eq=False)
class FeedbackPanel:
    """The panel's parts; ``folder`` is where opinions are kept, None where none are."""

    folder: Path | None
    group: gr.Column
    agree: gr.Button
    disagree: gr.Button
    note: gr.Textbox
    consent: gr.Checkbox
    said: gr.HTML

    @property
    def changed(self) -> list[Component]:
        """The parts that ``shown`` and ``hidden`` change."""
        return [self.group, self.note, self.consent, self.said]


def lay_out(folder: str | os.PathLike[str] | None) -> FeedbackPanel:
    """Return the panel, hidden until there is a finding."""
    plain = partial(gr.HTML, apply_default_css=False)
    with gr.Column(visible=False, elem_id="feedback") as group:
        plain("<h2>Is the finding right?</h2>")
        with gr.Row(elem_classes="kinds"):
            agree = gr.Button("I agree", size="sm", min_width=90, elem_id="agree")
            disagree = gr.Button("I disagree", size="sm", min_width=90, elem_id="disagree")
        note = gr.Textbox(
            label="Note, if you like (no names)", max_length=LONGEST_NOTE, lines=1, max_lines=6, elem_id="feedback-note"
        )
        consent = gr.Checkbox(label=CONSENT, value=False, elem_id="feedback-consent")
        said = plain("", elem_id="feedback-said")
    return FeedbackPanel(Path(folder) if folder is not None else None, group, agree, disagree, note, consent, said)


def hidden(panel: FeedbackPanel) -> Update:
    """Return the panel hidden, as long as something is being read."""
    return {panel.group: gr.Column(visible=False), panel.said: ""}


def shown(panel: FeedbackPanel, session: Session, place: int) -> Update:
    """Return the panel, empty, for the view at ``place``; hidden where that has no finding or nothing is kept."""
    if panel.folder is None or _reading(session, place) is None:
        return hidden(panel)
    return {panel.group: gr.Column(visible=True), panel.note: "", panel.consent: False, panel.said: ""}


def answer_events(panel: FeedbackPanel, session: gr.State, place: gr.State) -> None:
    """Let the buttons keep an opinion on the view at ``place``; programs give theirs by ``/feedback``."""

    def given(agrees: bool, held: Session, at: int, note: str, consent: bool, visit: str | None) -> str:
        reading = _reading(held, at)
        if reading is None or panel.folder is None:
            return _status(GONE)
        opinion = of_reading(reading, visit or "", agrees=agrees, note=note)
        try:
            keep(panel.folder, opinion, png(display_picture(reading.radiograph)) if consent else None)
        except FeedbackError as error:
            return _status(str(error))
        what = "with the picture" if consent else "without the picture"
        return _status(KEPT.format(opinion="That you agree" if agrees else "That you disagree", what=what))

    def agreed(held: Session, at: int, note: str, consent: bool, request: gr.Request) -> str:
        return given(True, held, at, note, consent, request.session_hash)

    def disagreed(held: Session, at: int, note: str, consent: bool, request: gr.Request) -> str:
        return given(False, held, at, note, consent, request.session_hash)

    inputs = [session, place, panel.note, panel.consent]
    for button, answer in ((panel.agree, agreed), (panel.disagree, disagreed)):
        button.click(answer, inputs, panel.said, show_progress="hidden", api_visibility="private")
    _answer_programs(panel.folder)


def _answer_programs(folder: Path | None) -> None:
    def answer(result: object, agrees: bool, note: str) -> dict[str, object]:
        if folder is None:
            raise gr.Error(OFF.replace("`", ""), print_exception=False)
        try:
            opinion: Feedback = of_result(result, agrees=agrees, note=note)
            keep(folder, opinion)
        except FeedbackError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return {"kept": True, "reading": opinion.reading, "model": opinion.model, "version": opinion.version}

    result = gr.JSON(label="A result as /read gives it", visible=False)
    agrees = gr.Checkbox(label="Whether it is right", visible=False)
    note = gr.Textbox("", label="Note", visible=False)
    told = gr.JSON(label="What was kept", visible=False)
    gr.Button(visible=False).click(
        answer,
        [result, agrees, note],
        told,
        api_name="feedback",
        api_description="Keeps agreement or disagreement with one result of /read, without the picture.",
    )


def _reading(session: Session, place: int) -> Reading | None:
    """Return the reading of the view at ``place``; None where it has no finding that anybody could agree with."""
    result = session.entries[place].result if 0 <= place < len(session.entries) else None
    return result if isinstance(result, Reading) and not result.outside_scope else None


def _status(text: str) -> str:
    return f'<p role="status">{sentence(text)}</p>'
