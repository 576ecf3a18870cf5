"""What a DICOM answer takes over from the file it answers to: patient, study and reference, and nothing else.

This is the one place of the project that reads a patient's data, and only when the user asks for the DICOM answer,
which belongs to the same patient. None of it is shown or logged.
"""

from __future__ import annotations

import logging
from typing import Final

from pydicom import Dataset, config
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from radiograph import RadiographError
from radiograph.dicom_file import looks_like_dicom, parsed
from radiograph.dicom_scope import refuse_other_modalities

# It logs a name that it holds to be wrong.
logging.getLogger("highdicom").addHandler(logging.NullHandler())
logging.getLogger("highdicom").propagate = False

_PATIENT_AND_STUDY: Final = {
    "PatientName": "PN",
    "PatientID": "LO",
    "PatientBirthDate": "DA",
    "PatientSex": "CS",
    "StudyDate": "DA",
    "StudyTime": "TM",
    "ReferringPhysicianName": "PN",
    "StudyID": "SH",
    "AccessionNumber": "SH",
}
"""Type 2 in the Patient and General Study modules (PS3.3, C.7.1.1 and C.7.2.1): there in every answer, maybe empty."""
_OPTIONAL: Final = {"IssuerOfPatientID": "LO", "PatientAge": "AS", "StudyDescription": "LO"}
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_BURNT_IN: Final = "BurnedInAnnotation"
_FRAMES: Final = "NumberOfFrames"

_TAGS: Final = [
    Tag(keyword)
    for keyword in (
        *_PATIENT_AND_STUDY,
        *_OPTIONAL,
        *_UIDS,
        _BURNT_IN,
        _FRAMES,
        "Modality",
        "Rows",
        "Columns",
        "PixelData",
    )
]


class AnswerError(Exception):
    """A DICOM answer cannot be made; the message is a sentence for the user."""


def header_of(data: bytes) -> Dataset:
    """Return patient, study and reference of a DICOM file as a dataset of its own, text in UTF-8.

    Every attribute of type 2 is there, empty where the file lacks it or states it wrongly. Raises AnswerError where
    the file is no DICOM radiograph, or lacks a UID without which nothing can be answered.
    """
    if not looks_like_dicom(data):
        raise AnswerError("Only a DICOM file can have a DICOM answer: no other says whose picture it is. Take the PDF.")
    try:
        source = parsed(data, _TAGS)
        refuse_other_modalities(source)
    except RadiographError as error:
        raise AnswerError(error.sentence) from None
    except Exception:  # a header may hold anything
        raise AnswerError("The DICOM file's header cannot be read. Export the file again.") from None
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _UIDS:
        setattr(header, keyword, _uid(source, keyword))
    for keyword, vr in _PATIENT_AND_STUDY.items():
        setattr(header, keyword, _value(source, keyword, vr))
    if not header.PatientID and source.get_item(Tag("PatientID")) is not None and _raw(source, "PatientID"):
        raise AnswerError("The DICOM file states the patient's number wrongly, so no answer can belong to it.")
    for keyword, vr in _OPTIONAL.items():
        if value := _value(source, keyword, vr):
            setattr(header, keyword, value)
    if header.PatientSex not in ("M", "F", "O"):
        header.PatientSex = ""
    header.Modality = "DX"
    burnt_in = _value(source, _BURNT_IN, "CS")
    if burnt_in in ("YES", "NO"):
        header.BurnedInAnnotation = burnt_in
    header.NumberOfFrames = _value(source, _FRAMES, "IS") or "1"
    header.Rows, header.Columns = source.Rows, source.Columns
    return header


def _value(source: Dataset, keyword: str, vr: str) -> str:
    """Return an attribute as text, empty where it is missing or not what its representation allows."""
    try:
        text = str(source.get(keyword) or "").strip(" \0")
        validate_value(vr, text, config.RAISE)
    except Exception:  # as above
        return ""
    return text


def _raw(source: Dataset, keyword: str) -> bool:
    value = getattr(source.get_item(Tag(keyword)), "value", None)
    return bool(value.strip(b" \0") if isinstance(value, bytes) else value)


def _uid(source: Dataset, keyword: str) -> UID:
    uid = UID(_value(source, keyword, "UI"))
    if not uid or not uid.is_valid:
        raise AnswerError(
            "The DICOM file does not say which study, series and picture it is (a UID is missing or wrong), so no "
            "answer can refer to it. Export it from the archive again."
        )
    return uid
