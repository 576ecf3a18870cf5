"""The viewer's content: layers, outlines with scores, and nothing that only colour tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.radiograph import files
from tests.ui.readings import answered
from ui.markup import show
from ui.pictures import NO_PICTURE, View, alone, side_by_side
from ui.reading import Reading


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    path = tmp_path / "wrist.png"
    path.write_bytes(files.encoded(files.grey(), "PNG"))
    return answered(path, 0.8)


def view(reading: Reading, probability: float = 0.8) -> View:
    """Return the reading's view, as it is with another probability."""
    shown = show(answered(Path(reading.source.path), probability)).view
    assert shown is not None
    return shown


@pytest.mark.parametrize(
    ("probability", "outline", "words"),
    [(0.8, "outline fracture", "solid outline"), (0.2, "outline suspicion", "dotted outline"), (0.01, None, None)],
)
def test_regions_are_outlined_by_finding_and_told_in_words_with_their_score(
    reading: Reading, probability: float, outline: str | None, words: str | None
) -> None:
    drawn = view(reading, probability)
    html = alone(drawn, 0)
    assert ("<svg" in html) == (outline is not None)
    assert html.count('class="region"') == html.count('class="score') == (outline is not None)
    if outline and words:
        assert f'class="{outline}"' in html
        score = f"{drawn.places[0].score:.2f}"
        assert f"Region 1, {words}, score {score}" in html
        assert f"1 · {score}</span>" in html


def test_the_picture_is_sent_once_and_shown_twice(reading: Reading) -> None:
    html = alone(view(reading), 0)
    assert html.count("image/jpeg") == 1
    assert html.count("<figure") == 2


def test_a_view_tells_its_own_size_its_originals_and_its_depth(tmp_path: Path) -> None:
    path = tmp_path / "deep.dcm"
    path.write_bytes(files.dicom())
    whole = answered(path, 0.8)
    small = whole.with_picture(np.zeros((30, 20), np.uint8))
    shown = show(small, whole=whole.radiograph).view
    assert shown is not None
    assert (shown.size, shown.full, shown.deep) == ((20, 30), (whole.radiograph.width, whole.radiograph.height), True)


def test_what_a_file_draws_over_its_picture_is_a_layer_of_its_own(reading: Reading) -> None:
    assert "notes" not in alone(view(reading), 0)
    plane = np.ones(reading.radiograph.pixels.shape, np.bool_)
    shown = show(reading, whole=replace(reading.radiograph, overlay=plane)).view
    assert '<img class="notes"' in alone(shown, 0)


def test_views_side_by_side_keep_their_places_and_say_their_findings(reading: Reading) -> None:
    html = side_by_side([(1, view(reading, 0.8)), (4, view(reading, 0.01))])
    assert [part.split('"')[0] for part in html.split('data-place="')[1:]] == ["1", "4"]
    for words in ("wrist.png: Fracture, 80 %", "wrist.png: No fracture seen, 1.0 %"):
        assert words in html


def test_a_file_without_a_picture_says_so() -> None:
    assert alone(None, 0) == NO_PICTURE


def test_the_name_of_a_file_is_never_markup(tmp_path: Path) -> None:
    path = tmp_path / "<b>&${x}.png"
    path.write_bytes(files.encoded(files.grey(), "PNG"))
    drawn = show(answered(path, 0.8)).view
    assert drawn is not None
    for html in (alone(drawn, 0), side_by_side([(0, drawn)])):
        assert "<b>" not in html
        assert "${" not in html
