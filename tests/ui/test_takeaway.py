"""What is taken away from a study: files of every kind, named without a word of the patient."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from export import contract
from export.versions import newest
from tests.radiograph import files
from tests.ui.readings import answered
from ui.reading import Failure
from ui.study import Study
from ui.takeaway import DICOM, JSON, PDF, AnswerError, Kind, answers_in_dicom, make

CREATED = datetime(2026, 5, 17, 9, 41, 5, tzinfo=UTC)
PATIENT = {"PatientID": "77-SECRET", "PatientName": "Secret^Name", "StudyInstanceUID": "1.2.3"}


@pytest.fixture
def dicom_study(tmp_path: Path) -> Study:
    path = tmp_path / "SECRET.dcm"
    path.write_bytes(files.dicom(files.with_attributes(**PATIENT)))
    return Study((answered(path, 0.8), Failure("letter.jpg", "This is a text file.", "unknown_format")))


@pytest.mark.parametrize(
    ("kind", "name", "start"),
    [
        (PDF, "fracture-reading-20260517-094105.pdf", b"%PDF-"),
        (JSON, "fracture-reading-20260517-094105.json", b"{"),
        (DICOM, "fracture-reading-20260517-094105.dicom.zip", b"PK"),
    ],
)
def test_a_file_is_what_its_name_says_and_is_named_by_time_alone(
    dicom_study: Study, kind: Kind, name: str, start: bytes
) -> None:
    taken = make(kind, dicom_study, CREATED)
    assert taken.name == name
    assert taken.data.startswith(start)


def test_the_json_answer_is_the_study_with_its_time_and_the_limits_of_the_model(
    dicom_study: Study, project_root: Path
) -> None:
    card = contract.read_card(newest(project_root / "models" / "fracture"))
    told = json.loads(make(JSON, dicom_study, CREATED, card).data)
    assert told["created"] == "2026-05-17T09:41:05+00:00"
    assert told["limits"] == list(card.limits)
    assert {key: told[key] for key in dicom_study.to_dict()} == dicom_study.to_dict()
    assert "77-SECRET" not in json.dumps(told)


def test_the_dicom_answer_is_an_archive_of_dicom_files(dicom_study: Study) -> None:
    with zipfile.ZipFile(BytesIO(make(DICOM, dicom_study, CREATED).data)) as packed:
        assert sorted(packed.namelist()) == ["findings.dcm", "overlay-1.dcm", "report.dcm"]
        assert all(packed.read(name)[128:132] == b"DICM" for name in packed.namelist())


def test_only_a_study_with_a_dicom_view_is_answered_in_dicom(dicom_study: Study, tmp_path: Path) -> None:
    (tmp_path / "wrist.png").write_bytes(files.encoded(files.grey(), "PNG"))
    picture = Study((answered(tmp_path / "wrist.png", 0.8),))
    assert (answers_in_dicom(dicom_study), answers_in_dicom(picture)) == (True, False)
    with pytest.raises(AnswerError, match="Only DICOM files can have a DICOM answer"):
        make(DICOM, picture, CREATED)
