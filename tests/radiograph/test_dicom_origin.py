"""Files of one study and of one patient are recognised, and nobody can tell whose they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from radiograph import read
from radiograph.dicom_origin import Origin
from tests.radiograph import files
from tests.radiograph.files import Change, with_attributes

SAME = {"StudyInstanceUID": "1.2.3.4", "PatientID": "4711", "PatientName": "Muster^Eva", "PatientBirthDate": "19700101"}


def _origin(**attributes: object) -> Origin:
    origin = read(files.dicom(with_attributes(**{**SAME, **attributes}))).origin
    assert origin is not None
    return origin


def test_the_same_study_and_patient_compare_equal() -> None:
    assert _origin() == _origin(BodyPartExamined="HAND")


@pytest.mark.parametrize(
    ("attributes", "study", "patient"),
    [
        ({"StudyInstanceUID": "1.2.3.5"}, False, True),
        ({"PatientID": "4712"}, True, False),
        ({"IssuerOfPatientID": "elsewhere"}, True, False),
        ({"PatientName": "MUSTER^EVA"}, True, True),
        ({"PatientID": "4711 "}, True, True),
    ],
)
def test_what_differs_is_told(attributes: dict[str, object], study: bool, patient: bool) -> None:
    first, second = _origin(), _origin(**attributes)
    assert (first.study == second.study, first.patient == second.patient) == (study, patient)


def test_without_a_number_name_and_birth_date_tell_patients_apart() -> None:
    assert _origin(PatientID="").patient == _origin(PatientID="").patient
    assert _origin(PatientID="").patient != _origin(PatientID="", PatientBirthDate="19700102").patient


def _unnamed(dataset: FileDataset) -> None:
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        delattr(dataset, keyword)


@pytest.mark.parametrize(
    "change", [_unnamed, with_attributes(StudyInstanceUID="", PatientID="", PatientName="", PatientBirthDate="")]
)
def test_a_file_that_names_nobody_has_no_digest(change: Change) -> None:
    assert read(files.dicom(change)).origin == Origin(None, None)


def test_pictures_of_other_kinds_have_no_origin() -> None:
    assert read(files.encoded(files.grey(), "PNG")).origin is None


def test_a_digest_means_nothing_in_another_process(tmp_path: Path, project_root: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(files.dicom(with_attributes(**SAME)))
    script = "import sys; from radiograph import read; print(read(sys.argv[1]).origin)"
    command = [sys.executable, "-c", script, str(path)]
    printed = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=True).stdout
    assert "4711" not in printed
    assert "Muster" not in printed
    assert printed.strip() != str(read(path).origin)
