"""Several views read as one study: the strongest finding, the reason for it, and what does not belong together.

    for study in studies([reader.read_source(source) for source in listing.entries]):
        print(study.finding, study.reason)

DICOM files are grouped by their study and never across patients; pictures that say nothing of either join the only
study there is, else stand by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from export import contract
from ui.reading import Failure, Reading, Result
from ui.words import count, percent, probability_words

MIXED_PATIENTS: Final = "The files come from {patients} different patients. They are read apart, as {studies} studies."
MIXED_STUDY: Final = (
    "Files of one study name different patients. They are read apart; check at their source whom they belong to."
)
UNTOLD: Final = (
    "Some of the files say nothing of study or patient, so it cannot be told whether they belong to the others."
)

_Key = tuple[str | None, str | None]


@dataclass(frozen=True, eq=False)
class Study:
    """The results of the views of one study, in the order they were given; ``remarks`` concern all of them."""

    results: tuple[Result, ...]
    remarks: tuple[str, ...] = ()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The views that were read, also those outside the model's scope."""
        return tuple(result for result in self.results if isinstance(result, Reading))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The files that were not read."""
        return tuple(result for result in self.results if isinstance(result, Failure))

    @property
    def strongest(self) -> Reading | None:
        """The view with the strongest finding, of equal findings the most probable; None where no view has one."""
        return max((reading for reading in self.readings if not reading.outside_scope), key=_strength, default=None)

    @property
    def finding(self) -> str | None:
        """One of ``contract.FINDINGS``: that of the strongest view."""
        return self.strongest.prediction.finding if self.strongest else None

    @property
    def reason(self) -> str:
        """Why the study has its finding, or none, in sentences."""
        strongest = self.strongest
        if strongest is None:
            return _no_reason(self)
        found = [reading for reading in self.readings if not reading.outside_scope]
        left = _left(self, len(found))
        if len(found) == 1:
            return f"{'The only view with a finding is' if left else 'The finding is that of'} {strongest.file}.{left}"
        positive = sum(reading.prediction.finding != contract.NO_FRACTURE for reading in found)
        told = percent(strongest.prediction.probability)
        if not positive:
            return (
                f"None of the {len(found)} views shows signs of a fracture; the highest probability is {told}, "
                f"in {strongest.file}.{left}"
            )
        return (
            f"{strongest.file} has the strongest finding of {len(found)} views: {strongest.prediction.finding}, "
            f"{probability_words(strongest.prediction.probability)}. {_agreement(positive, len(found))}{left}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the study for programs; ``finding`` and ``strongest`` are null where no view has a finding."""
        strongest = self.strongest
        return {
            "finding": self.finding,
            "probability": round(strongest.prediction.probability, 6) if strongest else None,
            "strongest": strongest.file if strongest else None,
            "reason": self.reason,
            "remarks": list(self.remarks),
            "views": [result.to_dict() for result in self.results],
        }

    def to_json(self) -> str:
        """Return ``to_dict`` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def studies(results: Iterable[Result], remarks: Sequence[str] = ()) -> tuple[Study, ...]:
    """Return the studies that results belong to, in the order of their first views; none where there are no results.

    ``remarks``, such as those of ``Listing``, and those on mixed patients go to every study.
    """
    groups: dict[_Key, list[Result]] = {}
    loose: list[Result] = []
    order = list(results)
    for result in order:
        key = _key(result)
        (loose if key is None else groups.setdefault(key, [])).append(result)
    said = [*remarks, *_mixed(tuple(groups))]
    if len(groups) == 1 and loose:
        if any(isinstance(result, Reading) for result in loose):
            said.append(UNTOLD)
        return (Study(tuple(order), tuple(said)),)
    parts = [*groups.values(), *([loose] if loose else [])]
    return tuple(Study(tuple(part), tuple(said)) for part in parts)


def _key(result: Result) -> _Key | None:
    origin = result.radiograph.origin if isinstance(result, Reading) else None
    return None if origin is None or origin.study is origin.patient is None else (origin.patient, origin.study)


def _mixed(keys: Sequence[_Key]) -> list[str]:
    patients = {patient for patient, _ in keys if patient is not None}
    if len(patients) < 2:
        return []
    said = [MIXED_PATIENTS.format(patients=len(patients), studies=len(keys))]
    named = [study for patient, study in keys if study is not None and patient is not None]
    if len(set(named)) < len(named):
        said.append(MIXED_STUDY)
    return said


def _strength(reading: Reading) -> tuple[int, float]:
    return contract.FINDINGS.index(reading.prediction.finding), reading.prediction.probability


def _agreement(positive: int, views: int) -> str:
    if positive == views:
        return "All views show a fracture or a suspicion of one."
    return f"{positive} of {views} views {'shows' if positive == 1 else 'show'} a fracture or a suspicion of one."


def _left(study: Study, found: int) -> str:
    """Return a sentence on the files that the finding does not rest on."""
    outside, failed = len(study.readings) - found, len(study.failures)
    parts = [f"{count(failed, 'file')} could not be read"] if failed else []
    if outside:
        parts.append(f"{count(outside, 'view')} got no finding")
    return f" Not part of it: {' and '.join(parts)}." if parts else ""


def _no_reason(study: Study) -> str:
    if not study.readings:
        return "The file could not be read." if len(study.results) == 1 else "None of the files could be read."
    views = len(study.readings)
    start = "The view does not look" if views == 1 else f"None of the {views} views looks"
    return f"{start} like the limb radiographs the model knows, so no finding is given.{_left(study, views)}"
