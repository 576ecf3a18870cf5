"""The page around the results, as HTML: its head, its empty state, its examples and its viewer's switches."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

from ui.auth import ATTEMPTS, LOCKED_FOR
from ui.examples import Example
from ui.pictures import KEYS
from ui.signs import FAILED, LOOKS, OUTSIDE, Look, escape, icon, sentence
from ui.theme import LOGIN_CSS

NOTICE: Final = "Research software. Not a medical device."
FORMATS: Final = "JPEG, PNG, TIFF, WebP, BMP or DICOM, 8 to 16 bit"

_UP: Final = Look("up", "", "", '<circle cx="12" cy="12" r="6" fill="currentColor"/>')


def _slider(name: str, label: str, low: int, value: int) -> str:
    return (
        f'<label class="range"><span>{label}</span>'
        f'<input type="range" name="{name}" min="{low}" max="100" value="{value}">'
        f'<span class="now" aria-hidden="true">{value}</span></label>'
    )


def _switch(name: str, label: str, checked: str = " checked") -> str:
    return f'<label data-for="{name}"><input type="checkbox" name="{name}"{checked}> {label}</label>'


def _button(name: str, label: str, said: str) -> str:
    return f'<button type="button" data-do="{name}" aria-label="{said}" title="{said}">{label}</button>'


VIEWER: Final = (
    '<div class="tools" hidden>'
    "<fieldset><legend>Show</legend>"
    f"{_switch('heat', 'Heat map')}{_slider('opacity', 'Opacity', 10, 100)}"
    f"{_switch('outline', 'Outlines')}{_switch('notes', 'Notes')}{_switch('beside', 'Original')}</fieldset>"
    '<fieldset class="zooming"><legend>Zoom</legend>'
    f"{_button('out', '−', 'Zoom out')}{_button('in', '+', 'Zoom in')}{_button('fit', 'Fit', 'Fit to the window')}"
    f"{_button('full', '1:1', '1:1, the original&#39;s own pixels')}{_button('reset', 'Reset', 'Reset the viewer')}"
    "</fieldset>"
    "<fieldset><legend>Window</legend>"
    f"{_slider('brightness', 'Brightness', -100, 0)}{_slider('contrast', 'Contrast', -100, 0)}"
    f"{_switch('invert', 'Invert', '')}</fieldset>"
    "<fieldset><legend>Drag</legend>"
    '<label><input type="radio" name="drag" value="move" checked> moves</label>'
    '<label><input type="radio" name="drag" value="window"> sets window</label></fieldset>'
    '</div>${value}<p class="told" role="status"></p>'
    '<button type="button" class="fetch" data-do="fetch" hidden>Fetch again</button>'
    f'<details class="keys" hidden><summary>Keys and gestures</summary><p id="viewer-keys">{KEYS}</p></details>'
)
"""Template of the viewer; its tools act in the browser alone (``assets/viewer.js``)."""


def header() -> str:
    """Return the page's name and the notice that belongs on every screen of it."""
    return (
        "<header><h1>Osteo Synergy</h1><p>Fracture reading for limb radiographs</p>"
        f'<p class="notice"><strong>{NOTICE}</strong></p></header>'
    )


def login() -> str:
    """Return what the login page says; it brings its own style, because Gradio shows it without the page's."""
    style = LOGIN_CSS.read_text(encoding="utf-8")
    closes = f"After {ATTEMPTS} wrong passwords the login is closed to an address for {LOCKED_FOR / 60:.0f} minutes."
    return f"<style>{style}</style>Osteo Synergy, for invited readers.<br>{NOTICE}<br>{closes}"


def looking() -> str:
    """Return the header's line before the model server has been asked."""
    return '<p class="server" role="status">Looking for the model server …</p>'


def examples(entries: Sequence[Example]) -> str:
    """Return the example pictures as buttons; nothing if there are none."""
    if not entries:
        return ""
    buttons = "".join(
        f'<li><button type="button" data-index="{index}"><img alt="" src="data:image/jpeg;base64,'
        f'{base64.b64encode(entry.thumbnail).decode("ascii")}"><span>{escape(entry.title)}</span></button></li>'
        for index, entry in enumerate(entries)
    )
    return f'<section class="examples"><h2>Synthetic examples</h2><ul>{buttons}</ul></section>'


def progress(done: int, total: int, name: str) -> str:
    """Return the line that says which file is being read."""
    count = f"{done + 1} of {total}: " if total > 1 else ""
    return f'<p class="progress" role="status"><span class="pulse"></span>Reading {count}{escape(name)}</p>'


def empty() -> str:
    """Return what the page says before the first file, with the meaning of every sign it will use."""
    keys = "".join(f"<li>{icon(look)}{look.title}</li>" for look in (*LOOKS.values(), OUTSIDE))
    return (
        '<section class="empty"><h2>No radiograph yet</h2>'
        f"<p>Drop one or more limb radiographs: {FORMATS}, also packed as ZIP. Each gets a finding of its own, with a "
        "heat map of the places it rests on; several are read as one study.</p>"
        "<p>Files go to this page and its model server only, are never changed, and are deleted afterwards.</p>"
        f'<ul class="keys" aria-label="Signs">{keys}</ul></section>'
    )


def ready(model: str, version: int, *, chosen: bool = False) -> str:
    """Return the header's line for a model server that answers; ``chosen`` tells that the visitor chose the version."""
    which = f"version {version}{', your choice' if chosen else ''}"
    return f'<p class="server up" role="status">{icon(_UP)}Model {escape(model)}, {which}, ready</p>'


def not_ready(said: str) -> str:
    """Return the header's line for a model server that does not answer."""
    return f'<p class="server down" role="status">{icon(FAILED)}<span>{sentence(said)}</span></p>'
