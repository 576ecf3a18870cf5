"""What is on disk, what is loaded, which label is where, and whether the three agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from export import contract, registry
from export.versions import VersionError
from serving.following import CANARY, STABLE
from serving.rollout import Rollout
from serving.rollout_config import LABELS, entry_from, entry_of, parse
from serving.rollout_files import RolloutError, local, read_text
from serving.rollout_journal import PENDING, Journal
from serving.rollout_server import ModelServer
from serving.route import ROUTE, Route

FIGURES: Final = {
    "auc": "AUC",
    "sensitivity_at_suspicion": "sens. susp.",
    "specificity_at_suspicion": "spec. susp.",
    "sensitivity_at_fracture": "sens. fract.",
}
"""Figures of the model cards that are shown side by side, of each card's own test split, and their short names."""


@dataclass(frozen=True)
class VersionLine:
    """One version: its state in the registry ("" where it is not there) and on the server, its labels, its figures."""

    version: int
    disk: str
    server: str
    error: str
    labels: tuple[str, ...]
    figures: dict[str, float]


@dataclass(frozen=True)
class Status:
    """The state of one model; ``notes`` are sentences on what does not agree or was not finished."""

    versions: tuple[VersionLine, ...]
    stable: int | None
    canary_percent: float
    newest: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the status for programs."""
        return asdict(self)


def status(rollout: Rollout) -> Status:
    """Return the state of the model. Raises ``RolloutError`` or ``ServingError`` where it cannot be asked for."""
    journal = Journal(rollout.config)
    notes = []
    try:
        entry = entry_of(parse(read_text(rollout.config) or "", rollout.config), rollout.model, rollout.config)
        labelled, base = dict(entry.labels), rollout.base or entry.base_path
    except RolloutError as error:
        notes.append(str(error))
        labelled, base = {}, rollout.base or ""
    with ModelServer(rollout.server, rollout.model) as server:
        loaded = server.versions()
        served = server.labels({*LABELS, *labelled})
    listed: dict[int, registry.Listed] = {}
    try:
        listed = {entry.version: entry for entry in registry.listing(base)} if base else {}
    except VersionError as error:
        notes.append(str(error))
    notes += [entry.says for entry in listed.values() if entry.says]
    notes += _disagreements(labelled, served, journal)
    shown = sorted({*listed, *(number for number, state in loaded.items() if state.state != "END" or state.error)})
    lines = []
    for number in shown:
        found, state = listed.get(number), loaded.get(number)
        lines.append(
            VersionLine(
                number,
                found.state if found else "",
                state.state if state else "",
                state.error if state else "",
                tuple(sorted(label for label, version in served.items() if version == number)),
                _figures(found.card if found else None),
            )
        )
    place = local(f"{journal.folder}/{ROUTE}")
    percent = Route(place).percent if place is not None and CANARY in served else 0.0
    return Status(tuple(lines), served.get(STABLE), percent, max(listed, default=None), tuple(notes))


def _disagreements(labelled: dict[str, int], served: dict[str, int], journal: Journal) -> list[str]:
    notes = []
    if labelled != served:
        notes.append(
            f"The config file has the labels {labelled or 'none'}, the server has {served or 'none'}: "
            "`osteo rollout rollback` brings the two together."
        )
    last = journal.load()
    if last is not None and last.state == PENDING:
        notes.append(
            f"`{last.command}` by {last.by} ({last.when}) was interrupted after {last.done} of {len(last.pushes)} "
            "steps: run it again to finish it, or `osteo rollout rollback` to undo it."
        )
    elif last is not None and dict(entry_from(last.left).labels) != served:
        notes.append("The labels are not those that the last command left: somebody changed the config by hand.")
    return notes


def _figures(card: contract.ModelCard | None) -> dict[str, float]:
    metrics = card.metrics if card else {}
    found = {}
    for figure in FIGURES:
        values = [metric.value for key, metric in metrics.items() if key.endswith(f"/test/{figure}")]
        if values:
            found[figure] = round(values[0], 3)
    return found
