"""Lists of buttons of which one is chosen, and what answers the choice.

The choice is read from the page when the question is sent, not carried by the event: of an event that comes while one
before is being answered Gradio keeps the inputs alone. A choice that got lost would mark one row and show the finding
of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import gradio as gr
from gradio.components import Component

from ui import theme

_CHOICE_FROM_PAGE: Final = (
    "(...inputs) => [...inputs.slice(0, -1), document.querySelector(':is(#{id}, #{id} *)[data-chosen]').dataset.chosen]"
)


def lay_out(value: str, elem_id: str) -> gr.HTML:
    """Put the list ``value``, HTML with ``data-index`` at its buttons, where the page stands; the last click counts."""
    script = theme.CHOOSER_JS.read_text(encoding="utf-8")
    return gr.HTML(value, js_on_load=script, apply_default_css=False, elem_id=elem_id)


def answer_choice(
    choices: gr.HTML, answer: Callable[..., object], inputs: Sequence[Component], outputs: Sequence[Component]
) -> None:
    """Let ``answer`` take the inputs and, as text, the choice made last; choices meanwhile are answered after it."""
    choices.select(
        answer,
        [*inputs, gr.Textbox(visible=False)],
        outputs,
        js=_CHOICE_FROM_PAGE.replace("{id}", str(choices.elem_id)),
        trigger_mode="always_last",
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
