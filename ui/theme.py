"""The look of the page: a dark, quiet reading room, the same whether the reader's system is set to light or dark."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Final

import gradio as gr

ASSETS: Final = Path(__file__).parent / "assets"
CSS: Final = [ASSETS / "page.css", ASSETS / "tabs.css"]
LOGIN_CSS: Final = ASSETS / "login.css"
VIEWER_JS: Final = ASSETS / "viewer.js"
CHOOSER_JS: Final = ASSETS / "chooser.js"
WORKLIST_JS: Final = ASSETS / "worklist.js"
COPY_JS: Final = ASSETS / "copy.js"
SAVE_JS: Final = ASSETS / "save.js"
FAVICON: Final = ASSETS / "favicon.svg"

ROOM: Final = "#0d1114"
WALL: Final = "#151b20"
RAISED: Final = "#1d252c"
LINE: Final = "#2c3740"
TEXT: Final = "#e4eaee"
QUIET: Final = "#a3b1bb"
ACCENT: Final = "#79c7c0"
DARK_ON_ACCENT: Final = "#06211f"

# Painted before the page's style sheet arrives, so that nothing ever flashes white in a dark room.
HEAD: Final = (
    f'<meta name="color-scheme" content="dark"><meta name="theme-color" content="{ROOM}">'
    f"<style>html,body{{background:{ROOM};color:{TEXT}}}</style>"
)

_COLOURS: Final = {
    "body_background_fill": ROOM,
    "background_fill_primary": WALL,
    "background_fill_secondary": ROOM,
    "body_text_color": TEXT,
    "body_text_color_subdued": QUIET,
    "block_background_fill": WALL,
    "block_border_color": LINE,
    "block_label_background_fill": WALL,
    "block_label_border_color": LINE,
    "block_label_text_color": QUIET,
    "block_title_text_color": QUIET,
    "block_info_text_color": QUIET,
    "border_color_primary": LINE,
    "border_color_accent": ACCENT,
    "color_accent_soft": RAISED,
    "input_background_fill": RAISED,
    "input_background_fill_focus": RAISED,
    "input_border_color": LINE,
    "input_border_color_focus": ACCENT,
    "input_placeholder_color": QUIET,
    "link_text_color": ACCENT,
    "link_text_color_hover": TEXT,
    "link_text_color_active": TEXT,
    "link_text_color_visited": ACCENT,
    "button_primary_background_fill": ACCENT,
    "button_primary_background_fill_hover": "#97d9d3",
    "button_primary_text_color": DARK_ON_ACCENT,
    "button_secondary_background_fill": RAISED,
    "button_secondary_background_fill_hover": LINE,
    "button_secondary_border_color": LINE,
    "button_secondary_text_color": TEXT,
    "panel_background_fill": ROOM,
    "table_even_background_fill": RAISED,
    "table_odd_background_fill": RAISED,
    "table_border_color": LINE,
    "table_row_focus": LINE,
    "table_text_color": TEXT,
    "checkbox_background_color": RAISED,
    "checkbox_background_color_selected": ACCENT,
    "checkbox_border_color": QUIET,
    "checkbox_border_color_selected": ACCENT,
    "error_background_fill": RAISED,
    "loader_color": ACCENT,
}


def reading_room() -> gr.themes.Base:
    """Return the page's theme, with the same dark colours in Gradio's light and dark mode and no outside font."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=["IBM Plex Sans", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["IBM Plex Mono", "Consolas", "Menlo", "monospace"],
    )
    known = signature(theme.set).parameters
    dark = {f"{name}_dark": value for name, value in _COLOURS.items() if f"{name}_dark" in known}
    return theme.set(**_COLOURS, **dark, color_accent=ACCENT, block_shadow="none", block_radius="6px")
