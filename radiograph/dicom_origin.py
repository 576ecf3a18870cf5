"""Which DICOM files belong together, without knowing whose they are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from pydicom.dataset import FileDataset
from pydicom.tag import Tag

_SECRET: Final = secrets.token_bytes(32)
"""New in every process: nobody can find a patient's number by trying all of them."""
_STUDY: Final = Tag("StudyInstanceUID")
_NUMBER: Final = (Tag("PatientID"), Tag("IssuerOfPatientID"))
_PERSON: Final = (Tag("PatientName"), Tag("PatientBirthDate"))

ORIGIN_TAGS: Final = [_STUDY, *_NUMBER, *_PERSON]


@dataclass(frozen=True)
class Origin:
    """The study and the patient of a DICOM file as digests, which can be compared within one process and no more.

    None where the file does not say. A patient is told by the number, and by name and birth date only without one.
    """

    study: str | None
    patient: str | None


def take_origin(dataset: FileDataset) -> Origin:
    """Return the origin of a parsed file, and forget in ``dataset`` everything it was told by."""
    values = {tag: _stored(dataset, tag) for tag in ORIGIN_TAGS}
    for tag in ORIGIN_TAGS:
        dataset.pop(tag, None)
    number = [values[tag] for tag in _NUMBER] if values[_NUMBER[0]] else []
    return Origin(_digest([values[_STUDY]]), _digest(number or [values[tag] for tag in _PERSON]))


def _stored(dataset: FileDataset, tag: int) -> bytes:
    """Return a value as the bytes in the file, which need no decoding and cannot be wrong."""
    element = dataset.get_item(tag)
    value = getattr(element, "value", None)
    return value.strip(b" \0") if isinstance(value, bytes) else str(value or "").encode()


def _digest(values: list[bytes]) -> str | None:
    if not any(values):
        return None
    return blake2b(b"\0".join(values), key=_SECRET, digest_size=16).hexdigest()
