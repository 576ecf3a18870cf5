"""The tab with ready code for this server and this page."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from serving.client import ServingError
from ui import theme
from ui.readers import Readers
from ui.settings import PageSettings
from ui.signs import escape, sentence
from ui.snippets import FUNCTIONS, Snippet, Where, rest_address, snippets


def add_code(tabs: gr.Tabs, settings: PageSettings, readers: Readers, choice: gr.Radio) -> None:
    """Put the tab behind those that are there; its code names the version that reads for the visitor."""
    with tabs, gr.Tab("Code", id="code", elem_id="code-tab") as tab, gr.Column(elem_classes="code"):
        script = theme.COPY_JS.read_text(encoding="utf-8")
        shown = gr.HTML("", js_on_load=script, apply_default_css=False, elem_id="code")

    def draw(chosen: str, request: gr.Request) -> str:
        try:
            version = readers.info(chosen).version
        except ServingError as error:
            return f'<p class="fault" role="status">{sentence(str(error))}</p>'
        login = not settings.open_to_all and bool(settings.share or settings.user or settings.password)
        page = str(request.request.base_url).rstrip("/")
        return _html(
            snippets(Where(settings.server, rest_address(settings), page, settings.model, version, login)),
            rest_assumed=settings.rest is None,
        )

    tab.select(draw, choice, shown, queue=False, show_progress="hidden", api_visibility="private")


def _html(entries: Sequence[Snippet], *, rest_assumed: bool) -> str:
    """Return the examples, what all of them have in common, and the functions of the page."""
    assumed = (
        " The REST address is the usual one beside gRPC; the operator can name another with <code>--rest</code>."
        if rest_assumed
        else ""
    )
    functions = "".join(f"<dt>{name}</dt><dd>{sentence(told)}</dd>" for name, told in FUNCTIONS.items())
    return (
        "<p>Each example reads <code>radiograph.jpg</code>. Addresses of the model server are as this page’s machine "
        f"sees them.{assumed} The version is fixed, so that answers can be repeated; leave it out to follow what is "
        "served.</p>"
        f"{''.join(map(_section, entries))}"
        f'<section aria-label="Functions"><h2>Functions of this page</h2><dl>{functions}</dl></section>'
    )


def _section(entry: Snippet) -> str:
    return (
        f'<section aria-label="{escape(entry.title)}"><h2>{escape(entry.title)}</h2><p>{escape(entry.note)}</p>'
        f'<div class="snippet" data-name="{entry.name}"><pre tabindex="0" class="{entry.language}"><code>'
        f'{escape(entry.code)}</code></pre><button type="button">Copy</button></div></section>'
    )
