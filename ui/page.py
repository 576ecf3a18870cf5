"""The page itself: what happens when something is dropped, chosen or due.

It talks to the model server through ``serving.client`` alone and imports no TensorFlow. It starts without the server,
says so, and finds the server by itself as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import gradio as gr
from gradio.components import Component

from export import contract
from serving.client import ServingError
from ui import chooser, feedback_panel, frame, frame_question, markup, takeaway_panel, takeaway_programs, viewer_panel
from ui.cards import Cards
from ui.code_tab import add_code
from ui.examples import Example
from ui.layout import Parts, lay_out
from ui.models import look
from ui.models_tab import add_models, version_choice
from ui.overlay import display_picture
from ui.readers import Readers
from ui.reading import Failure, Result
from ui.session import MOST_VIEWS, Entry, Session, Turn
from ui.settings import PageSettings
from ui.sources import Listing, Source, study_id, unpack
from ui.study import Study
from ui.takeaway_panel import hidden, shown
from ui.worklist import Worklist
from ui.worklist_tab import ASKED_VERSION, WorklistParts, add_worklist

READERS_AT_ONCE: Final = 4
LOOK_FOR_SERVER_EVERY: Final = 10.0
"""Seconds between two looks at the model server."""


class Room:
    """What the page does when something is dropped, chosen or due."""

    def __init__(self, settings: PageSettings, examples: Sequence[Example] = ()) -> None:
        self.examples = examples
        self._cards = Cards(settings.card)
        self.readers = Readers(settings)
        self.models = partial(look, settings, self._cards)

    def server(self, choice: str) -> str:
        """Return the header's line on the model server as it is now, for a visitor with this choice of version."""
        try:
            info = self.readers.info(choice)
        except ServingError as error:
            return frame.not_ready(str(error))
        return frame.ready(info.name, info.version, chosen=self.readers.chosen(choice) is not None)

    def listing(self, paths: Sequence[str]) -> Listing:
        """Return what is to be read of files and archives."""
        return unpack(Source(Path(path).name, path) for path in paths)

    def entry(self, origin: Source | Failure, study: str, choice: str) -> Entry:
        """Return what reading one file of a study gave."""
        result = origin if isinstance(origin, Failure) else self.read(origin, study, choice)
        if isinstance(result, Failure):
            if isinstance(origin, Source) and result.frames:
                origin = replace(origin, frames=result.frames)
            return Entry(origin, result, markup.show(result))
        small = result.with_picture(display_picture(result.radiograph))
        return Entry(origin, small, markup.show(small, self._cards.of(small.prediction), result.radiograph))

    def card_of(self, study: Study) -> contract.ModelCard | None:
        """Return the card of the version that gave a study its finding."""
        return self._cards.of(study.strongest.prediction) if study.strongest else None

    def read(self, source: Source, study: str, choice: str) -> Result:
        """Return the result of one file of a study, with its whole picture, by the chosen version."""
        return self.readers.of(choice).read_source(source, study=study)

    def results(
        self, paths: Sequence[str] | None, version: float | None, frame: float | None
    ) -> list[dict[str, object]]:
        """Return the results of the files for programs, as ``osteo predict --json`` prints them."""
        study = study_id(paths or ())
        entries = self.listing(paths or ()).at_frame(takeaway_programs.frame_number(frame)).entries
        return [
            (entry if isinstance(entry, Failure) else self.read(entry, study, f"{version or 0:.0f}")).to_dict()
            for entry in entries
        ]


Update = dict[Component, object]


def build_page(settings: PageSettings, examples: Sequence[Example] = ()) -> gr.Blocks:
    """Return the page; raises ``ServingError`` if the server's address is none, never because it does not answer."""
    room = Room(settings, examples)
    with gr.Blocks(
        title="Osteo Synergy",
        analytics_enabled=False,
        delete_cache=(min(60, settings.keep_uploads), settings.keep_uploads),
        fill_width=True,
    ) as page:
        parts = lay_out(examples, settings.feedback)
        choice = version_choice(allowed=settings.choose_version)
        listed = add_worklist(parts.tabs, room.read, choice)
        add_models(parts.tabs, room.models, choice)
        add_code(parts.tabs, settings, room.readers, choice)
        _answer_events(page, parts, room, listed, choice)
        _answer_programs(room)
        takeaway_programs.answer_programs(room.read, room.card_of, ASKED_VERSION, READERS_AT_ONCE)
    page.queue(default_concurrency_limit=READERS_AT_ONCE)
    return page


def _answer_events(page: gr.Blocks, parts: Parts, room: Room, listed: WorklistParts, choice: gr.Radio) -> None:
    def read(
        holds: Callable[[], bool],
        session: Session,
        choice: str,
        origins: Sequence[Source | Failure],
        places: Sequence[int],
    ) -> Iterator[Update]:
        entries = list(session.entries)
        for done, (place, origin) in enumerate(zip(places, origins, strict=True)):
            name = origin.file if isinstance(origin, Failure) else origin.name
            # The finding of a study that is being read may still rise, so none is shown before the last view.
            yield {
                parts.progress: frame.progress(done, len(origins), name),
                parts.study: "",
                parts.again: gr.Button(visible=False),
                **hidden(parts.takeaway),
                **feedback_panel.hidden(parts.feedback),
                **frame_question.hidden(parts.question),
            }
            entry = room.entry(origin, session.study, choice)
            if not holds():
                return
            entries[place : place + 1] = [entry]
            update: Update = {
                parts.session: replace(session, entries=tuple(entries), whole=False),
                parts.results: markup.table([entry.shown for entry in entries]),
            }
            if done == 0:
                update |= {parts.card: entry.shown.card, parts.place: place}
                update |= viewer_panel.shown(parts.viewer, replace(session, entries=tuple(entries)), place)
            yield update
        waiting = sum(entry.passing for entry in entries)
        finished = replace(session, entries=tuple(entries), whole=True)
        yield {
            parts.session: finished,
            parts.progress: "",
            parts.study: markup.study_cards(finished.studies()),
            parts.again: gr.Button(f"Try again ({waiting})" if waiting > 1 else "Try again", visible=waiting > 0),
        }

    def dropped(turn: Turn, choice: str, paths: list[str] | None) -> Iterator[Update]:
        holds = turn.begin()
        yield {parts.upload: None}
        listing = room.listing(paths or ())
        if not holds():  # unpacking takes its time
            return
        kept, remarks = listing.entries[:MOST_VIEWS], listing.remarks
        if len(kept) < len(listing.entries):
            remarks += (f"Only the first {len(kept)} of {len(listing.entries)} views were read. Drop the others next.",)
        session = Session(study=study_id(paths or ()), remarks=remarks)
        yield from read(holds, session, choice, kept, range(len(kept)))

    def example(turn: Turn, choice: str, event: gr.EventData) -> Iterator[Update]:
        yield from dropped(turn, choice, [str(room.examples[int(event.index)].path)])

    def again(turn: Turn, choice: str, session: Session) -> Iterator[Update]:
        places = [place for place, entry in enumerate(session.entries) if entry.passing]
        yield from read(turn.begin(), session, choice, [session.entries[place].origin for place in places], places)

    def framed(turn: Turn, choice: str, session: Session, place: int, number: float) -> Iterator[Update]:
        source = frame_question.of_several(session, place)
        if source is not None:
            yield from read(turn.begin(), session, choice, [frame_question.chosen(source, number)], [place])

    def opened(turn: Turn, worklist: Worklist, event: gr.EventData) -> Iterator[Update]:
        yield {parts.tabs: gr.Tabs(selected="reader")}
        origin = worklist.origin(int(event.place))
        yield from read(turn.begin(), Session(study=worklist.study), worklist.choice, [origin], range(1))

    def chosen(session: Session, index: str) -> Update:
        place = int(index)
        if place >= len(session.entries):  # of a table that gives way to a new one right now
            return {parts.place: gr.skip()}
        return {
            parts.place: place,
            parts.card: session.entries[place].shown.card,
            **viewer_panel.shown(parts.viewer, session, place),
            **shown(parts.takeaway, session, place),
            **feedback_panel.shown(parts.feedback, session, place),
            **frame_question.shown(parts.question, session, place),
        }

    def finish(session: Session, place: int) -> Update:
        return {
            **viewer_panel.offered(parts.viewer, session, place),
            **shown(parts.takeaway, session, place),
            **feedback_panel.shown(parts.feedback, session, place),
            **frame_question.shown(parts.question, session, place),
        }

    said = [*parts.takeaway.changed, *parts.feedback.changed, *parts.question.changed]
    changed = [
        parts.upload, parts.session, parts.place, parts.progress, parts.study, parts.results, parts.again, parts.card,
        *parts.viewer.changed, *said,
    ]  # fmt: skip
    reading = {
        "outputs": changed,
        "concurrency_limit": READERS_AT_ONCE,
        "concurrency_id": "reading",
        "show_progress_on": parts.progress,
        "trigger_mode": "multiple",  # what is given while something is read takes its turn
        "api_visibility": "private",
    }
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    for event in (
        parts.upload.upload(dropped, [parts.turn, choice, parts.upload], **reading),
        parts.examples.select(example, [parts.turn, choice], **reading),
        parts.again.click(again, [parts.turn, choice, parts.session], **reading),
        parts.question.read.click(
            framed, [parts.turn, choice, parts.session, parts.place, parts.question.frame], **reading
        ),
        listed.table.click(opened, [parts.turn, listed.state], **{**reading, "outputs": [*changed, parts.tabs]}),
    ):
        event.then(room.server, choice, parts.server, **quiet)
        event.then(finish, [parts.session, parts.place], [parts.viewer.beside, *said], **quiet)
    looked_at = [parts.place, parts.card, *parts.viewer.changed, *said]
    chooser.answer_choice(parts.results, chosen, [parts.session], looked_at)
    viewer_panel.answer_events(parts.viewer, parts.session, parts.place)
    frame_question.answer_events(parts.question, parts.session, parts.place)
    feedback_panel.answer_events(parts.feedback, parts.session, parts.place)
    takeaway_panel.answer_events(parts.takeaway, parts.session, parts.place, room.card_of)
    choice.change(room.server, choice, parts.server, **quiet)
    page.load(room.server, choice, parts.server, **quiet)
    gr.Timer(LOOK_FOR_SERVER_EVERY).tick(room.server, choice, parts.server, **quiet)


def _answer_programs(room: Room) -> None:
    """Give programs one named function, ``/read``: files in, the results of ``osteo predict --json`` out."""
    files = gr.File(file_count="multiple", label="Radiographs", visible=False)
    results = gr.JSON(label="Results", visible=False)
    gr.Button(visible=False).click(
        room.results,
        [files, gr.Number(0, label=ASKED_VERSION, visible=False), takeaway_programs.asked_frame()],
        results,
        api_name="read",
        api_description="Reads radiographs and returns one result a file, as osteo predict --json prints them.",
        concurrency_limit=READERS_AT_ONCE,
        concurrency_id="reading",
    )
