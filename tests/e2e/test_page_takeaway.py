"""What the page hands out: the PDF report, the JSON answer and the DICOM answer of the study that is looked at."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests import dicom_tools
from tests.e2e.page_process import SIZES, PageProcess, View, flat_picture, view
from tests.radiograph import files

pytestmark = pytest.mark.browser


def taken(tab: View, label: str, folder: Path) -> Path:
    """Press a button and return the file that the browser saved."""
    with tab.page.expect_download(timeout=30_000) as download:
        tab.page.get_by_role("button", name=label).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    expect(tab.page.locator("#takeaway-said [role=status]")).to_have_text(f"{path.name} has been made.")
    return path


@pytest.mark.parametrize("size", SIZES)
def test_a_study_is_taken_away_as_pdf_json_and_dicom(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    change = files.with_attributes(StudyInstanceUID="1.2.3.4", PatientID="P-SECRET", PatientName="Secret^Name")
    (tmp_path / "P-SECRET.dcm").write_bytes(files.dicom(change))
    with view(chromium, page.url, size) as tab:
        expect(tab.page.locator("#takeaway")).to_be_hidden()
        tab.drop(tmp_path / "P-SECRET.dcm")
        tab.wait_until_idle()
        pdf = taken(tab, "PDF report", tmp_path)
        assert "P-SECRET.dcm" in dicom_tools.run("pdftotext", pdf, "-")
        told = json.loads(taken(tab, "JSON answer", tmp_path).read_bytes())
        assert (told["strongest"], len(told["views"])) == ("P-SECRET.dcm", 1)
        answer = taken(tab, "DICOM answer", tmp_path)
        with zipfile.ZipFile(answer) as packed:
            packed.extract("findings.dcm", tmp_path)
        assert "Secret^Name" in dicom_tools.run("dcmdump", tmp_path / "findings.dcm")
        assert all(re.fullmatch(r"fracture-reading-[\d-]+\.[a-z.]+", path.name) for path in (pdf, answer))
        tab.keep(artifacts_dir, "takeaway")


def test_each_study_is_taken_away_by_itself_and_a_picture_has_no_dicom_answer(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    for number in (1, 2):
        change = files.with_attributes(StudyInstanceUID=f"1.2.{number}", PatientID=f"P{number}")
        (tmp_path / f"{number}.dcm").write_bytes(files.dicom(change))
    with view(chromium, page.url) as tab:
        tab.drop(tmp_path / "1.dcm", tmp_path / "2.dcm")
        expect(tab.page.locator("#takeaway h2")).to_have_text("Take study 1 of 2 away", timeout=20_000)
        tab.page.click("#results button[data-index='1']")
        expect(tab.page.locator("#takeaway h2")).to_have_text("Take study 2 of 2 away")
        told = json.loads(taken(tab, "JSON answer", tmp_path).read_bytes())
        assert [seen["file"] for seen in told["views"]] == ["2.dcm"]
        tab.drop(flat_picture(tmp_path, "fracture"))
        expect(tab.page.locator("#takeaway h2")).to_have_text("Take away", timeout=20_000)
        expect(tab.page.get_by_role("button", name="DICOM answer")).to_be_hidden()


def test_what_cannot_be_answered_gets_a_sentence(chromium: Browser, page: PageProcess, tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(files.dicom(files.with_attributes(StudyInstanceUID="")))
    with view(chromium, page.url) as tab:
        tab.drop(tmp_path / "1.dcm")
        tab.wait_until_idle()
        tab.page.get_by_role("button", name="DICOM answer").click()
        expect(tab.page.locator("#takeaway-said [role=status]")).to_contain_text("a UID is missing or wrong")
