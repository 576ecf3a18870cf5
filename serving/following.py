"""Which version a client asks, and which one next when that is gone: labels move, and versions are unloaded.

Without a choice the label ``stable`` is asked, and the newest version of a model that bears no such label. A study goes
to the label ``canary`` where the route says so. What had answered before and is gone is followed to ``stable``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serving.errors import LabelNotFound, ModelNotFound
from serving.route import LOOK_EVERY, Route

STABLE: Final = "stable"
CANARY: Final = "canary"


@dataclass(frozen=True)
class Asked:
    """A version by number or by label; neither is the newest."""

    version: int | None = None
    label: str | None = None


class Following:
    """What to ask, in order; for any number of threads, for all it keeps is replaced whole."""

    def __init__(self, choice: Asked, route: Route | None) -> None:
        self._choice = choice
        self._route = route
        self._answered: frozenset[Asked] = frozenset()
        self._unlabelled_until = float("-inf")
        self._labelled = False

    @property
    def is_due(self) -> bool:
        """Whether a model that bore no label ``stable`` when it was last asked may have got one since."""
        default = self._choice == Asked()
        return default and not self._labelled and time.monotonic() >= self._unlabelled_until

    def first(self, study: str | None) -> Asked:
        """Return what is asked first."""
        return next(self.candidates(study))

    def candidates(self, study: str | None) -> Iterator[Asked]:
        """Yield what to ask, one after the other as long as each is reported to ``missed``."""
        if self._choice.version is not None:
            yield self._choice
            if self._choice not in self._answered:
                return
        elif self._choice.label is not None:
            yield self._choice
            yield self._choice
            if self._choice not in self._answered or self._choice.label == STABLE:
                return
        elif study is not None and self._route is not None and self._route.is_canary(study):
            yield Asked(label=CANARY)
        if time.monotonic() >= self._unlabelled_until:
            # twice, for between the label and its version the label may have moved on
            for _ in range(2):
                yield Asked(label=STABLE)
                if time.monotonic() < self._unlabelled_until:
                    break
            else:
                return
        yield Asked()

    def answered(self, asked: Asked) -> None:
        """Remember that this was answered."""
        if asked.label == STABLE:
            self._labelled = True
        if asked not in self._answered:
            self._answered |= {asked}

    def missed(self, asked: Asked, error: ModelNotFound) -> None:
        """Remember that this is not served; the label ``stable`` is looked for again after a second."""
        if asked.label == STABLE and isinstance(error, LabelNotFound):
            self._labelled = False
            self._unlabelled_until = time.monotonic() + LOOK_EVERY
