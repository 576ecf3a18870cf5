"""The versions of the served model: what the server says of each, under which labels, and its model card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from export import contract
from serving.errors import ServingError
from serving.rollout_config import LABELS
from serving.rollout_server import ModelServer
from serving.route import Route
from ui.cards import Cards
from ui.settings import PageSettings

READY: Final = "AVAILABLE"
STATES: Final = {
    "START": "waiting to be loaded",
    "LOADING": "being loaded",
    READY: "ready",
    "UNLOADING": "being unloaded",
    "END": "not loaded",
}
"""The server's states in words."""
FAILED: Final = "could not be loaded"


@dataclass(frozen=True)
class Version:
    """One version of the model: its state in words, the labels that point to it, its card where there is one."""

    number: int
    state: str
    ready: bool
    labels: tuple[str, ...]
    card: contract.ModelCard | None

    def to_dict(self) -> dict[str, object]:
        """Return the version for programs, its card as it stands in the file."""
        card = json.loads(self.card.to_json()) if self.card else None
        return {**asdict(self), "labels": list(self.labels), "card": card}


@dataclass(frozen=True)
class Models:
    """The model as it is served now, the newest version first; ``fault`` is a sentence where nothing can be told.

    ``canary_percent`` is the share of the studies that the version labelled ``canary`` answers.
    """

    name: str
    versions: tuple[Version, ...] = ()
    canary_percent: float = 0.0
    fault: str = ""

    @property
    def ready(self) -> tuple[Version, ...]:
        """The versions that take requests."""
        return tuple(version for version in self.versions if version.ready)

    def version(self, number: int | None) -> Version | None:
        """Return a version by its number; else the stable one, else the newest that is ready."""
        wanted = [version for version in self.versions if version.number == number]
        stable = [version for version in self.versions if "stable" in version.labels]
        return next(iter((*wanted, *stable, *self.ready, *self.versions)), None)

    def to_dict(self) -> dict[str, object]:
        """Return everything for programs."""
        return {
            "model": self.name,
            "canary_percent": self.canary_percent,
            "fault": self.fault,
            "versions": [version.to_dict() for version in self.versions],
        }


def look(settings: PageSettings, cards: Cards) -> Models:
    """Return what is served now; never raises. A version that was unloaded without a fault is left out."""
    try:
        with ModelServer(settings.server, settings.model) as server:
            states = server.versions()
            labels = server.labels(LABELS)
    except ServingError as error:
        return Models(settings.model, fault=str(error))
    shown = {number: status for number, status in states.items() if status.state != "END" or status.error}
    # One card for all does not say of which version it is.
    carded = len(shown) == 1 or not cards.is_one
    found = tuple(
        Version(
            number,
            FAILED if status.error else STATES.get(status.state, status.state.lower()),
            status.state == READY,
            tuple(sorted(label for label, version in labels.items() if version == number)),
            cards.version(number) if carded else None,
        )
        for number, status in sorted(shown.items(), reverse=True)
    )
    percent = Route(settings.route).percent if settings.route is not None and "canary" in labels else 0.0
    return Models(settings.model, found, percent)
