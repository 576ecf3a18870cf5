"""One file, one result: what the page and the command line both build on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export import contract
from serving.client import FractureClient, Retry, Timeout
from tests.contract_model import LEVELS, THRESHOLDS
from tests.model_server import NEXT_SIZE, ModelServer, publish
from ui.reading import OUTSIDE_SCOPE, Failure, Reader, Reading


@pytest.fixture
def reader(model_server: ModelServer) -> Iterator[Reader]:
    with FractureClient(model_server.target) as client:
        yield Reader(client)


def flat(folder: Path, kind: str, size: tuple[int, int] = (200, 200)) -> Path:
    path = folder / f"{kind}.png"
    Image.new("L", size, LEVELS[kind]).save(path)
    return path


def read(reader: Reader, path: Path) -> Reading:
    result = reader.read_file(path)
    assert isinstance(result, Reading)
    return result


def fail(reader: Reader, path: Path) -> Failure:
    result = reader.read_file(path)
    assert isinstance(result, Failure)
    return result


def test_the_json_of_a_reading_has_the_promised_fields(reader: Reader, tmp_path: Path) -> None:
    path = flat(tmp_path, "suspicion")
    answer = json.loads(read(reader, path).to_json())
    assert list(answer) == [
        "file",
        "finding",
        "probability",
        "thresholds",
        "novelty",
        "outside_scope",
        "model",
        "version",
        "label",
        "milliseconds",
        "warnings",
    ]
    assert answer["file"] == str(path)
    assert answer["finding"] == contract.SUSPICION
    assert answer["probability"] == pytest.approx(LEVELS["suspicion"] / 255, abs=1e-5)
    assert answer["thresholds"] == pytest.approx(THRESHOLDS)
    assert (answer["model"], answer["version"], answer["outside_scope"]) == ("fracture", 1, False)
    assert answer["milliseconds"] > 0


def test_the_heat_map_is_given_on_the_radiograph(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("L", (300, 120), 220).save(path)
    heatmap = read(reader, path).heatmap
    assert heatmap.shape == (120, 300)
    assert heatmap.dtype == np.float32
    assert 0 <= heatmap.min() <= heatmap.max() <= 1


def test_a_picture_outside_the_scope_is_marked_in_words_and_for_programs(reader: Reader, tmp_path: Path) -> None:
    reading = read(reader, flat(tmp_path, "novel"))
    assert reading.outside_scope
    assert reading.warnings[0] == OUTSIDE_SCOPE
    assert json.loads(reading.to_json())["outside_scope"] is True


def test_a_batch_goes_on_after_a_bad_file(reader: Reader, tmp_path: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear colleague")
    (tmp_path / "empty.png").touch()
    paths = [
        letter,
        flat(tmp_path, "clear"),
        tmp_path / "missing.png",
        tmp_path / "empty.png",
        flat(tmp_path, "fracture"),
    ]
    results = list(reader.read_files(paths))
    assert [isinstance(result, Reading) for result in results] == [False, True, False, False, True]
    for result in results:
        if isinstance(result, Failure):
            assert result.error.endswith(".")
            assert list(json.loads(result.to_json())) == ["file", "error", "code"]
            assert not result.passing


def test_the_name_given_stands_for_the_path(reader: Reader, tmp_path: Path) -> None:
    result = reader.read_file(flat(tmp_path, "clear"), name="left wrist.png")
    assert result.file == "left wrist.png"


@pytest.mark.parametrize(
    ("kind", "timeout", "code", "passing"),
    [
        ("slow", Timeout(predict=0.4), "deadline_exceeded", True),
        ("garbage", Timeout(), "contract_mismatch", False),
    ],
)
def test_what_the_server_does_wrong_is_a_sentence(
    model_server: ModelServer, tmp_path: Path, kind: str, timeout: Timeout, code: str, passing: bool
) -> None:
    with FractureClient(model_server.target, timeout=timeout) as client:
        failure = fail(Reader(client), flat(tmp_path, kind))
    assert (failure.code, failure.passing) == (code, passing)
    assert "Traceback" not in failure.error


def test_the_wrong_port_is_a_sentence(model_server: ModelServer, tmp_path: Path) -> None:
    with FractureClient(f"127.0.0.1:{model_server.rest_port}") as client:
        failure = fail(Reader(client), flat(tmp_path, "clear"))
    assert (failure.code, failure.passing) == ("wrong_protocol", True)
    assert "8500" in failure.error


def test_a_server_that_is_not_there_is_a_sentence(free_port: Callable[[], int], tmp_path: Path) -> None:
    with FractureClient(f"127.0.0.1:{free_port()}", retry=Retry(attempts=1)) as client:
        failure = fail(Reader(client), flat(tmp_path, "clear"))
    assert failure.code == "server_unavailable"


def test_an_unforeseen_error_is_a_sentence_and_a_log_line_without_the_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, model_server: ModelServer
) -> None:
    with FractureClient(model_server.target) as client:
        pass
    # A closed client raises what no tree of errors foresees.
    path = flat(tmp_path, "clear").rename(tmp_path / "Surname.png")
    with caplog.at_level(logging.ERROR):
        failure = fail(Reader(client), path)
    assert failure.code == "unexpected"
    assert "kind=ValueError" in caplog.text
    assert "Surname" not in caplog.text


def test_a_new_version_of_another_size_is_read_without_a_word(
    model_server: ModelServer, contract_models: Path, tmp_path: Path
) -> None:
    path = flat(tmp_path, "suspicion")
    with FractureClient(model_server.target, model="growing") as client:
        reader = Reader(client)
        before = read(reader, path).prediction
        publish(contract_models / "large", model_server.base.parent / "growing" / "2")
        while (after := read(reader, path)).prediction.version == 1:
            pass
    assert (before.version, after.prediction.version) == (1, 2)
    assert after.geometry.size == NEXT_SIZE
    assert after.prediction.probability == pytest.approx(before.probability)
