"""The session of a visit: which study a view belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.radiograph import files
from tests.ui.readings import answered
from ui.markup import show
from ui.session import Entry, Session


@pytest.fixture
def entries(tmp_path: Path) -> tuple[Entry, ...]:
    """Three views of two studies, the second view alone in its study."""
    found = []
    for number, study in enumerate(("1.2.1", "1.2.2", "1.2.1")):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(files.dicom(files.with_attributes(StudyInstanceUID=study, PatientID=f"P{study}")))
        reading = answered(path, 0.8)
        found.append(Entry(reading.source, reading, show(reading)))
    return tuple(found)


@pytest.mark.parametrize(("place", "number", "views"), [(0, 1, ["0.dcm", "2.dcm"]), (1, 2, ["1.dcm"]), (2, 1, None)])
def test_a_view_is_found_in_its_study(
    entries: tuple[Entry, ...], place: int, number: int, views: list[str] | None
) -> None:
    found = Session(entries, whole=True).study_of(place)
    assert found is not None
    assert found[0] == number
    assert [result.file for result in found[1].results] == (views or ["0.dcm", "2.dcm"])


@pytest.mark.parametrize(("whole", "place"), [(False, 0), (True, 3), (True, -1)])
def test_no_study_is_told_before_its_last_view_or_of_no_view(
    entries: tuple[Entry, ...], whole: bool, place: int
) -> None:
    assert Session(entries, whole=whole).study_of(place) is None
