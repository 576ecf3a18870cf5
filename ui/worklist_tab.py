"""The worklist's tab: its layout and its events, and the same list for programs as ``/worklist``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import gradio as gr
from gradio.components import Component

from ui import chooser, theme, worklist_html
from ui.reading import Result
from ui.sources import Source, study_id, unpack
from ui.worklist import COLUMNS, Progress, Worklist

LISTS_AT_ONCE: Final = 2
"""Worklists read at the same time; the next one waits in line. Files given to the reader are not held up by them."""
ASKED_VERSION: Final = "Version; 0 is the one served to all"
DRAW_EVERY: Final = 0.7
"""Seconds between two drawings of a growing list."""

Read = Callable[[Source, str, str], Result]
"""Reads one source of a study with the version of a choice; never raises."""
Update = dict[Component, object]


@dataclass(frozen=True, eq=False)
class WorklistParts:
    """What the page needs of the tab: a click on ``table`` is a row to open, ``state`` holds the ``Worklist``."""

    table: gr.HTML
    state: gr.State


@dataclass(frozen=True, eq=False)
class _Parts:
    upload: gr.File
    progress: gr.HTML
    summary: gr.HTML
    table: gr.HTML
    cancel: gr.Button
    proceed: gr.Button
    download: gr.Button
    clear: gr.Button
    state: gr.State
    csv: gr.Textbox

    @property
    def drawn(self) -> list[Component]:
        return [
            self.upload, self.progress, self.summary, self.table, self.cancel, self.proceed, self.download, self.clear,
            self.state,
        ]  # fmt: skip


def add_worklist(tabs: gr.Tabs, read: Read, choice: gr.Radio) -> WorklistParts:
    """Put the tab behind those that are there; ``read`` reads its files with the version of the ``choice``."""
    with tabs, gr.Tab("Worklist", id="worklist", elem_id="worklist-tab"):
        parts = _layout()
    _answer_events(parts, read, choice)
    _answer_programs(read)
    return WorklistParts(parts.table, parts.state)


def listed(paths: Sequence[str] | None, choice: str, worklist: Worklist | None = None) -> Worklist:
    """Return the list with the files at its end, a new one for the ``choice`` of version if there is none."""
    found = worklist or Worklist(study_id(paths or ()), choice)
    found.add(unpack(Source(Path(path).name, path) for path in paths or ()))
    return found


def _layout() -> _Parts:
    plain = partial(gr.HTML, apply_default_css=False)
    script = theme.WORKLIST_JS.read_text(encoding="utf-8")
    with gr.Column(elem_classes="list"):
        upload = gr.File(
            label="Radiographs and ZIP archives", file_count="multiple", height=132, elem_id="worklist-upload"
        )
        progress = plain("", elem_id="worklist-progress")
        summary = plain("", elem_id="worklist-summary")
        with gr.Row(elem_classes="actions"):
            cancel = gr.Button("Cancel", visible=False, elem_id="worklist-cancel")
            proceed = gr.Button("Read on", visible=False, elem_id="worklist-proceed")
            download = gr.Button("Save as CSV", visible=False, elem_id="worklist-csv")
            clear = gr.Button("Clear the list", visible=False, elem_id="worklist-clear")
        table = plain(worklist_html.empty(), js_on_load=script, elem_id="worklist-table")
        csv = gr.Textbox(visible=False)
    state = gr.State(None)
    return _Parts(upload, progress, summary, table, cancel, proceed, download, clear, state, csv)


def _answer_events(parts: _Parts, read: Read, choice: gr.Radio) -> None:
    def run(worklist: Worklist) -> Iterator[Update]:
        yield _running(parts, worklist)
        drawn, now = time.monotonic(), Progress(0, len(worklist))
        for now in worklist.run(lambda source: read(source, worklist.study, worklist.choice)):
            if time.monotonic() - drawn >= DRAW_EVERY:
                drawn = time.monotonic()
                yield {
                    parts.progress: worklist_html.progress(now),
                    parts.table: worklist_html.table(worklist) or gr.skip(),
                }
        yield _finished(parts, worklist, now.stopped)

    def dropped(paths: list[str] | None, choice: str, worklist: Worklist | None) -> Iterator[Update]:
        yield from run(listed(paths, choice, worklist))

    def looked(worklist: Worklist, chosen: str) -> str:
        action, _, value = chosen.partition(":")
        worklist.view = worklist.view.changed(action, value)
        return worklist_html.table(worklist)

    reading = {
        "outputs": parts.drawn,
        "concurrency_limit": LISTS_AT_ONCE,
        "concurrency_id": "worklist",
        "show_progress_on": parts.progress,
        "api_visibility": "private",
    }
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    parts.upload.upload(dropped, [parts.upload, choice, parts.state], **reading)
    parts.proceed.click(run, parts.state, **reading)
    parts.cancel.click(lambda worklist: worklist.cancel(), parts.state, None, **quiet)
    chooser.answer_choice(parts.table, looked, [parts.state], [parts.table])
    parts.clear.click(lambda: _cleared(parts), None, parts.drawn, **quiet)
    script = theme.SAVE_JS.read_text(encoding="utf-8")
    parts.download.click(lambda worklist: worklist.to_csv(), parts.state, parts.csv, **quiet).then(
        None, parts.csv, None, js=script, api_visibility="private"
    )


def _running(parts: _Parts, worklist: Worklist) -> Update:
    hidden = gr.Button(visible=False)
    return {
        parts.state: worklist,
        parts.upload: gr.File(value=None, visible=False),
        parts.progress: worklist_html.progress(Progress(len(worklist) - len(worklist.unfinished()), len(worklist))),
        parts.summary: "",
        parts.table: worklist_html.table(worklist),
        parts.cancel: gr.Button(visible=True),
        parts.proceed: hidden,
        parts.download: hidden,
        parts.clear: hidden,
    }


def _finished(parts: _Parts, worklist: Worklist, stopped: str) -> Update:
    left = len(worklist.unfinished())
    return {
        parts.upload: gr.File(visible=True),
        parts.progress: "",
        parts.summary: worklist_html.summary(worklist, stopped),
        parts.table: worklist_html.table(worklist),
        parts.cancel: gr.Button(visible=False),
        parts.proceed: gr.Button(f"Read on ({left})", visible=left > 0),
        parts.download: gr.Button(visible=bool(worklist.rows())),
        parts.clear: gr.Button(visible=True),
    }


def _cleared(parts: _Parts) -> Update:
    hidden = gr.Button(visible=False)
    return {
        parts.state: None,
        parts.progress: "",
        parts.summary: "",
        parts.table: worklist_html.empty(),
        parts.proceed: hidden,
        parts.download: hidden,
        parts.clear: hidden,
    }


def _answer_programs(read: Read) -> None:
    """Give programs ``/worklist``: progress while the list is read, then the results and the CSV text."""

    def answer(paths: list[str] | None, version: float | None) -> Iterator[dict[str, object]]:
        worklist = listed(paths, f"{version or 0:.0f}")
        for now in worklist.run(lambda source: read(source, worklist.study, worklist.choice)):
            left = None if now.seconds_left is None else round(now.seconds_left, 1)
            yield {"done": now.done, "total": now.total, "seconds_left": left}
        results = [entry.told for entry in worklist.rows()]
        yield {
            "done": now.done, "total": now.total, "stopped": now.stopped, "remarks": list(worklist.remarks),
            "results": results, "csv": worklist.to_csv(),
        }  # fmt: skip

    files = gr.File(file_count="multiple", label="Radiographs and archives", visible=False)
    told = gr.JSON(label="Progress, then results", visible=False)
    gr.Button(visible=False).click(
        answer,
        [files, gr.Number(0, label=ASKED_VERSION, visible=False)],
        told,
        api_name="worklist",
        api_description="Reads many radiographs. Tells done, total and seconds_left while it lasts; the last answer "
        f"has results, one a file as /read gives them, and csv with the columns {', '.join(COLUMNS)}.",
        concurrency_limit=LISTS_AT_ONCE,
        concurrency_id="worklist",
    )
