"""The worklist: every file gets its row, the order and the page are right, and no picture stays."""

from __future__ import annotations

import csv
import io
import os
import pickle
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export import contract
from tests.ui.readings import THRESHOLDS, answered
from ui import worklist_html
from ui.reading import Failure, Result
from ui.sources import Listing, Source
from ui.worklist import (
    FILES_AT_ONCE,
    GIVE_UP_AFTER,
    NO_FINDING,
    NOT_READ,
    ROWS_AT_MOST,
    View,
    Worklist,
    seconds_left,
)  # fmt: skip

Read = Callable[[Source], Result]


def read(source: Source) -> Result:
    """Answer by the name of the file: its number is the probability in percent, ``bad`` is not read."""
    name = Path(source.path).stem
    if name.startswith("bad"):
        return Failure(source.name, "This is a text file.", "unknown_format")
    if name.startswith("gone"):
        return Failure(source.name, "No model server answers.", "server_unavailable", passing=True)
    if name.startswith("novel"):
        return answered(Path(source.path), 0.5, novelty=2.0)
    return answered(Path(source.path), int(name.rpartition("-")[2]) / 100)


def given(folder: Path, *names: str, side: int = 64) -> Worklist:
    """Return a list of flat pictures with these names."""
    sources = []
    for name in names:
        path = folder / f"{name}.png"
        Image.new("L", (side, side), 90).save(path)
        sources.append(Source(path.name, path))
    worklist = Worklist("study")
    worklist.add(Listing(tuple(sources)))
    return worklist


def files(worklist: Worklist) -> list[str]:
    return [Path(row.file).stem for row in worklist.shown()]


def test_one_bad_file_stops_no_other(tmp_path: Path) -> None:
    worklist = given(tmp_path, "bad-1", "a-90", "bad-2", "b-20", "novel", "c-2")
    *_, last = worklist.run(read)
    assert (last.done, last.total, last.stopped) == (6, 6, "")
    outcomes = [row.outcome for row in worklist.rows()]
    assert outcomes == [NOT_READ, contract.FRACTURE, NOT_READ, contract.SUSPICION, NO_FINDING, contract.NO_FRACTURE]


def test_an_error_that_nobody_foresaw_is_a_row_too(tmp_path: Path) -> None:
    def failing(source: Source) -> Result:
        if "a-90" in source.name:
            raise RuntimeError("secret of the file")
        return read(source)

    worklist = given(tmp_path, "a-90", "b-20")
    *_, last = worklist.run(failing)
    assert last.done == 2
    assert "secret" not in str(worklist.rows()[0].told)


@pytest.mark.parametrize(
    ("clicks", "order"),
    [
        ([], ["c-90", "a-50", "b-2", "bad-1", "novel"]),
        ([("sort", "probability")], ["b-2", "a-50", "c-90", "bad-1", "novel"]),
        ([("sort", "file")], ["a-50", "b-2", "bad-1", "c-90", "novel"]),
        ([("sort", "file"), ("sort", "file")], ["novel", "c-90", "bad-1", "b-2", "a-50"]),
        ([("sort", "finding")], ["a-50", "c-90", "b-2", "novel", "bad-1"]),
        ([("filter", NOT_READ)], ["bad-1"]),
        ([("filter", contract.FRACTURE), ("filter", "")], ["c-90", "a-50", "b-2", "bad-1", "novel"]),
        ([("sort", "nonsense"), ("filter", "nonsense"), ("page", "-1")], ["c-90", "a-50", "b-2", "bad-1", "novel"]),
    ],
)
def test_rows_are_sorted_and_filtered_as_asked(tmp_path: Path, clicks: list[tuple[str, str]], order: list[str]) -> None:
    worklist = given(tmp_path, "a-50", "bad-1", "b-2", "novel", "c-90")
    list(worklist.run(read))
    for action, value in clicks:
        worklist.view = worklist.view.changed(action, value)
    assert files(worklist) == order


def test_what_is_cancelled_is_read_on_later(tmp_path: Path) -> None:
    worklist = given(tmp_path, *(f"{n}-{n}" for n in range(10, 30)))
    running = worklist.run(read)
    next(running)
    worklist.cancel()
    *_, last = running
    assert last.stopped == "Cancelled."
    assert 0 < last.done < 20
    assert len(worklist.unfinished()) == 20 - last.done
    before = {row.place: row for row in worklist.rows()}
    *_, last = worklist.run(read)
    assert (last.done, last.stopped) == (20, "")
    assert all(before.get(row.place, row) is row for row in worklist.rows())


def test_a_server_that_is_gone_stops_the_list_and_loses_nothing(tmp_path: Path) -> None:
    worklist = given(tmp_path, "a-50", *(f"gone-{n}" for n in range(20)))
    *_, last = worklist.run(read)
    assert "model server" in last.stopped
    before_the_answer = GIVE_UP_AFTER - 1  # that many may go unanswered while the one answer is still on its way
    assert 1 + GIVE_UP_AFTER <= len(worklist.rows()) <= before_the_answer + 1 + GIVE_UP_AFTER + FILES_AT_ONCE
    assert len(worklist.unfinished()) == 20
    *_, last = worklist.run(lambda source: answered(Path(source.path), 0.5))
    assert (last.done, last.stopped) == (21, "")


def test_few_files_are_in_hand_at_once_and_each_is_read_once(tmp_path: Path) -> None:
    lock, inside, highest, seen = threading.Lock(), 0, 0, []

    def counted(source: Source) -> Result:
        nonlocal inside, highest
        with lock:
            inside += 1
            highest = max(highest, inside)
            seen.append(source.name)
        time.sleep(0.01)
        with lock:
            inside -= 1
        return read(source)

    worklist = given(tmp_path, *(f"{n}-{n}" for n in range(12)))
    list(worklist.run(counted))
    assert highest == FILES_AT_ONCE
    assert sorted(seen) == sorted(f"{n}-{n}.png" for n in range(12))


def test_memory_stays_bounded_whatever_the_pictures_are(tmp_path: Path) -> None:
    side, number = 1600, 24
    noise = np.random.default_rng(1).integers(0, 255, (side, side), np.uint8)
    worklist = given(tmp_path, *(f"{n}-{n}" for n in range(number)))
    for n in range(number):
        Image.fromarray(noise).save(tmp_path / f"{n}-{n}.png", compress_level=0)
    tracemalloc.start()
    list(worklist.run(read))
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * side * side
    assert now < side * side
    assert len(pickle.dumps(worklist.rows())) < number * 10_000


def test_a_list_holds_so_many_files_and_says_what_it_left_out() -> None:
    worklist = Worklist()
    bad = Failure("x", "Broken.", "truncated")
    worklist.add(Listing((bad,) * (ROWS_AT_MOST - 1)))
    worklist.add(Listing((bad, bad, bad), 2))
    assert len(worklist) == ROWS_AT_MOST
    assert "so 2 were left out" in " ".join(worklist.remarks)
    assert "2 files were left out of the archive" in " ".join(worklist.remarks)


def test_an_upload_deleted_since_is_told_and_those_that_wait_are_kept(tmp_path: Path) -> None:
    worklist = given(tmp_path, "a-50", "b-60", "c-70", "d-80")
    old = time.time() - 5000
    for path in tmp_path.iterdir():
        os.utime(path, (old, old))
    running = worklist.run(read)
    next(running)
    assert (tmp_path / "d-80.png").stat().st_mtime > old + 4000
    list(running)
    (tmp_path / "a-50.png").unlink()
    gone = worklist.origin(0)
    assert isinstance(gone, Failure)
    assert "deleted" in gone.error
    assert isinstance(worklist.origin(1), Source)


def test_csv_has_a_line_a_file_and_no_formula_in_it(tmp_path: Path) -> None:
    worklist = given(tmp_path, "=HYPERLINK-90", "novel", "bad-1")
    list(worklist.run(read))
    first, novel, bad = csv.DictReader(io.StringIO(worklist.to_csv()))
    assert first["file"] == "'=HYPERLINK-90.png"
    assert (first["finding"], float(first["probability"])) == (contract.FRACTURE, 0.9)
    assert (float(first["suspicion_from"]), float(first["fracture_from"])) == THRESHOLDS
    assert (novel["finding"], novel["probability"]) == (NO_FINDING, "")
    assert "limb radiographs" in novel["warnings"]
    assert (bad["finding"], bad["error"], bad["code"]) == (NOT_READ, "This is a text file.", "unknown_format")


@pytest.mark.parametrize(
    ("elapsed", "done", "count", "left"), [(2.0, 2, 10, None), (3.0, 3, 10, 7.0), (1.0, 2, 2, 0.0), (0.5, 0, 1, None)]
)
def test_time_left_is_told_at_the_pace_so_far(elapsed: float, done: int, count: int, left: float | None) -> None:
    assert seconds_left(elapsed, done, count) == left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "a few seconds"), (38, "about 40 s"), (57, "about 1 min"), (200, "about 3 min"), (5400, "about 1.5 h")],
)
def test_time_left_is_told_in_round_words(seconds: float, words: str) -> None:
    assert worklist_html.time_words(seconds) == words


def test_only_one_page_of_rows_is_drawn_and_a_page_too_far_is_the_last(tmp_path: Path) -> None:
    worklist = given(tmp_path, *(f"{n:03}-{n % 100}" for n in range(worklist_html.ROWS_A_PAGE + 3)))
    list(worklist.run(read))
    assert worklist_html.table(worklist).count("data-place=") == worklist_html.ROWS_A_PAGE
    worklist.view = View(page=99)
    last = worklist_html.table(worklist)
    assert last.count("data-place=") == 3
    assert "Page 2 of 2" in last


def test_the_name_of_a_file_is_never_markup() -> None:
    worklist = Worklist()
    worklist.add(Listing((Failure("<b>${x}", "A <i> sentence.", "truncated"),)))
    list(worklist.run(read))
    drawn = worklist_html.table(worklist)
    assert "<b>$" not in drawn
    assert "<i>" not in drawn
