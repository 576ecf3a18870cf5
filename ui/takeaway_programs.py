"""What readers take away, for programs: ``/report`` gives the files that the reader's buttons make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from export import contract
from ui.overlay import display_picture
from ui.reading import Failure, Result
from ui.session import MOST_VIEWS
from ui.sources import Source, study_id, unpack
from ui.study import Study, studies
from ui.takeaway import DICOM, JSON, PDF, AnswerError, make

KINDS: Final = {"pdf": PDF, "json": JSON, "dicom": DICOM}

Read = Callable[[Source, str, str], Result]
CardOf = Callable[[Study], contract.ModelCard | None]


def answer_programs(read: Read, card_of: CardOf, asked_version: str, at_once: int) -> None:
    """Give programs ``/report``: files in, one file a study out, as PDF, JSON or DICOM answer."""

    def answer(paths: list[str] | None, kind: str, version: float | None, frame: float | None) -> list[str]:
        found = read_studies(paths or (), read, f"{version or 0:.0f}", frame_number(frame))
        if not found:
            raise gr.Error("Give at least one file.", print_exception=False)
        try:
            made = [make(KINDS[kind], study, datetime.now().astimezone(), card_of(study)) for study in found]
        except AnswerError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return [
            save_bytes_to_cache(
                taken.data, f"{number}-{taken.name}" if len(made) > 1 else taken.name, told.GRADIO_CACHE
            )
            for number, taken in enumerate(made, 1)
        ]

    files = gr.File(file_count="multiple", label="Radiographs of a study", visible=False)
    kind = gr.Dropdown(list(KINDS), value="pdf", label="Kind of answer", visible=False)
    version = gr.Number(0, label=asked_version, visible=False)
    told = gr.File(file_count="multiple", label="Answers", visible=False)
    gr.Button(visible=False).click(
        answer,
        [files, kind, version, asked_frame()],
        told,
        api_name="report",
        api_description="Reads radiographs as the reader does and returns one file a study: pdf, json or dicom.",
        concurrency_limit=at_once,
        concurrency_id="reading",
    )


def asked_frame() -> gr.Number:
    """Return what programs may give as ``frame``."""
    return gr.Number(0, label="Frame or page, from 1, of files that hold several; 0 names none", visible=False)


def frame_number(frame: float | None) -> int | None:
    """Return the frame (from 1) that a program asked for, None for none."""
    return round(frame) if frame else None


def read_studies(paths: Sequence[str], read: Read, choice: str, frame: int | None = None) -> tuple[Study, ...]:
    """Return the studies that files and archives hold, read, with pictures small enough to keep.

    Raises ``gr.Error`` for more views than a session holds.
    """
    listing = unpack(Source(Path(path).name, path) for path in paths).at_frame(frame)
    if len(listing.entries) > MOST_VIEWS:
        raise gr.Error(f"A report holds at most {MOST_VIEWS} views. Ask for /worklist instead.", print_exception=False)
    study, results = study_id(paths), list[Result]()
    for entry in listing.entries:
        result = entry if isinstance(entry, Failure) else read(entry, study, choice)
        results.append(
            result if isinstance(result, Failure) else result.with_picture(display_picture(result.radiograph))
        )
    return studies(results, listing.remarks)
