"""What readers take away, given to programs: one file a study, readable, refused in a sentence where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.e2e.page_process import PageProcess, flat_picture
from tests.radiograph import files


def test_a_program_gets_one_file_a_study(page: PageProcess, tmp_path: Path) -> None:
    client = Client(page.url, verbose=False)
    views = [handle_file(str(flat_picture(tmp_path, kind))) for kind in ("clear", "fracture")]
    (told,) = client.predict(views, "json", api_name="/report")
    study = json.loads(Path(told).read_text())
    assert (study["finding"], study["strongest"], len(study["views"])) == ("fracture", "fracture.png", 2)
    (report,) = client.predict(views, api_name="/report")
    assert Path(report).read_bytes().startswith(b"%PDF-")
    for number in range(2):
        change = files.with_attributes(StudyInstanceUID=f"1.2.{number}", PatientID=f"P{number}")
        (tmp_path / f"{number}.dcm").write_bytes(files.dicom(change))
    views = [handle_file(str(tmp_path / f"{number}.dcm")) for number in range(2)]
    answers = client.predict(views, "dicom", api_name="/report")
    assert [Path(answer).read_bytes()[:4] for answer in answers] == [b"PK\x03\x04"] * 2
    client.close()


def test_a_program_is_told_why_there_is_no_dicom_answer(page: PageProcess, tmp_path: Path) -> None:
    client = Client(page.url, verbose=False)
    with pytest.raises(AppError, match="DICOM"):
        client.predict([handle_file(str(flat_picture(tmp_path, "clear")))], "dicom", api_name="/report")
    client.close()
