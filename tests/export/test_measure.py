"""What measuring adds to an exported version's own answers: pictures from elsewhere, and the curves of its training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from export.measure import MeasureError, draw_history, flagged_of_outside
from training.evaluate import Answers

SIZE = 64


def bright_is_new(images: NDArray[np.uint8]) -> Answers:
    """A model that has not seen bright pictures."""
    novelty = images.mean(axis=(1, 2, 3)) / 100
    return Answers(np.zeros(len(images)), np.zeros(len(images)), np.zeros((len(images), 8, 8)), novelty)


def grey(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIZE, SIZE), level, np.uint8)).save(path)


def test_pictures_from_elsewhere_are_counted_as_a_whole_and_by_folder(tmp_path: Path) -> None:
    grey(tmp_path / "chest" / "a.png", 50)
    grey(tmp_path / "chest" / "b.png", 200)
    grey(tmp_path / "noise" / "c.png", 250)
    (tmp_path / "text.txt").write_text("no picture is refused, which is no finding either")
    found = flagged_of_outside(bright_is_new, tmp_path, SIZE)
    assert {name: (metric.value, metric.n) for name, metric in found.items()} == {
        "flagged_of_outside": (0.75, 4),
        "flagged_of_outside_chest": (0.5, 2),
        "flagged_of_outside_noise": (1.0, 1),
    }


def test_an_empty_folder_of_pictures_from_elsewhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="holds no files"):
        flagged_of_outside(bright_is_new, tmp_path, SIZE)


def test_the_curves_of_a_run_are_drawn(tmp_path: Path) -> None:
    history = [{"epoch": n, "loss": 1 / n, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.4} for n in (1, 2)]
    (tmp_path / "history.json").write_text(json.dumps(history))
    with Image.open(draw_history(tmp_path, tmp_path / "out")) as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize("content", [None, "not JSON", "[]"])
def test_a_run_without_a_history_is_said(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "history.json").write_text(content)
    with pytest.raises(MeasureError, match=r"no history\.json"):
        draw_history(tmp_path, tmp_path / "out")
