"""The part of the page that shows radiographs: one view with its original, or the views of a study side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import gradio as gr
from gradio.components import Component
from gradio.processing_utils import save_bytes_to_cache

from radiograph import RadiographError, read
from ui import frame, pictures, theme
from ui.archive import ArchiveError
from ui.pictures import View
from ui.pixels import packed
from ui.session import Session
from ui.sources import Source

MOST_BESIDE: Final = 6
"""Views side by side; more would be too small to judge."""
SENT_AT_ONCE: Final = 2

GIVE_JS: Final = """(file, ask) => document.dispatchEvent(new CustomEvent("osteo-pixels", { detail: { file, ask } }))"""
"""Hands the original's pixels to the viewer."""
FAILED_JS: Final = """() => document.dispatchEvent(new CustomEvent("osteo-no-pixels"))"""
"""Tells the viewer that its question failed."""

Update = dict[Component, object]


@dataclass(frozen=True, eq=False)
class Viewer:
    """The viewer's parts: the pictures, the button that shows a study side by side, the pixels sent last and for what.

    ``ask`` is the number of the viewer's question that ``pixels`` answer.
    """

    html: gr.HTML
    beside: gr.Button
    pixels: gr.DownloadButton
    ask: gr.Number

    @property
    def changed(self) -> list[Component]:
        """The parts that ``shown`` changes."""
        return [self.html, self.beside]


def lay_out() -> Viewer:
    """Return the viewer as it is before the first file."""
    beside = gr.Button("Views of the study side by side", visible=False, size="sm", elem_id="beside")
    html = gr.HTML(
        frame.empty(),
        html_template=frame.VIEWER,
        js_on_load=theme.VIEWER_JS.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="viewer",
    )
    return Viewer(html, beside, gr.DownloadButton(visible=False), gr.Number(visible=False, precision=0))


def shown(viewer: Viewer, session: Session, place: int) -> Update:
    """Return the viewer with the view at ``place``."""
    return {viewer.html: pictures.alone(session.entries[place].shown.view, place), **offered(viewer, session, place)}


def offered(viewer: Viewer, session: Session, place: int) -> Update:
    """Return the button for the study's views, there where a study was read that has several."""
    return {viewer.beside: gr.Button(visible=len(_views(session, place)) > 1)}


def answer_events(viewer: Viewer, session: gr.State, place: gr.State) -> None:
    """Show a study's views side by side when asked to, and send the original's pixels when the viewer wants them."""

    def beside(held: Session, at: int) -> Update:
        views = _views(held, at)[:MOST_BESIDE]
        return {viewer.html: pictures.side_by_side(views), viewer.beside: gr.Button(visible=False)}

    def wanted(held: Session, event: gr.EventData) -> tuple[str | None, int]:
        at, ask = int(event.index), int(event.ask)
        origin = held.entries[at].origin if 0 <= at < len(held.entries) else None
        if not isinstance(origin, Source):
            return None, ask
        try:
            data = packed(read(origin.content(), frame=origin.frame))
        except (RadiographError, ArchiveError):  # deleted meanwhile; the viewer says so
            return None, ask
        return save_bytes_to_cache(data, "pixels.bin", viewer.pixels.GRADIO_CACHE), ask

    viewer.beside.click(beside, [session, place], [viewer.html, viewer.beside], api_visibility="private")
    sent = viewer.html.download(
        wanted,
        session,
        [viewer.pixels, viewer.ask],
        concurrency_limit=SENT_AT_ONCE,
        concurrency_id="pixels",
        trigger_mode="multiple",  # a question may be put again while the one before hangs
        show_progress="hidden",
        api_visibility="private",
    )
    sent.success(None, [viewer.pixels, viewer.ask], None, js=GIVE_JS, api_visibility="private")
    sent.failure(None, None, None, js=FAILED_JS, api_visibility="private")


def _views(session: Session, place: int) -> list[tuple[int, View]]:
    """Return the views of the study of the view at ``place`` that have pictures, with their places."""
    found = session.study_of(place)
    if found is None:
        return []
    results = found[1].results
    return [
        (at, entry.shown.view)
        for at, entry in enumerate(session.entries)
        if entry.shown.view and any(entry.result is result for result in results)
    ]
