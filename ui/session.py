"""What a visit to the page holds: the views that were given together, each with its result and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ui.markup import Shown
from ui.reading import Failure, Result
from ui.sources import Source
from ui.study import Study, studies

MOST_VIEWS: Final = 100
"""Views read together, on the page or by a program: each keeps a picture of a few megabytes while the session lasts."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One view of the session: where it comes from, its result with a picture small enough to keep, how it is shown."""

    origin: Source | Failure
    result: Result
    shown: Shown

    @property
    def passing(self) -> bool:
        """Whether reading again may help."""
        return isinstance(self.result, Failure) and self.result.passing


@dataclass(frozen=True, eq=False)
class Session:
    """What was given together: its views, its id for the canary, remarks on archives; ``whole`` once all were read."""

    entries: tuple[Entry, ...] = ()
    study: str = ""
    remarks: tuple[str, ...] = ()
    whole: bool = False

    def studies(self) -> tuple[Study, ...]:
        """Return the studies that the views belong to, in the order of their first views."""
        return studies([entry.result for entry in self.entries], self.remarks)

    def study_of(self, place: int) -> tuple[int, Study] | None:
        """Return the study of the view at ``place`` and its number, from 1; None where it is not read to its end."""
        if not self.whole or not 0 <= place < len(self.entries):
            return None
        result = self.entries[place].result
        return next(
            (number, study)
            for number, study in enumerate(self.studies(), 1)
            if any(view is result for view in study.results)
        )


class Turn:
    """Whose turn it is in a visit: what is begun last. A reading begun before it stops at its next view."""

    def __init__(self) -> None:
        self._last = 0

    def begin(self) -> Callable[[], bool]:
        """Take the turn; what is returned tells whether it is still held."""
        self._last += 1
        mine = self._last
        return lambda: self._last == mine
