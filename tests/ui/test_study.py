"""Views read as studies: grouped by study and patient, the strongest finding with its reason, nothing of a header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export import contract
from radiograph.errors import FrameNeeded
from serving.client import FractureClient
from tests.contract_model import LEVELS
from tests.model_server import ModelServer
from tests.radiograph import files
from tests.ui.readings import answered
from ui.overlay import display_picture
from ui.reading import Reader, Reading
from ui.sources import Failure, Source, unpack
from ui.study import MIXED_STUDY, UNTOLD, Study, studies

BROKEN = Failure("letter.txt", "This is a text file. Give a radiograph.", "unknown_format")


def _dicom(folder: Path, name: str, study: str = "1.2.3", patient: str = "P-SECRET") -> Path:
    path = folder / name
    change = files.with_attributes(StudyInstanceUID=study, PatientID=patient, PatientName=f"{patient}^Eva")
    path.write_bytes(files.dicom(change))
    return path


def _png(folder: Path, name: str) -> Path:
    path = folder / name
    files.grey().save(path)
    return path


def _names(study: Study) -> list[str]:
    return [result.file for result in study.results]


@pytest.mark.parametrize(
    ("probabilities", "strongest", "finding"),
    [
        ((0.2, 0.9, 0.5), 1, contract.FRACTURE),
        ((0.01, 0.2, 0.1), 1, contract.SUSPICION),
        ((0.01, 0.03), 1, contract.NO_FRACTURE),
    ],
)
def test_a_study_has_the_finding_of_its_strongest_view(
    tmp_path: Path, probabilities: tuple[float, ...], strongest: int, finding: str
) -> None:
    readings = [answered(_png(tmp_path, f"{number}.png"), told) for number, told in enumerate(probabilities)]
    (study,) = studies(readings)
    assert study.strongest is readings[strongest]
    assert study.finding == finding
    assert f"{strongest}.png" in study.reason


def test_a_view_outside_the_scope_never_is_the_strongest(tmp_path: Path) -> None:
    novel, clear = answered(_png(tmp_path, "a.png"), 0.99, novelty=2.0), answered(_png(tmp_path, "b.png"), 0.01)
    (study,) = studies([novel, clear])
    assert study.finding == contract.NO_FRACTURE
    assert "1 view got no finding" in study.reason


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ("ffc", "has the strongest finding of 3 views: fracture, probability 90 %. 2 of 3 views show"),
        ("fsx", "All views show a fracture or a suspicion of one. Not part of it: 1 file could not be read."),
        ("cc", "None of the 2 views shows signs of a fracture; the highest probability is 1.0 %"),
        ("f", "The finding is that of 0.png."),
        ("fx", "The only view with a finding is 0.png. Not part of it: 1 file could not be read."),
        ("n", "The view does not look like"),
        ("nnx", "None of the 2 views looks like the limb radiographs the model knows"),
        ("xx", "None of the files could be read."),
        ("x", "The file could not be read."),
    ],
)
def test_the_reason_says_what_the_finding_rests_on(tmp_path: Path, kinds: str, words: str) -> None:
    probability = {"f": 0.9, "s": 0.2, "c": 0.01, "n": 0.9}
    results = [
        BROKEN
        if kind == "x"
        else answered(_png(tmp_path, f"{number}.png"), probability[kind], novelty=2.0 if kind == "n" else 0.4)
        for number, kind in enumerate(kinds)
    ]
    (study,) = studies(results)
    assert words in study.reason


def test_dicom_files_are_grouped_by_their_study(tmp_path: Path) -> None:
    paths = [_dicom(tmp_path, "a", "1.1"), _dicom(tmp_path, "b", "1.2"), _dicom(tmp_path, "c", "1.1")]
    found = studies([answered(path, 0.5) for path in paths])
    assert [_names(study) for study in found] == [["a", "c"], ["b"]]
    assert all(study.remarks == () for study in found)


def test_mixed_patients_are_said_and_read_apart_and_nobody_is_named(tmp_path: Path) -> None:
    paths = [_dicom(tmp_path, "a", patient="P-SECRET"), _dicom(tmp_path, "b", patient="Q-SECRET")]
    found = studies([answered(path, 0.5) for path in paths])
    assert [_names(study) for study in found] == [["a"], ["b"]]
    for study in found:
        assert "2 different patients" in study.remarks[0]
        assert MIXED_STUDY in study.remarks
        assert "SECRET" not in study.to_json()
        assert "SECRET" not in repr(study.results)


def test_pictures_join_the_only_study_with_a_remark(tmp_path: Path) -> None:
    (study,) = studies([answered(_png(tmp_path, "a.png"), 0.5), answered(_dicom(tmp_path, "b"), 0.5), BROKEN])
    assert _names(study) == ["a.png", "b", "letter.txt"]
    assert study.remarks == (UNTOLD,)


def test_pictures_beside_several_studies_stand_by_themselves(tmp_path: Path) -> None:
    paths = [_dicom(tmp_path, "a", "1.1"), _png(tmp_path, "p.png"), _dicom(tmp_path, "b", "1.2")]
    found = studies([answered(path, 0.5) for path in paths])
    assert [_names(study) for study in found] == [["a"], ["b"], ["p.png"]]


def test_a_study_is_json_for_programs(tmp_path: Path) -> None:
    (study,) = studies([answered(_png(tmp_path, "a.png"), 0.9), BROKEN], ("A remark.",))
    told = json.loads(study.to_json())
    assert (told["finding"], told["strongest"], told["remarks"]) == (contract.FRACTURE, "a.png", ["A remark."])
    assert [view["file"] for view in told["views"]] == ["a.png", "letter.txt"]


def test_no_results_are_no_study() -> None:
    assert studies([]) == ()


def test_a_reading_can_be_kept_with_a_smaller_picture(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (900, 600), 90).save(path)
    reading = answered(path, 0.9)
    kept = reading.with_picture(display_picture(reading.radiograph, 300))
    assert kept.heatmap.shape == (200, 300)
    assert np.unravel_index(kept.heatmap.argmax(), kept.heatmap.shape) == pytest.approx((0.8 * 200, 0.4 * 300), abs=20)


@pytest.fixture
def reader(model_server: ModelServer) -> Iterator[Reader]:
    with FractureClient(model_server.target) as client:
        yield Reader(client)


def test_an_archive_is_read_as_one_study_whatever_is_wrong_with_one_member(reader: Reader, tmp_path: Path) -> None:
    import zipfile

    flat = {"clear.png": LEVELS["clear"], "fracture.png": LEVELS["fracture"]}
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("letter.txt", "Dear colleague")
        for name, level in flat.items():
            packed.writestr(name, files.encoded(Image.new("L", (400, 400), level), "PNG"))
    results = [
        entry if isinstance(entry, Failure) else reader.read_source(entry)
        for entry in unpack([Source("study.zip", path)]).entries
    ]
    (study,) = studies(results)
    assert study.finding == contract.FRACTURE
    assert study.strongest is not None
    assert study.strongest.file == "study.zip/fracture.png"
    assert [failure.code for failure in study.failures] == ["unknown_format"]
    assert list(map(type, reader.read_files([path]))) == [Failure, Reading, Reading]


def test_a_file_of_several_frames_asks_which_and_reads_the_one_chosen(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "frames.dcm"
    path.write_bytes(files.multi_frame(3))
    asked = reader.read_file(path, name="frames.dcm")
    assert isinstance(asked, Failure)
    assert (asked.code, asked.frames) == (FrameNeeded.code, 3)
    assert asked.to_dict()["frames"] == 3
    source = Source("frames.dcm", path).at_frame(3).at_frame(2)
    (of_the_command_line,) = reader.read_files([path], frame=2)
    for chosen in (reader.read_source(source), of_the_command_line):
        assert isinstance(chosen, Reading)
        assert chosen.file.endswith("frames.dcm, frame 2")
        assert chosen.radiograph.pixels.max() == files.sample(12).pixels.max() - 1
