"""The findings of a study as a DICOM structured report by TID 1500, Measurement Report (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from highdicom import UID
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    GraphicTypeValues,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from export import contract
from ui.overlay import layers
from ui.reading import Reading

MAKER: Final = "Osteo Synergy"
SCHEME: Final = "99OSTEO"
SCHEME_ITEM: Final = CodingSchemeIdentificationItem(
    SCHEME, name="Codes of Osteo Synergy", responsible_organization=MAKER
)

FRACTURE: Final = CodedConcept("125605004", "SCT", "Fracture of bone")
RADIOGRAPHY: Final = CodedConcept("363680008", "SCT", "Radiographic imaging procedure")
PROBABILITY: Final = CodedConcept("PROBABILITY", SCHEME, "Calibrated probability of a fracture")
NOVELTY: Final = CodedConcept("NOVELTY", SCHEME, "Distance from the training images, above 1 outside of them")
REGION_SCORE: Final = CodedConcept("REGION", SCHEME, "Highest value of the heat map in the region")
RATIO: Final = CodedConcept("1", "UCUM", "no units")
PRESENCE: Final = {
    contract.FRACTURE: CodedConcept("52101004", "SCT", "Present"),
    contract.SUSPICION: CodedConcept("415684004", "SCT", "Suspected"),
    contract.NO_FRACTURE: CodedConcept("NOTSEEN", SCHEME, "Not seen, which does not exclude it"),
}
OUTSIDE: Final = CodedConcept("OUTSIDE", SCHEME, "No finding given: outside of what the model knows")


@dataclass(frozen=True, eq=False)
class View:
    """One reading and the header (``dicom_header.header_of``) of the DICOM file it was made from."""

    reading: Reading
    header: Dataset

    @property
    def nameless(self) -> Dataset:
        """The header without names, for highdicom, which quotes a name it doubts in a warning."""
        header = deepcopy(self.header)
        header.PatientName = header.ReferringPhysicianName = ""
        return header

    @property
    def frames(self) -> list[int] | None:
        """The frame that was read, where the file has several."""
        several = int(self.header.NumberOfFrames) > 1
        return [self.reading.source.frame or 1] if several else None


def structured_report(views: Sequence[View], created: datetime, series: UID, series_number: int) -> Dataset:
    """Return a Comprehensive SR over the views of one study, each with its finding, measurements and regions.

    Regions are closed polylines in pixels of the original. The report is preliminary, unverified, and made by a device.
    """
    told = views[0].reading.prediction
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[MAKER, told.model, str(told.version)]),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=told.model,
        serial_number=f"version {told.version}",
    )
    groups: list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations] = []
    for view in views:
        groups.append(_finding(view))
        groups += _regions(view)
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(codes.DCM.Device, device),
        ),
        procedure_reported=RADIOGRAPHY,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            CodedConcept("en", "RFC5646", "English")
        ),
    )
    report = ComprehensiveSR(
        evidence=_files(views),
        content=content,
        series_instance_uid=series,
        series_number=series_number,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=told.model,
        software_versions=str(told.version),
        series_description="Fracture reading (research)",
        is_complete=True,
        is_final=False,
        is_verified=False,
        content_date=created.date(),
        content_time=created.time(),
        series_date=created.date(),
        series_time=created.time(),
        specific_character_set="ISO_IR 192",
        coding_schemes=[SCHEME_ITEM],
    )
    report.copy_patient_and_study_information(views[0].header)
    return report


def _finding(view: View) -> MeasurementsAndQualitativeEvaluations:
    reading = view.reading
    told = reading.prediction
    presence = OUTSIDE if reading.outside_scope else PRESENCE[told.finding]
    measured = [Measurement(NOVELTY, round(told.novelty, 4), RATIO)]
    if not reading.outside_scope:
        measured.insert(0, Measurement(PROBABILITY, round(told.probability, 6), RATIO))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(UID(), "Whole view"),
        algorithm_id=_algorithm(reading),
        measurements=measured,
        qualitative_evaluations=[QualitativeEvaluation(FRACTURE, presence)],
        source_images=[
            SourceImageForMeasurementGroup(view.header.SOPClassUID, view.header.SOPInstanceUID, view.frames)
        ],
    )


def _regions(view: View) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    reading, size = view.reading, (view.header.Columns, view.header.Rows)
    source = SourceImageForRegion(view.header.SOPClassUID, view.header.SOPInstanceUID, view.frames)
    groups = []
    for number, place in enumerate(layers(reading).places, 1):
        corners = np.clip(place.outline.astype(np.float64) * size, 0, size)
        outline = ImageRegion(GraphicTypeValues.POLYLINE, np.vstack([corners, corners[:1]]), source)
        groups.append(
            PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(UID(), f"Region {number}"),
                referenced_region=outline,
                algorithm_id=_algorithm(reading),
                measurements=[Measurement(REGION_SCORE, round(place.score, 4), RATIO)],
                qualitative_evaluations=[QualitativeEvaluation(FRACTURE, PRESENCE[reading.prediction.finding])],
            )
        )
    return groups


def _algorithm(reading: Reading) -> AlgorithmIdentification:
    told = reading.prediction
    parameters = [
        f"suspicion from {told.suspicion_threshold:.4f}",
        f"fracture from {told.fracture_threshold:.4f}",
        f"no finding above novelty {contract.NOVELTY_LIMIT:g}",
    ]
    return AlgorithmIdentification(f"{MAKER} {told.model}", str(told.version), parameters)


def _files(views: Sequence[View]) -> list[Dataset]:
    """Return one header a file, where several views are frames of the same."""
    return list({view.header.SOPInstanceUID: view.nameless for view in views}.values())
