"""The question that a file of several frames or pages puts to the reader: which one is to be read?

It stays below the answer, so that another frame of the same file can be read next.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from typing import Final

import gradio as gr
from gradio.components import Component

from radiograph import RadiographError, read
from ui.archive import ArchiveError
from ui.overlay import display_picture, jpeg
from ui.session import Session
from ui.signs import escape, sentence
from ui.sources import Source

PREVIEW: Final = 360
"""Longest side (px) of the frame that is shown before it is read."""
PREVIEWS_AT_ONCE: Final = 2
GONE: Final = "The file is no longer held here. Drop it again."

Update = dict[Component, object]


@dataclass(frozen=True, eq=False)
class FrameQuestion:
    """The question's parts: what is asked, which frame, how that looks, and the button that reads it."""

    group: gr.Column
    asked: gr.HTML
    frame: gr.Slider
    picture: gr.HTML
    read: gr.Button

    @property
    def changed(self) -> list[Component]:
        """The parts that ``shown`` and ``hidden`` change."""
        return [self.group, self.asked, self.frame, self.picture]


def lay_out() -> FrameQuestion:
    """Return the question, hidden until a file has several frames."""
    plain = partial(gr.HTML, apply_default_css=False)
    with gr.Column(visible=False, elem_id="frames") as group:
        asked = plain("", elem_id="frames-asked")
        frame = gr.Slider(1, 2, 1, step=1, label="Frame", elem_id="frames-number", buttons=[])
        picture = plain("", elem_id="frames-picture")
        button = gr.Button("Read this frame", size="sm", variant="primary", elem_id="frames-read")
    return FrameQuestion(group, asked, frame, picture, button)


def hidden(question: FrameQuestion) -> Update:
    """Return the question hidden, as long as something is being read."""
    return {question.group: gr.Column(visible=False), question.picture: ""}


def shown(question: FrameQuestion, session: Session, place: int) -> Update:
    """Return the question for the view at ``place``, hidden where its file holds one picture."""
    source = of_several(session, place)
    if source is None or source.frames is None:
        return hidden(question)
    asked = "Which one is to be read?" if source.frame is None else f"Frame {source.frame} was read. Another one?"
    number = source.frame or 1
    return {
        question.group: gr.Column(visible=True),
        question.asked: f'<p role="status"><strong>This file holds {source.frames} frames.</strong> {asked}</p>',
        question.frame: gr.Slider(1, source.frames, number),
        question.picture: preview(chosen(source, number)),
    }


def answer_events(question: FrameQuestion, session: gr.State, place: gr.State) -> None:
    """Show each frame that is pointed at; what reads it is the page's own."""

    def look(held: Session, at: int, number: float | None) -> str:
        source = of_several(held, at)
        return preview(chosen(source, number)) if source else ""

    question.frame.input(
        look,
        [session, place, question.frame],
        question.picture,
        concurrency_limit=PREVIEWS_AT_ONCE,
        concurrency_id="previews",
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
    )


def of_several(session: Session, place: int) -> Source | None:
    """Return where the view at ``place`` comes from, if its file holds several frames and all views were read."""
    if not session.whole or not 0 <= place < len(session.entries):
        return None
    origin = session.entries[place].origin
    return origin if isinstance(origin, Source) and origin.frames else None


def chosen(source: Source, number: float | None) -> Source:
    """Return the frame of ``source`` that a reader typed or slid to, the nearest where there is no such frame."""
    return source.at_frame(min(max(round(number or 1), 1), source.frames or 1))


def preview(source: Source) -> str:
    """Return the frame that ``source`` names as a small picture in HTML, or a sentence on why there is none."""
    try:
        picture = jpeg(display_picture(read(source.content(), frame=source.frame), PREVIEW))
    except RadiographError as error:
        return f'<p class="fault">{sentence(error.sentence)}</p>'
    except ArchiveError:
        return f'<p class="fault">{sentence(GONE)}</p>'
    said = escape(f"Frame {source.frame} of {source.frames}")
    return f'<img alt="{said}" src="data:image/jpeg;base64,{base64.b64encode(picture).decode("ascii")}">'
