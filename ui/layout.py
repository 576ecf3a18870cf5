"""The parts of the page and where they stand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import gradio as gr

from ui import chooser, feedback_panel, frame, frame_question, takeaway_panel, viewer_panel
from ui.examples import Example
from ui.feedback_panel import FeedbackPanel
from ui.frame_question import FrameQuestion
from ui.session import Session, Turn
from ui.takeaway_panel import Panel
from ui.viewer_panel import Viewer


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of the page that events read or change."""

    server: gr.HTML
    tabs: gr.Tabs
    upload: gr.File
    examples: gr.HTML
    progress: gr.HTML
    study: gr.HTML
    results: gr.HTML
    again: gr.Button
    card: gr.HTML
    viewer: Viewer
    session: gr.State
    place: gr.State
    turn: gr.State
    takeaway: Panel
    feedback: FeedbackPanel
    question: FrameQuestion


def lay_out(examples: Sequence[Example], feedback_folder: str | os.PathLike[str] | None) -> Parts:
    """Lay the page out but for the tabs behind the reader; nothing on it answers yet."""
    plain = partial(gr.HTML, apply_default_css=False)
    with gr.Row(elem_classes="top"):
        plain(frame.header(), elem_id="head")
        server = plain(frame.looking(), elem_id="server")
    tabs = gr.Tabs(selected="reader", elem_id="tabs")
    with tabs, gr.Tab("Reader", id="reader"), gr.Row(elem_classes="room"):
        with gr.Column(scale=0, min_width=320, elem_classes="desk"):
            upload = gr.File(label="Radiographs", file_count="multiple", height=132, elem_id="upload")
            progress = plain("", elem_id="progress")
            study = plain("", elem_id="study")
            card = plain("", elem_id="card")
            question = frame_question.lay_out()
            again = gr.Button("Try again", visible=False, elem_id="again")
            takeaway = takeaway_panel.lay_out()
            feedback = feedback_panel.lay_out(feedback_folder)
            results = chooser.lay_out("", "results")
            shown_examples = chooser.lay_out(frame.examples(examples), "examples")
        with gr.Column(scale=1, min_width=320, elem_classes="lightbox"):
            viewer = viewer_panel.lay_out()
    return Parts(
        server,
        tabs,
        upload,
        shown_examples,
        progress,
        study,
        results,
        again,
        card,
        viewer,
        gr.State(Session(), time_to_live=3600),
        gr.State(0),
        gr.State(Turn()),
        takeaway,
        feedback,
        question,
    )
