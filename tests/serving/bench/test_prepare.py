"""Read and prepare beside the plain way: the same picture, and figures that make sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.bench import prepare
from serving.bench.summary import BenchError

SIDES = ((300, 400),)
KINDS = ["JPEG", "PNG 8 bit", "PNG 16 bit", "DICOM 12 bit"]


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_give_the_same_picture(kind: str) -> None:
    (file,) = (file for file in prepare.drawn(SIDES) if file.name == f"{kind} 300 × 400")
    ours, plain = (way(file.content, 96).astype(int) for way in (prepare.ours, prepare.plain))
    assert ours.shape == plain.shape == (96, 96)
    assert np.mean(np.abs(ours - plain)) < 1.5
    assert ours.std() > 10


def test_every_file_is_measured_both_ways(tmp_path: Path) -> None:
    figures = prepare.run(prepare.drawn(SIDES), 96, seconds=0.01, rounds=1)
    assert [told["file"].removesuffix(" 300 × 400") for told in figures["files"]] == KINDS
    for told in figures["files"]:
        assert told["radiograph"]["n"] >= 1
        assert told["plain"]["p50_ms"] > 0
        assert told["times_as_fast"] > 0
    assert prepare.table(figures).row_count == len(KINDS)
    assert prepare.plot(figures, tmp_path / "prepare.png").read_bytes().startswith(b"\x89PNG")


def test_the_peak_is_that_of_the_call_alone(project_root: Path) -> None:
    # in a process of its own, as the command has one: in a large one the system takes pages away and gives them back
    program = (
        "import numpy as np; from serving.bench import prepare; held = np.ones(80 << 20, np.uint8); "
        "print(prepare.peak_mb(lambda: np.ones(100 << 20, np.uint8).sum()), held.nbytes)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=project_root, capture_output=True, text=True, check=True, timeout=250
    )
    assert 90 <= float(run.stdout.split()[0]) <= 140


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.jpg cannot be read: No such file"):
        prepare.given([tmp_path / "none.jpg"])
