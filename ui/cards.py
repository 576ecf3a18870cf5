"""The model card of the version that answered, looked for where whoever starts the page says it is."""

from __future__ import annotations

import math
import os
from pathlib import Path

from export import contract, registry
from export.versions import VersionError
from serving.answer import Prediction


class Cards:
    """Cards of the versions in the folder ``place`` (also on object storage), or the one card in the file ``place``."""

    def __init__(self, place: str | os.PathLike[str] | None) -> None:
        self._place = place
        self._known: dict[int, contract.ModelCard] = {}

    def of(self, prediction: Prediction) -> contract.ModelCard | None:
        """Return the card of the version that gave a prediction; None where there is none, or one of another version.

        A card of other thresholds than the answer's was not made for it, whatever the folder is called.
        """
        card = self.version(prediction.version)
        if card is None:
            return None
        answered = (prediction.suspicion_threshold, prediction.fracture_threshold)
        same = all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(card.thresholds, answered, strict=True))
        return card if same else None

    @property
    def is_one(self) -> bool:
        """Whether there is but one card, which does not say of which version it is."""
        return self._place is not None and Path(self._place).is_file()

    def version(self, number: int) -> contract.ModelCard | None:
        """Return the card that stands for a version, None where there is none; ``of`` tells if it fits an answer."""
        card = self._known.get(number) or self._read(number)
        if card is not None:
            self._known[number] = card
        return card

    def _read(self, version: int) -> contract.ModelCard | None:
        if self._place is None:
            return None
        try:
            if self.is_one:
                return contract.ModelCard.from_json(Path(self._place).read_text(encoding="utf-8"))
            return registry.card(os.fspath(self._place), version)
        except (contract.CardError, VersionError, OSError, ValueError):
            return None
