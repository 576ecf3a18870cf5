"""Hundreds of files read one after the other into rows small enough to keep: no picture stays but a thumbnail.

    worklist = Worklist(study="…")
    worklist.add(unpack(sources))
    for progress in worklist.run(read): print(progress.done, progress.seconds_left)

A file that cannot be read is a row like any other. Only a model server that does not answer stops the list; what was
not read then, or after ``cancel``, is read by the next ``run``.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from export import contract
from ui.overlay import display_picture, jpeg
from ui.reading import Failure, Result
from ui.sources import Listing, Source

log = logging.getLogger(__name__)

ROWS_AT_MOST: Final = 2_000
"""Of about 4 kB each."""
FILES_AT_ONCE: Final = 2
"""One is decoded while the server reads the other; more whole pictures than these are never held."""
THUMBNAIL: Final = 96
"""Longest side (px) of a row's picture."""
GIVE_UP_AFTER: Final = 3
"""Files in a row that the server did not answer for, after which the others wait."""
TICK: Final = 0.5
"""Seconds between two signs of life, also where one file takes longer."""

NO_FINDING: Final = "no finding given"
NOT_READ: Final = "not read"
OUTCOMES: Final = (contract.FRACTURE, contract.SUSPICION, contract.NO_FRACTURE, NO_FINDING, NOT_READ)
"""What can become of a file, the gravest first."""
SORTS: Final = ("file", "finding", "probability")

COLUMNS: Final = (
    "file", "finding", "probability", "suspicion_from", "fracture_from", "novelty", "model", "version", "label",
    "milliseconds", "warnings", "error", "code",
)  # fmt: skip
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One file of the list: its ``place`` from 0, what became of it (one of ``OUTCOMES``), a small JPEG of it.

    ``probability`` is None where no finding is given; ``told`` is the result for programs.
    """

    place: int
    file: str
    outcome: str
    probability: float | None
    thumbnail: bytes
    told: dict[str, object]
    passing: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a list is: files done of all, seconds left (None where nobody can know yet), why it stopped early."""

    done: int
    total: int
    seconds_left: float | None = None
    stopped: str = ""


@dataclass(frozen=True)
class View:
    """What of the list is shown: sorted by file, finding or probability; one outcome or all; which page."""

    sort: str = "probability"
    descending: bool = True
    outcome: str = ""
    page: int = 0

    def changed(self, action: str, value: str) -> View:
        """Return the view after ``sort``, ``filter`` or ``page``; what is unknown changes nothing.

        What is strongest comes first, and last where the list is sorted by that column already.
        """
        if action == "sort" and value in SORTS:
            again = value == self.sort
            return replace(self, sort=value, descending=not self.descending if again else value != "file", page=0)
        if action == "filter" and value in ("", *OUTCOMES):
            return replace(self, outcome=value, page=0)
        if action == "page" and value.isdecimal():
            return replace(self, page=int(value))
        return self


def row(place: int, result: Result) -> Row:
    """Return the row of a result; only its thumbnail is left of the picture."""
    if isinstance(result, Failure):
        return Row(place, result.file, NOT_READ, None, b"", result.to_dict(), result.passing)
    outside = result.outside_scope
    return Row(
        place,
        result.file,
        NO_FINDING if outside else result.prediction.finding,
        None if outside else result.prediction.probability,
        jpeg(display_picture(result.radiograph, THUMBNAIL), quality=70),
        result.to_dict(),
    )


class Worklist:
    """The files of one visit and their rows; any thread may look, sort and cancel while another runs it.

    All of it is one ``study`` for the route of a canary and is read by one ``choice`` of version: probabilities that
    stand in one order come from one model.
    """

    def __init__(self, study: str = "", choice: str = "") -> None:
        self.study = study
        self.choice = choice
        self.view = View()
        self.remarks: tuple[str, ...] = ()
        self._origins: list[Source | Failure] = []
        self._rows: dict[int, Row] = {}
        self._stopped = ""
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._origins)

    def add(self, listing: Listing) -> None:
        """Put files at the end of the list, which holds ``ROWS_AT_MOST``; remarks say what was left out."""
        with self._lock:
            room = ROWS_AT_MOST - len(self._origins)
            self._origins += listing.entries[:room]
        self.remarks = listing.remarks
        if len(listing.entries) > room:
            self.remarks += (
                f"A list holds {ROWS_AT_MOST:,} files, so {len(listing.entries) - room:,} were left out. "
                "Give them in another list.",
            )

    def origin(self, place: int) -> Source | Failure:
        """Return where a row comes from; a failure where the upload has been deleted since."""
        origin = self._origins[place]
        if isinstance(origin, Source) and not os.path.exists(origin.path):  # noqa: PTH110 – as in ``archive``
            return Failure(
                origin.name,
                "The file is no longer here, for uploads are deleted after a while. Drop it again to see it.",
                "upload_deleted",
            )
        return origin

    def rows(self) -> tuple[Row, ...]:
        """Return the rows that are there, in the order in which the files were given."""
        with self._lock:
            return tuple(self._rows[place] for place in sorted(self._rows))

    def shown(self) -> tuple[Row, ...]:
        """Return the rows of the present view on all its pages; rows without probability come last either way."""
        view = self.view
        rows = [row for row in self.rows() if view.outcome in ("", row.outcome)]
        if view.sort == "probability":
            known = [row for row in rows if row.probability is not None]
            known.sort(key=lambda row: row.probability or 0.0, reverse=view.descending)
            return (*known, *(row for row in rows if row.probability is None))
        if view.sort == "file":
            return tuple(sorted(rows, key=lambda row: row.file.casefold(), reverse=view.descending))
        return tuple(sorted(rows, key=lambda row: -OUTCOMES.index(row.outcome), reverse=view.descending))

    def unfinished(self) -> tuple[int, ...]:
        """Return the places that were not read, or not for a reason that may pass."""
        with self._lock:
            return tuple(
                place for place in range(len(self._origins)) if place not in self._rows or self._rows[place].passing
            )

    def cancel(self) -> None:
        """Let the running list end after the files in hand."""
        self._cancelled.set()

    def run(self, read: Callable[[Source], Result]) -> Iterator[Progress]:
        """Read what is unfinished with ``read``, which never raises; yield progress at least each ``TICK`` seconds."""
        self._cancelled.clear()
        self._stopped = ""
        places, started, total, done, unanswered = iter(self.unfinished()), time.monotonic(), len(self), 0, 0
        count = len(self.unfinished())
        running: set[Future[Row]] = set()
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="worklist") as pool:
            while True:
                while len(running) < FILES_AT_ONCE and not self._ends(unanswered):
                    place = next(places, None)
                    if place is None:
                        break
                    running.add(pool.submit(self._read, place, read))
                if not running:
                    break
                finished, running = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
                for future in finished:
                    found = future.result()
                    with self._lock:
                        self._rows[found.place] = found
                    unanswered = unanswered + 1 if found.passing else 0
                done += len(finished)
                self._keep_uploads()
                yield Progress(total - (count - done), total, seconds_left(time.monotonic() - started, done, count))
        left = len(self.unfinished())
        yield Progress(total - left, total, stopped=self._stopped if left else "")

    def to_csv(self) -> str:
        """Return all rows, in the order of the files, as CSV (RFC 4180) with a line of ``COLUMNS``."""
        sink = io.StringIO()
        writer = csv.DictWriter(sink, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        for entry in self.rows():
            writer.writerow({key: _harmless(value) for key, value in _cells(entry).items()})
        return sink.getvalue()

    def _read(self, place: int, read: Callable[[Source], Result]) -> Row:
        origin = self._origins[place]
        try:
            return row(place, origin if isinstance(origin, Failure) else read(origin))
        except Exception as error:
            # Its message may quote the file, so only its kind is logged.
            log.error("row_failed kind=%s", type(error).__name__)
            name = origin.file if isinstance(origin, Failure) else origin.name
            return row(place, Failure(name, "The file could not be put into the list. Read it alone.", "unexpected"))

    def _ends(self, unanswered: int) -> bool:
        if self._cancelled.is_set():
            self._stopped = "Cancelled."
        elif unanswered >= GIVE_UP_AFTER:
            self._stopped = "The model server does not answer, so the other files wait."
        return bool(self._stopped)

    def _keep_uploads(self) -> None:
        """Make the files that wait look new, for uploads are deleted by their age while a long list is still read."""
        paths = {origin.path for place in self.unfinished() if isinstance(origin := self._origins[place], Source)}
        for path in paths:
            with suppress(OSError):
                os.utime(path)


def seconds_left(elapsed: float, done: int, count: int) -> float | None:
    """Return the seconds that the rest of ``count`` files takes at the pace so far, None before there is a pace."""
    return None if done < min(3, count) else elapsed / done * (count - done)


def _cells(entry: Row) -> dict[str, object]:
    told = dict(entry.told)
    thresholds, warnings = told.get("thresholds"), told.get("warnings")
    if isinstance(thresholds, list):
        told["suspicion_from"], told["fracture_from"] = thresholds
    if isinstance(warnings, list):
        told["warnings"] = " ".join(map(str, warnings))
    # What was served outside the model's scope is void, and a table outlives every remark on it.
    return told | {"finding": entry.outcome, "probability": "" if entry.probability is None else told["probability"]}


def _harmless(value: object) -> object:
    """Return a cell that no spreadsheet program takes for a formula: a file may have any name."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
