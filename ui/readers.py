"""Who reads: the version that is served to all, or the one a visitor chose where the operator allows it."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Final

from serving.answer import ModelInfo
from serving.client import FractureClient, Retry, Timeout
from ui.reading import Reader
from ui.settings import PageSettings

VERSIONS_KEPT: Final = 8
"""Chosen versions whose connections are kept open."""


class Readers:
    """One reader as the page was started, and one for each version that is chosen; for any number of threads."""

    def __init__(self, settings: PageSettings) -> None:
        self._allowed = settings.choose_version
        connect = partial(FractureClient, settings.server, model=settings.model)
        patient = partial(connect, timeout=settings.timeout)
        brief = partial(connect, timeout=Timeout(ask=3.0), retry=Retry(attempts=1))
        self._as_served = Reader(patient(version=settings.version, label=settings.label, route=settings.route))
        self._lookout = brief(version=settings.version, label=settings.label)
        self._of_version = lru_cache(VERSIONS_KEPT)(lambda version: Reader(patient(version=version)))
        self._lookout_of_version = lru_cache(VERSIONS_KEPT)(lambda version: brief(version=version))

    def chosen(self, choice: object) -> int | None:
        """Return the version number in a visitor's choice; None for none, and where nobody may choose."""
        text = str(choice or "")
        return int(text) if self._allowed and text.isdecimal() and int(text) else None

    def of(self, choice: object) -> Reader:
        """Return who reads for a visitor with this choice."""
        version = self.chosen(choice)
        return self._as_served if version is None else self._of_version(version)

    def info(self, choice: object) -> ModelInfo:
        """Return what is served to a visitor with this choice, asked anew; raises ``ServingError`` within seconds."""
        version = self.chosen(choice)
        lookout = self._lookout if version is None else self._lookout_of_version(version)
        return lookout.info(refresh=True)
