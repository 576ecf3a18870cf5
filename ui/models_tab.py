"""The tab of the models: versions, states, labels, cards; and the choice of a version where the operator allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import gradio as gr

from ui import chooser, models_html
from ui.models import Models

TITLE: Final = "Models"
AS_SERVED: Final = ""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks at the versions while the tab is open."""


def version_choice(*, allowed: bool) -> gr.Radio:
    """Return the choice, to be shown by ``add_models``: a version's number, or ``AS_SERVED``."""
    return gr.Radio(
        [("As served to all", AS_SERVED)],
        value=AS_SERVED,
        label="Who reads for you",
        info="Holds for this visit: for the reader, and for a worklist begun from now on.",
        visible=allowed,
        elem_id="models-choice",
        render=False,
    )


def add_models(tabs: gr.Tabs, look: Callable[[], Models], choice: gr.Radio) -> None:
    """Put the tab behind those that are there; ``look`` never raises."""
    with tabs, gr.Tab(TITLE, id="models", elem_id="models-tab") as tab, gr.Column(elem_classes="models"):
        choice.render()
        table = chooser.lay_out("", "models-table")
        details = gr.HTML("", apply_default_css=False, elem_id="models-details")
    picked = gr.State(None)
    timer = gr.Timer(LOOK_EVERY, active=False)

    def drawn(number: int | None, chosen: str) -> tuple[str, str, object]:
        models = look()
        version = models.version(number)
        told = gr.skip() if models.fault else models_html.details(version)
        return models_html.versions(models, version), told, _choices(models, chosen)

    def pick(chosen: str, number: str) -> tuple[object, ...]:
        return int(number), *drawn(int(number), chosen)

    def watch(event: gr.SelectData) -> gr.Timer:
        return gr.Timer(active=event.value == TITLE)

    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    shown = [table, details, choice]
    tab.select(drawn, [picked, choice], shown, **quiet)
    timer.tick(drawn, [picked, choice], shown, **quiet)
    chooser.answer_choice(table, pick, [choice], [picked, *shown])
    tabs.select(watch, None, timer, trigger_mode="multiple", **quiet)
    _answer_programs(look)


def _choices(models: Models, chosen: str) -> object:
    """Return the choice among the versions that are ready; one that is gone stays as long as it is chosen."""
    if models.fault:
        return gr.skip()
    entries = [("As served to all", AS_SERVED)]
    entries += [(f"Version {v.number}" + _labels(v.labels), str(v.number)) for v in models.ready]
    if chosen not in [value for _, value in entries]:
        entries.append((f"Version {chosen} (not served now)", chosen))
    return gr.Radio(choices=entries, value=chosen)


def _labels(labels: tuple[str, ...]) -> str:
    return f" ({', '.join(labels)})" if labels else ""


def _answer_programs(look: Callable[[], Models]) -> None:
    """Give programs ``/models``: versions, states, labels and cards."""
    told = gr.JSON(label="Versions", visible=False)
    gr.Button(visible=False).click(
        lambda: look().to_dict(),
        None,
        told,
        api_name="models",
        api_description="Returns the versions of the model with their states, labels and model cards.",
    )
