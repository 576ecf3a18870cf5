"""The PDF report, read back by another program."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export import contract
from export.versions import newest
from tests import dicom_tools
from tests.radiograph import files
from tests.ui.readings import answered
from ui.reading import OUTSIDE_SCOPE, Result
from ui.report import NOTICE, pdf_report
from ui.sources import Failure
from ui.study import studies

CREATED = datetime(2026, 5, 17, 9, 41, tzinfo=UTC)


@pytest.fixture(scope="module")
def card(project_root: Path) -> contract.ModelCard:
    return contract.read_card(newest(project_root / "models" / "fracture"))


def _picture(folder: Path, name: str) -> Path:
    path = folder / name
    files.grey().save(path, "PNG")
    return path


def _printed(folder: Path, results: list[Result], card: contract.ModelCard | None = None) -> str:
    """Return the text of the report of one study, as its lines flow."""
    (study,) = studies(results, ("A remark on all.",))
    path = folder / "report.pdf"
    path.write_bytes(pdf_report(study, CREATED, card))
    return " ".join(dicom_tools.run("pdftotext", "-raw", path, "-").split())


def test_a_report_says_finding_reason_thresholds_version_time_and_notice(
    tmp_path: Path, card: contract.ModelCard
) -> None:
    text = _printed(tmp_path, [answered(_picture(tmp_path, "a.png"), 0.2)], card)
    for words in (
        NOTICE,
        "Suspicion",
        "The finding is that of a.png.",
        "A remark on all.",
        "suspicion from 6.0 % and fracture from 36 %",
        "model fracture version 7",
        "2026-05-17 09:41 UTC",
        "20 %",
        "page 1 of 1",
        "Low resolution",
        *card.limits,
    ):
        assert words in text


def test_outside_the_scope_no_finding_and_no_probability_is_printed(tmp_path: Path) -> None:
    text = _printed(tmp_path, [answered(_picture(tmp_path, "a.png"), 0.97, novelty=1.5)])
    assert "No finding given" in text
    assert OUTSIDE_SCOPE in text
    assert "97 %" not in text


@pytest.mark.parametrize("views", [1, 2, 4, 6])
def test_a_study_of_a_few_views_has_one_page_with_two_pictures_a_view(tmp_path: Path, views: int) -> None:
    results: list[Result] = [answered(_picture(tmp_path, f"view {number}.png"), 0.5) for number in range(views)]
    text = _printed(tmp_path, results)
    assert "page 1 of 1" in text
    listed = dicom_tools.run("pdfimages", "-list", tmp_path / "report.pdf").splitlines()[2:]
    # Equal originals are stored once.
    assert len({line.split()[10] for line in listed}) == 2
    assert len(listed) == 2 * views


def test_a_study_of_many_views_lists_all_of_them(tmp_path: Path) -> None:
    results: list[Result] = [answered(_picture(tmp_path, f"view{number}.png"), 0.5) for number in range(30)]
    text = _printed(tmp_path, results)
    assert "6 strongest of 30 views" in text
    assert all(f"view{number}.png" in text for number in range(30))


def test_files_that_were_not_read_stand_in_the_table_alone(tmp_path: Path) -> None:
    text = _printed(tmp_path, [Failure("letter.txt", "This is a text file. Give a radiograph.", "unknown_format")])
    assert "No finding given" in text
    assert "This is a text file. Give a radiograph." in text


@pytest.mark.parametrize(
    ("name", "printed"),
    [("Überweisung.png", "Überweisung.png"), ("Пример.png", "Пример.png"), ("報告.png", "\ufffd\ufffd.png")],
)
def test_names_in_any_script_are_printed_or_marked(tmp_path: Path, name: str, printed: str) -> None:
    assert printed in _printed(tmp_path, [answered(_picture(tmp_path, name), 0.5)])


def test_fonts_are_embedded(tmp_path: Path) -> None:
    _printed(tmp_path, [answered(_picture(tmp_path, "a.png"), 0.5)])
    fonts = dicom_tools.run("pdffonts", tmp_path / "report.pdf").splitlines()[2:]
    assert fonts
    assert all("DejaVu" in font and font.split()[-5] == "yes" for font in fonts)


def test_the_original_stands_untouched_beside_the_marked_picture(tmp_path: Path) -> None:
    _printed(tmp_path, [answered(_picture(tmp_path, "a.png"), 0.9)])
    dicom_tools.run("pdfimages", "-png", tmp_path / "report.pdf", tmp_path / "image")
    pictures = [np.asarray(Image.open(path)) for path in sorted(tmp_path.glob("image-*.png"))]
    grey = next(picture for picture in pictures if picture.ndim == 2)
    colour = next(picture for picture in pictures if picture.ndim == 3)
    original = files.sample().pixels.astype(int)
    assert np.abs(grey - original).mean() < 4
    assert np.ptp(colour.astype(int), axis=2).max() > 60


def test_nothing_of_a_dicom_header_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(files.dicom(files.with_attributes(PatientName="Musterfrau^Eva", PatientID="SECRET")))
    _printed(tmp_path, [answered(path, 0.5)])
    data = (tmp_path / "report.pdf").read_bytes()
    assert b"Musterfrau" not in data
    assert "Musterfrau" not in dicom_tools.run("pdftotext", tmp_path / "report.pdf", "-")
