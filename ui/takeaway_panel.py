"""The part of the page that hands files out: one button a kind, for the study of the view that is being looked at.

A file is made when its button is pressed, put into Gradio's own cache, whence it is deleted as uploads are, and saved
by the browser at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import gradio as gr
from gradio.components import Component
from gradio.processing_utils import save_bytes_to_cache

from export import contract
from ui.session import Session
from ui.signs import sentence
from ui.study import Study
from ui.takeaway import DICOM, JSON, PDF, AnswerError, Kind, answers_in_dicom, make

KINDS: Final = (PDF, JSON, DICOM)
MADE_AT_ONCE: Final = 2
GONE: Final = "The study is no longer held here. Drop its files again."

SAVE_JS: Final = """(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""
"""Lets the browser save a file that has been made; in the page's own origin, so no other address is asked."""

Update = dict[Component, object]


@dataclass(frozen=True, eq=False)
class Panel:
    """The panel's parts: which study it is for, a button a kind, the file made last, and what is said of it."""

    group: gr.Column
    title: gr.HTML
    buttons: tuple[gr.Button, ...]
    file: gr.DownloadButton
    said: gr.HTML

    @property
    def changed(self) -> list[Component]:
        """The parts that ``shown`` and ``hidden`` change."""
        return [self.group, self.title, self.buttons[-1], self.said]


def lay_out() -> Panel:
    """Return the panel, hidden until there is something to take away."""
    plain = partial(gr.HTML, apply_default_css=False)
    with gr.Column(visible=False, elem_id="takeaway") as group:
        title = plain("")
        with gr.Row(elem_classes="kinds"):
            buttons = tuple(gr.Button(kind.label, size="sm", min_width=90) for kind in KINDS)
        said = plain("", elem_id="takeaway-said")
        file = gr.DownloadButton(visible=False)
    return Panel(group, title, buttons, file, said)


def hidden(panel: Panel) -> Update:
    """Return the panel hidden, as long as a study is being read."""
    return {panel.group: gr.Column(visible=False), panel.said: ""}


def shown(panel: Panel, session: Session, place: int) -> Update:
    """Return the panel for the study of the view at ``place``."""
    found = session.study_of(place)
    if found is None:
        return hidden(panel)
    number, study = found
    of = len(session.studies())
    what = f"Take study {number} of {of} away" if of > 1 else "Take away"
    return {
        panel.group: gr.Column(visible=True),
        panel.title: f"<h2>{what}</h2>",
        panel.buttons[-1]: gr.Button(visible=answers_in_dicom(study)),
        panel.said: "",
    }


def answer_events(
    panel: Panel, session: gr.State, place: gr.State, card_of: Callable[[Study], contract.ModelCard | None]
) -> None:
    """Let each button make its file of the study at ``place`` and the browser save it."""

    def made(kind: Kind, held: Session, at: int) -> Update:
        found = held.study_of(at)
        if found is None:
            return {panel.file: None, panel.said: _status(GONE)}
        _, study = found
        try:
            taken = make(kind, study, datetime.now().astimezone(), card_of(study))
        except AnswerError as error:
            return {panel.file: None, panel.said: _status(str(error))}
        cached = save_bytes_to_cache(taken.data, taken.name, panel.file.GRADIO_CACHE)
        return {panel.file: cached, panel.said: _status(f"{taken.name} has been made.")}

    for kind, button in zip(KINDS, panel.buttons, strict=True):
        button.click(
            partial(made, kind),
            [session, place],
            [panel.file, panel.said],
            concurrency_limit=MADE_AT_ONCE,
            concurrency_id="takeaway",
            show_progress_on=panel.said,
            api_visibility="private",
        ).success(None, panel.file, None, js=SAVE_JS, api_visibility="private")


def _status(text: str) -> str:
    return f'<p role="status">{sentence(text)}</p>'
