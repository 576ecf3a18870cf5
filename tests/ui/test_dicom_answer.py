"""The DICOM answer, read back and judged by other programs: dcmtk, dicom3tools and poppler."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from tests import dicom_tools
from tests.radiograph import files
from tests.radiograph.files import Change, with_attributes
from tests.ui.readings import answered
from ui.dicom_answer import Answer, AnswerError, dicom_answer
from ui.reading import Result
from ui.study import Study

CREATED = datetime(2026, 5, 17, 9, 41, tzinfo=UTC)
PATIENT = {
    "PatientName": "Muster^Eva",
    "PatientID": "4711",
    "PatientBirthDate": "19700131",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.3.4.5",
    "StudyDate": "20260516",
    "StudyTime": "101500",
    "StudyID": "77",
    "AccessionNumber": "A-12",
    "ReferringPhysicianName": "Haus^Gregor",
}
UIDS = ("SOPInstanceUID", "SeriesInstanceUID")


def _file(folder: Path, name: str = "view.dcm", change: Change | None = None, **attributes: object) -> Path:
    def both(dataset: FileDataset) -> None:
        with_attributes(**{**PATIENT, **attributes})(dataset)
        if change:
            change(dataset)

    path = folder / name
    path.write_bytes(files.dicom(both))
    return path


def _answer(*results: Result) -> Answer:
    return dicom_answer(Study(results), CREATED)


def _written(answer: Answer, folder: Path) -> dict[str, Path]:
    for file in answer.files:
        (folder / file.name).write_bytes(file.data)
    return {file.name: folder / file.name for file in answer.files}


def _objects(answer: Answer) -> list[Dataset]:
    return [dcmread(io.BytesIO(file.data)) for file in answer.files]


def _dumped(path: Path, keyword: str) -> list[str]:
    """Return the values of an attribute as dcmdump prints them."""
    lines = dicom_tools.run("dcmdump", "--search", keyword, "--print-all", "+uc", "-Un", path).splitlines()
    return [found[1] for line in lines if (found := re.search(r"\) \w\w (?:\[(.*)\]|\(no value available\))", line))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "answer").mkdir()
    return tmp_path / "answer"


def test_every_object_is_what_the_standard_asks_for(tmp_path: Path, folder: Path) -> None:
    views = [answered(_file(tmp_path, f"{number}.dcm"), told) for number, told in enumerate((0.9, 0.2, 0.01))]
    paths = _written(_answer(*views), folder)
    assert list(paths) == ["overlay-1.dcm", "overlay-2.dcm", "overlay-3.dcm", "findings.dcm", "report.dcm"]
    assert {name: dicom_tools.faults(path) for name, path in paths.items()} == {name: [] for name in paths}


def test_patient_and_study_are_the_sources_and_every_other_uid_is_new(tmp_path: Path, folder: Path) -> None:
    source = _file(tmp_path)
    for path in _written(_answer(answered(source, 0.9)), folder).values():
        for keyword, value in PATIENT.items():
            assert set(_dumped(path, keyword)) == {value}, (path.name, keyword)
        original = dcmread(source)
        for keyword in UIDS:
            uid = str(dcmread(path)[keyword].value)
            assert uid in _dumped(path, keyword)
            assert uid != original[keyword].value
            assert UID(uid).is_valid
            assert not UID(uid).is_private or uid.startswith("1.2.826.0.1.3680043.")


def test_each_kind_has_a_series_of_its_own(tmp_path: Path) -> None:
    views = [answered(_file(tmp_path, f"{number}.dcm"), 0.9) for number in range(2)]
    first, second, report, document = _objects(_answer(*views))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert len({item.SeriesInstanceUID for item in (first, report, document)}) == 3
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert [item.Modality for item in (first, report, document)] == ["OT", "SR", "DOC"]


def test_no_uid_is_given_twice(tmp_path: Path) -> None:
    reading = answered(_file(tmp_path), 0.9)
    objects = [item for _ in range(2) for item in _objects(_answer(reading))]
    assert len({item.SOPInstanceUID for item in objects}) == len(objects)
    assert len({item.SeriesInstanceUID for item in objects}) == len(objects)


def test_the_report_says_the_finding_its_measurements_and_its_regions(tmp_path: Path, folder: Path) -> None:
    source = _file(tmp_path)
    paths = _written(_answer(answered(source, 0.2)), folder)
    text = dicom_tools.run("dsrdump", "+Pc", paths["findings.dcm"])
    for words in (
        '(126000,DCM,"Imaging Measurement Report")=CONTINUOUS',
        'Device Observer Name")="Osteo Synergy"',
        'Algorithm Version")="7"',
        'Algorithm Parameters")="suspicion from 0.0600"',
        '(PROBABILITY,99OSTEO,"Calibrated probability of a fracture")="0.2" (1,UCUM',
        '(NOVELTY,99OSTEO,"Distance from the training images, above 1 outside of them")="0.4"',
        '(125605004,SCT,"Fracture of bone")=(415684004,SCT,"Suspected")',
        '(111030,DCM,"Image Region")=(POLYLINE,',
        "Preliminary Flag    : PRELIMINARY",
        "Verification Flag   : UNVERIFIED",
    ):
        assert words in text, text
    assert set(_dumped(paths["findings.dcm"], "ReferencedSOPInstanceUID")) == {dcmread(source).SOPInstanceUID}


@pytest.mark.parametrize(
    ("probability", "novelty", "said", "regions"),
    [
        (0.9, 0.4, "Present", 1),
        (0.2, 0.4, "Suspected", 1),
        (0.01, 0.4, "Not seen", 0),
        (0.9, 1.5, "No finding given", 0),
    ],
)
def test_each_finding_has_its_code(
    tmp_path: Path, folder: Path, probability: float, novelty: float, said: str, regions: int
) -> None:
    paths = _written(_answer(answered(_file(tmp_path), probability, novelty)), folder)
    text = dicom_tools.run("dsrdump", "+Pc", paths["findings.dcm"])
    assert f'"{said}' in text
    assert text.count("POLYLINE") == regions
    assert ("probability" in text) == (novelty < 1)


def test_a_region_lies_on_the_original_where_the_map_points(tmp_path: Path) -> None:
    report = _objects(_answer(answered(_file(tmp_path), 0.9)))[1]
    (group,) = [item for item in _items(report) if item.get("GraphicType") == "POLYLINE"]
    corners = np.reshape(group.GraphicData, (-1, 2))
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    # The map is square and the picture is not: 128 rows fill the input, 96 columns leave borders of 12.5 %.
    assert middle == pytest.approx(((0.4 - 0.125) / 0.75 * files.WIDTH, 0.7 * files.HEIGHT), abs=8)
    assert np.array_equal(corners[0], corners[-1])


def _items(dataset: Dataset) -> list[Dataset]:
    return [dataset, *(found for item in dataset.get("ContentSequence", ()) for found in _items(item))]


def test_the_secondary_capture_is_the_marked_picture_with_a_notice(tmp_path: Path, folder: Path) -> None:
    source = _file(tmp_path)
    path = _written(_answer(answered(source, 0.9)), folder)["overlay-1.dcm"]
    dicom_tools.run("dcmj2pnm", "--write-png", path, folder / "overlay.png")
    capture = dcmread(path)
    assert (capture.PhotometricInterpretation, capture.ConversionType) == ("RGB", "DI")
    assert (capture.Columns, capture.Rows > files.HEIGHT) == (files.WIDTH, True)
    assert np.ptp(capture.pixel_array[: files.HEIGHT].astype(int), axis=2).max() > 60
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == dcmread(source).SOPInstanceUID
    assert capture.BurnedInAnnotation == "NO"


def test_the_document_is_the_pdf_report(tmp_path: Path, folder: Path) -> None:
    path = _written(_answer(answered(_file(tmp_path), 0.9)), folder)["report.dcm"]
    dicom_tools.run("dcm2pdf", path, folder / "report.pdf")
    text = dicom_tools.run("pdftotext", folder / "report.pdf", "-")
    assert "view.dcm" in text
    assert "Muster" not in text


def test_the_frame_that_was_read_is_the_frame_referred_to(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "frames.dcm"
    path.write_bytes(files.multi_frame(3))
    paths = _written(_answer(answered(path, 0.9, frame=2)), folder)
    for name in ("findings.dcm", "overlay-1.dcm"):
        assert set(_dumped(paths[name], "ReferencedFrameNumber")) == {"2"}


def test_the_original_is_not_changed(tmp_path: Path) -> None:
    source = _file(tmp_path)
    before = source.read_bytes()
    _answer(answered(source, 0.9))
    assert source.read_bytes() == before


def _remove(*keywords: str) -> Change:
    def change(dataset: FileDataset) -> None:
        for keyword in keywords:
            dataset.pop(keyword, None)

    return change


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "keyword", "expected"),
    [
        (_remove(*(keyword for keyword in PATIENT if keyword != "StudyInstanceUID")), "PatientName", ""),
        (with_attributes(PatientSex="unknown"), "PatientSex", ""),
        (with_attributes(PatientBirthDate="31.1.1970"), "PatientBirthDate", ""),
        (with_attributes(StudyTime="noon"), "StudyTime", ""),
        (with_attributes(PatientName="Cher"), "PatientName", "Cher"),
    ],
)
def test_what_a_source_lacks_or_states_wrongly_is_there_and_empty(
    tmp_path: Path, folder: Path, change: Change, keyword: str, expected: str
) -> None:
    for path in _written(_answer(answered(_file(tmp_path, change=change), 0.9)), folder).values():
        assert dicom_tools.faults(path) == []
        assert str(dcmread(path)[keyword].value or "") == expected


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Änne"),
        ("ISO_IR 144", "Люкceмбypг^Роза"),
        ("ISO_IR 192", "王^小東"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_in_any_character_set_are_the_same_in_the_answer(
    tmp_path: Path, folder: Path, charset: str | list[str], name: str
) -> None:
    source = _file(tmp_path, SpecificCharacterSet=charset, PatientName=name)
    for path in _written(_answer(answered(source, 0.9)), folder).values():
        assert str(dcmread(path).PatientName) == name
        assert _dumped(path, "SpecificCharacterSet") == ["ISO_IR 192"]
        assert _dumped(path, "PatientName") == [name]


def _without(keyword: str) -> Callable[[Path], Path]:
    return lambda folder: _file(folder, change=_remove(keyword))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_file_that_cannot_be_referred_to_has_no_answer(tmp_path: Path, keyword: str) -> None:
    with pytest.raises(AnswerError, match="which study, series and picture"):
        _answer(answered(_without(keyword)(tmp_path), 0.9))


def test_a_picture_that_is_no_dicom_file_has_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    files.grey().save(path)
    with pytest.raises(AnswerError, match="Only DICOM files"):
        _answer(answered(path, 0.9))


@pytest.mark.parametrize("attributes", [{"StudyInstanceUID": "1.2.9"}, {"PatientID": "4712"}])
def test_files_of_different_studies_or_patients_have_no_common_answer(
    tmp_path: Path, attributes: dict[str, str]
) -> None:
    other = _file(tmp_path, "b.dcm", with_attributes(**attributes))
    views = [answered(_file(tmp_path, "a.dcm"), 0.9), answered(other, 0.9)]
    with pytest.raises(AnswerError, match="different studies or patients") as caught:
        _answer(*views)
    assert "471" not in str(caught.value)


@pytest.mark.parametrize(
    ("modality", "words"),
    [("US", "an ultrasound"), ("CT", "a CT slice"), ("XC", "a photograph"), ("MG", "a mammogram")],
)
def test_other_kinds_of_pictures_are_refused_with_the_reason(tmp_path: Path, modality: str, words: str) -> None:
    reading = answered(_file(tmp_path), 0.9)
    other = _file(tmp_path, "other.dcm", Modality=modality)
    with pytest.raises(AnswerError, match=words):
        _answer(replace(reading, source=replace(reading.source, path=other)))


def test_a_file_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    reading = answered(_file(tmp_path), 0.9)
    (tmp_path / "view.dcm").unlink()
    with pytest.raises(AnswerError, match="no longer there"):
        _answer(reading)


def test_the_files_come_in_one_archive(tmp_path: Path) -> None:
    answer = _answer(answered(_file(tmp_path), 0.9))
    with zipfile.ZipFile(io.BytesIO(answer.to_zip())) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == [file.name for file in answer.files]


SCRIPT = """
import logging, pathlib, sys
logging.basicConfig(level=logging.DEBUG)
from datetime import datetime
from tests.ui.readings import answered
from ui.dicom_answer import dicom_answer
from ui.study import Study
print(len(dicom_answer(Study((answered(pathlib.Path(sys.argv[1]), 0.9),)), datetime.now()).files), "files")
"""


def test_nothing_of_a_patient_is_logged_or_warned_of(tmp_path: Path, project_root: Path) -> None:
    attributes = {"PatientName": "Musterfrau", "PatientBirthDate": "Musterfrau", "StudyDate": "Musterfrau"}
    path = _file(tmp_path, change=with_attributes(**attributes, ReferringPhysicianName="Musterfrau"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], cwd=project_root, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "3 files\n", done.stderr
    assert "Muster" not in done.stderr
    assert "4711" not in done.stderr
    assert PATIENT["StudyInstanceUID"] not in done.stderr
