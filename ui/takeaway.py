"""What a reader takes away from a study: the PDF report, the answer as JSON, the DICOM answer as a ZIP archive.

Each is made when it is asked for, in memory; names of files say when they were made, never of whom. What makes PDF and
DICOM is imported no sooner, so that the page opens about a second earlier.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from export import contract
from ui.dicom_header import AnswerError
from ui.study import Study

__all__ = ["DICOM", "JSON", "PDF", "AnswerError", "Kind", "TakeAway", "answers_in_dicom", "make"]


@dataclass(frozen=True)
class TakeAway:
    """One file to take away: its name and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Kind:
    """One kind of file to take away: what its button says, how its name ends, and how it is made."""

    label: str
    ending: str
    made: Callable[[Study, datetime, contract.ModelCard | None], bytes]


def _pdf(study: Study, created: datetime, card: contract.ModelCard | None) -> bytes:
    from ui.report import pdf_report

    return pdf_report(study, created, card)


def _json(study: Study, created: datetime, card: contract.ModelCard | None) -> bytes:
    told = {"created": created.isoformat(timespec="seconds"), **study.to_dict()}
    if card is not None:
        told |= {"intended_use": card.intended_use, "limits": list(card.limits)}
    return (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()


def _dicom(study: Study, created: datetime, card: contract.ModelCard | None) -> bytes:
    from ui.dicom_answer import dicom_answer

    return dicom_answer(study, created, card).to_zip()


PDF: Final = Kind("PDF report", "pdf", _pdf)
JSON: Final = Kind("JSON answer", "json", _json)
DICOM: Final = Kind("DICOM answer", "dicom.zip", _dicom)


def make(kind: Kind, study: Study, created: datetime, card: contract.ModelCard | None = None) -> TakeAway:
    """Return the file of a kind for one study; ``card`` is that of the version that answered.

    Raises AnswerError where there is no DICOM answer to a study.
    """
    return TakeAway(f"fracture-reading-{created:%Y%m%d-%H%M%S}.{kind.ending}", kind.made(study, created, card))


def answers_in_dicom(study: Study) -> bool:
    """Return whether a study has a view that a DICOM answer can be given to."""
    return any(reading.radiograph.kind == "DICOM" for reading in study.readings)
