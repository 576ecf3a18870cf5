"""Feedback: what is kept and what is not, which opinion counts, agreement by version with its interval."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.radiograph import files
from tests.ui.readings import answered
from ui.feedback import (
    LINES,
    LONGEST_NOTE,
    MOST_BYTES,
    PICTURES,
    Feedback,
    FeedbackError,
    agreement,
    keep,
    load,
    of_reading,
    of_result,
)
from ui.overlay import display_picture, png
from ui.reading import Reading


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """A reading with the probability 0.5 of a DICOM file with a patient's name in it."""
    path = tmp_path / "Smith_John.dcm"
    path.write_bytes(files.dicom(files.with_attributes(PatientName="Smith^John", PatientID="4711")))
    return answered(path, 0.5)


@pytest.fixture
def result(reading: Reading) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(reading.to_dict()))
    return told


def test_a_line_holds_the_answer_and_neither_name_nor_header_nor_pixels(tmp_path: Path, reading: Reading) -> None:
    keep(tmp_path / "kept", of_reading(reading, "visit", agrees=False, note="  growth\nplate "))
    (line,) = (tmp_path / "kept" / LINES).read_text().splitlines()
    kept = json.loads(line)
    assert (kept["agrees"], kept["note"], kept["via"], kept["picture"]) == (False, "growth plate", "page", None)
    assert (kept["finding"], kept["probability"], kept["version"]) == ("fracture", 0.5, 7)
    assert not any(word in line for word in ("Smith", "4711", ".dcm", str(tmp_path)))
    assert list((tmp_path / "kept" / PICTURES).iterdir()) == []


def test_the_picture_is_kept_with_consent_and_deleted_when_it_is_taken_back(tmp_path: Path, reading: Reading) -> None:
    opinion = of_reading(reading, "visit", agrees=True, note="")
    keep(tmp_path, opinion, png(display_picture(reading.radiograph)))
    ((kept,), damaged) = load(tmp_path)
    assert kept.picture is not None
    with Image.open(tmp_path / kept.picture) as picture:
        assert (picture.size, picture.info) == ((reading.radiograph.width, reading.radiograph.height), {})
    keep(tmp_path, replace(opinion, agrees=False))
    ((kept,), damaged) = load(tmp_path)
    assert (kept.agrees, kept.picture, damaged) == (False, None, 0)
    assert list((tmp_path / PICTURES).iterdir()) == []


def test_the_last_opinion_of_a_visit_counts_and_that_of_another_visit_beside_it(
    tmp_path: Path, reading: Reading
) -> None:
    for visit, agrees in (("a", True), ("a", False), ("b", True)):
        keep(tmp_path, of_reading(reading, visit, agrees=agrees, note=""))
    opinions, _ = load(tmp_path)
    assert [opinion.agrees for opinion in opinions] == [False, True]


def test_agreement_is_told_by_version_and_finding_with_wilsons_interval(tmp_path: Path, reading: Reading) -> None:
    opinion = of_reading(reading, "visit", agrees=True, note="")
    for number in range(10):
        keep(tmp_path, replace(opinion, reading=f"{number}", agrees=number < 8))
    keep(tmp_path, replace(opinion, reading="other", version=9, finding="suspicion"))
    found = agreement(load(tmp_path)[0])
    assert [(line.version, line.finding, line.n, line.agreed) for line in found] == [
        (9, "all", 1, 1),
        (9, "suspicion", 1, 1),
        (7, "all", 10, 8),
        (7, "fracture", 10, 8),
    ]
    # Wilson (1927): 8 of 10 at 95 %
    assert (found[2].share, found[2].low, found[2].high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)


def test_damaged_lines_are_counted_and_cost_no_other(tmp_path: Path, reading: Reading) -> None:
    keep(tmp_path, of_reading(reading, "visit", agrees=True, note=""))
    with (tmp_path / LINES).open("a") as file:
        file.write('{"cut\n[]\n{"agrees": "yes"}\n')
    opinions, damaged = load(tmp_path)
    assert (len(opinions), damaged) == (1, 3)


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path, reading: Reading) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FeedbackError, match="could not be kept"):
        keep(tmp_path / "file", of_reading(reading, "visit", agrees=True, note=""))


def test_no_picture_is_kept_that_no_line_can_tell_of(tmp_path: Path, reading: Reading) -> None:
    opinion = of_reading(reading, "visit", agrees=True, note="")
    with (tmp_path / LINES).open("wb") as full:
        full.truncate(MOST_BYTES)
    with pytest.raises(FeedbackError, match="full"):
        keep(tmp_path, opinion, png(display_picture(reading.radiograph)))
    assert list((tmp_path / PICTURES).iterdir()) == []
    assert (tmp_path / LINES).stat().st_size == MOST_BYTES


def test_a_program_gives_its_opinion_on_a_result(result: dict[str, Any]) -> None:
    opinion = of_result(result, agrees=True, note="x" * 10_000)
    assert (opinion.via, opinion.finding, opinion.version, len(opinion.note)) == (
        "program",
        "fracture",
        7,
        LONGEST_NOTE,
    )
    assert of_result(result, agrees=False, note="").reading == opinion.reading
    assert Feedback.from_json(opinion.to_json()).finding == "fracture"


@pytest.mark.parametrize(
    "change",
    [
        {"finding": "healthy"},
        {"probability": 1.5},
        {"probability": "nan"},
        {"novelty": "inf"},
        {"version": "newest"},
        {"thresholds": None},
        {"outside_scope": True},
    ],
)
def test_what_is_no_result_of_this_page_is_refused(result: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(FeedbackError, match="as /read returned it"):
        of_result(result | change, agrees=True, note="")


@pytest.mark.parametrize("thing", [None, [], "text", {"file": "a.png", "error": "Broken.", "code": "truncated"}])
def test_a_failure_is_no_result_to_agree_with(thing: object) -> None:
    with pytest.raises(FeedbackError):
        of_result(thing, agrees=True, note="")


def test_the_command_prints_a_table_and_one_line_of_json(project_root: Path, tmp_path: Path, reading: Reading) -> None:
    keep(tmp_path, of_reading(reading, "visit", agrees=True, note="clear"))
    command = [sys.executable, "-m", "osteo", "feedback"]
    told = subprocess.run([*command, tmp_path], cwd=project_root, capture_output=True, text=True, check=True)
    last = json.loads(told.stdout.splitlines()[-1])
    assert last["notes"] == 1
    assert last["agreement"][0]["n"] == 1
    none = subprocess.run([*command, tmp_path / "none"], cwd=project_root, capture_output=True, text=True, check=False)
    assert (none.returncode, len(none.stderr.splitlines())) == (1, 1)
    assert "holds no feedback yet" in none.stderr
