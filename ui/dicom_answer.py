"""The answer to a study of DICOM files as DICOM objects of the same study, for the archive that they came from.

One secondary capture a view, with heat map and outlines; one structured report (TID 1500); the PDF report,
encapsulated. All have new UIDs, in three new series; the files they answer to are only read. What is no DICOM file gets
no answer, because nothing says whose picture it is.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Final

import numpy as np
from highdicom import UID, SOPClass
from highdicom.sc import SCImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian
from pydicom.valuerep import DT

from export import contract
from radiograph import RadiographError
from ui.archive import ArchiveError
from ui.dicom_header import AnswerError, header_of
from ui.dicom_sr import MAKER, View, structured_report
from ui.overlay import layers, marked_picture
from ui.report import pdf_report
from ui.study import Study

__all__ = ["Answer", "AnswerError", "AnswerFile", "dicom_answer"]

SERIES_NUMBERS: Final = {"SC": 9901, "SR": 9902, "PDF": 9903}
"""Far above what a modality gives its series, so that the answer stands at the end of the study."""
BURNT_NOTICE: Final = "RESEARCH ONLY – NOT FOR DIAGNOSIS"


@dataclass(frozen=True)
class AnswerFile:
    """One DICOM object of an answer: ``name`` says what it is, ``data`` is the file (PS3.10)."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Answer:
    """The DICOM objects that answer to one study."""

    files: tuple[AnswerFile, ...]

    def to_zip(self) -> bytes:
        """Return the files in one ZIP archive."""
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as packed:
            for file in self.files:
                packed.writestr(file.name, file.data)
        return buffer.getvalue()


def dicom_answer(study: Study, created: datetime, card: contract.ModelCard | None = None) -> Answer:
    """Return the answer to the DICOM views of a study, whose files are opened again for it.

    Raises AnswerError where there is no DICOM view, where a file is gone or refers to nothing, and where files name
    different studies or patients.
    """
    views = _views(study)
    answered = Study(tuple(view.reading for view in views), study.remarks)
    series = {kind: UID() for kind in SERIES_NUMBERS}
    captures = [_capture(view, number, created, series["SC"]) for number, view in enumerate(views, 1)]
    report = structured_report(views, created, series["SR"], SERIES_NUMBERS["SR"])
    document = _document(views, pdf_report(answered, created, card), created, series["PDF"])
    names = [f"overlay-{number}.dcm" for number in range(1, len(captures) + 1)] + ["findings.dcm", "report.dcm"]
    objects = [*captures, report, document]
    return Answer(tuple(AnswerFile(name, _written(item)) for name, item in zip(names, objects, strict=True)))


def _views(study: Study) -> list[View]:
    readings = [reading for reading in study.readings if reading.radiograph.kind == "DICOM"]
    if not readings:
        raise AnswerError(
            "Only DICOM files can have a DICOM answer: pictures of other kinds do not say whose they are. Take the PDF."
        )
    views = []
    for reading in readings:
        try:
            views.append(View(reading, header_of(reading.source.content())))
        except (RadiographError, ArchiveError):
            raise AnswerError("A file of the study is no longer there. Give the files again.") from None
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        if len({str(view.header.get(keyword)) for view in views}) > 1:
            raise AnswerError("The files name different studies or patients, so no single answer can belong to them.")
    return views


def _capture(view: View, number: int, created: datetime, series: UID) -> SCImage:
    """Return the secondary capture of one view: the marked picture with the notice burnt into it."""
    reading, header = view.reading, view.header
    told = reading.prediction
    marked = marked_picture(layers(reading), dotted=told.finding == contract.SUSPICION)
    image = SCImage.from_ref_dataset(
        view.nameless,
        _with_notice(marked),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=series,
        series_number=SERIES_NUMBERS["SC"],
        sop_instance_uid=UID(),
        instance_number=number,
        manufacturer=MAKER,
        manufacturer_model_name=told.model,
        software_versions=str(told.version),
        series_description="Fracture reading, overlay (research)",
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_date=created.date(),
        content_time=created.time(),
    )
    # Not known (one was asked for above), and of type 2C, so empty.
    image.add_new("PatientOrientation", "CS", None)
    image.add_new("Laterality", "CS", None)
    image.copy_patient_and_study_information(header)
    image.DerivationDescription = "Heat map and outlines of an automatic fracture reading drawn over the picture"
    image.SourceImageSequence = [_reference(view, frames=True)]
    if "BurnedInAnnotation" in header:
        image.BurnedInAnnotation = header.BurnedInAnnotation
    return image


def _with_notice(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture with a strip below it that says what it must not be used for."""
    height, width = picture.shape[:2]
    strip = max(14, width // 22)
    sheet = Image.new("RGB", (width, height + strip))
    sheet.paste(Image.fromarray(picture))
    font = ImageFont.load_default(min(strip * 0.62, width / 20))
    ImageDraw.Draw(sheet).text((width / 2, height + strip / 2), BURNT_NOTICE, fill="white", font=font, anchor="mm")
    return np.asarray(sheet)


def _document(views: Sequence[View], pdf: bytes, created: datetime, series: UID) -> SOPClass:
    """Return the PDF report as an Encapsulated PDF object (PS3.3, A.45.1)."""
    header, told = views[0].header, views[0].reading.prediction
    document = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=series,
        series_number=SERIES_NUMBERS["PDF"],
        sop_instance_uid=UID(),
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        manufacturer=MAKER,
        manufacturer_model_name=told.model,
        software_versions=str(told.version),
        series_description="Fracture reading, report (research)",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=header.PatientID,
        patient_birth_date=header.PatientBirthDate,
        patient_sex=header.PatientSex,
        specific_character_set="ISO_IR 192",
        content_date=created.date(),
        content_time=created.time(),
    )
    document.copy_patient_and_study_information(header)
    document.ConversionType = "WSD"
    document.AcquisitionDateTime = DT(created.strftime("%Y%m%d%H%M%S"))
    document.BurnedInAnnotation = _burnt_in(views)
    document.SourceInstanceSequence = [_reference(view) for view in views]
    document.DocumentTitle = "Fracture reading of a radiograph study"
    document.ConceptNameCodeSequence = []
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    document.EncapsulatedDocumentLength = len(pdf)
    return document


def _burnt_in(views: Sequence[View]) -> str:
    """Return whether text in a picture may name the patient: "YES" unless every file denies it."""
    return "NO" if all(view.header.get("BurnedInAnnotation") == "NO" for view in views) else "YES"


def _reference(view: View, *, frames: bool = False) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = view.header.SOPClassUID
    item.ReferencedSOPInstanceUID = view.header.SOPInstanceUID
    if frames and view.frames:
        item.ReferencedFrameNumber = view.frames[0]
    return item


def _written(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
