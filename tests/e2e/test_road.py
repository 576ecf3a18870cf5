"""The whole road on phantoms, by the commands a user types: train, export, serve, ask, and the same answer each way."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Browser

import osteo
from export.contract import FINDINGS, read_card
from radiograph import prepare, read
from radiograph.phantom_dataset import write_dataset
from serving.client import FractureClient
from serving.launch import embedded_server
from tests.conftest import Stack
from tests.e2e.page_process import SIZES, view

RECIPE = """
batch = 4
[model]
weights = "none"
input_size = 64
width = 16
dense = [8]
[[stages]]
epochs = 1
learning_rate = 1e-3
"""


def _osteo(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "osteo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_is_trained_exported_evaluated_and_served(tmp_path: Path, project_root: Path) -> None:
    data = write_dataset(tmp_path / "data", 24, seed=1).by_manifest
    (tmp_path / "tiny.toml").write_text(RECIPE)
    base, run = tmp_path / "models", tmp_path / "run"

    trained = _osteo("train", "--config", tmp_path / "tiny.toml", "--data", data, "--run", run, cwd=project_root)
    assert trained.returncode == 0, trained.stderr
    assert (run / "best.npz").is_file()
    assert (run / "learning_curves.png").is_file()

    exported = _osteo("export", run, "--data", data, "--base", base, cwd=project_root)
    assert exported.returncode == 0, exported.stderr
    card = read_card(base / "1")
    assert card.input_size == 64
    assert card.metrics["manifest/test/auc"].n > 0

    evaluated = _osteo("evaluate", "--data", data, "--model", base / "1", "--out", tmp_path / "plots", cwd=project_root)
    assert evaluated.returncode == 0, evaluated.stderr
    (told,) = json.loads(evaluated.stdout.splitlines()[-1])
    assert told["metrics"]["auc"]["n"] == told["images"]
    assert {path.name for path in (tmp_path / "plots" / "manifest").iterdir()} >= {"roc.png", "reliability.png"}

    picture = next((data / "images").iterdir())
    with embedded_server(base) as server, FractureClient(server.target) as client:
        image = prepare(read(picture), client.info().input_size).image
        (prediction,) = client.predict(image[None])
        by_rest = _classify_bytes(server.rest_port, picture.read_bytes())
    assert prediction.finding in FINDINGS
    assert prediction.version == 1
    assert by_rest["probability"] == pytest.approx(prediction.probability, abs=0.02)


def _classify_bytes(rest_port: int, file: bytes) -> dict[str, float]:
    body = {"signature_name": "classify_bytes", "instances": [{"b64": base64.b64encode(file).decode()}]}
    url = f"http://127.0.0.1:{rest_port}/v1/models/fracture:predict"
    with urllib.request.urlopen(url, json.dumps(body).encode()) as response:
        (prediction,) = json.load(response)["predictions"]
    answer: dict[str, float] = prediction
    return answer


def _predict(stack: Stack, root: Path, *files: Path) -> list[dict[str, Any]]:
    told = _osteo("predict", *files, "--json", "--server", stack.grpc, cwd=root)
    return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.fixture(scope="module")
def real_files(shared_data: Path) -> list[Path]:
    """Radiographs of two sources, fractured and not."""
    fracatlas = [shared_data / "fracatlas" / "images" / f"IMG00000{n}.jpg" for n in ("19", "25", "44", "00", "02")]
    bonedata = sorted((shared_data / "bonedata" / "images").iterdir())[::16]
    return [*fracatlas, *bonedata]


def test_every_way_gives_the_same_probability(stack: Stack, project_root: Path, real_files: list[Path]) -> None:
    by_command = [line["probability"] for line in _predict(stack, project_root, *real_files)]
    with FractureClient(stack.grpc) as client:
        size = client.info().input_size
        pixels = np.stack([prepare(read(path), size).image for path in real_files])
        by_pixels = [prediction.probability for prediction in client.predict(pixels)]
    by_bytes = [_classify_bytes(stack.rest_port, path.read_bytes())["probability"] for path in real_files]
    page = Client(stack.page, verbose=False)
    by_page = [
        line["probability"] for line in page.predict([handle_file(path) for path in real_files], api_name="/read")
    ]
    for told in (by_command, by_page, by_bytes):
        np.testing.assert_allclose(told, by_pixels, atol=0.02)


@pytest.mark.parametrize("kind", ["turned JPEG", "grey PNG", "colour PNG", "16-bit PNG"])
def test_a_file_sent_as_it_is_gives_the_probability_of_its_pixels(stack: Stack, shared_data: Path, kind: str) -> None:
    with Image.open(shared_data / "fracatlas" / "images" / "IMG0000044.jpg") as opened:
        picture = opened.convert("L")
    sink = io.BytesIO()
    if kind == "turned JPEG":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(sink, "JPEG", quality=92, exif=exif)
    elif kind == "16-bit PNG":
        Image.fromarray(np.asarray(picture).astype(np.uint16) * 200 + 900).save(sink, "PNG")
    else:
        picture.convert("RGB" if kind == "colour PNG" else "L").save(sink, "PNG")
    with FractureClient(stack.grpc) as client:
        image = prepare(read(sink.getvalue()), client.info().input_size).image
        (prediction,) = client.predict(image[None])
    by_bytes = _classify_bytes(stack.rest_port, sink.getvalue())
    assert by_bytes["probability"] == pytest.approx(prediction.probability, abs=0.02)


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
def test_a_real_radiograph_comes_back_as_a_finding_on_the_picture(
    chromium: Browser, stack: Stack, shared_data: Path, artifacts_dir: Path, size: str
) -> None:
    with view(chromium, stack.page, size) as tab:
        tab.drop(shared_data / "fracatlas" / "images" / "IMG0000019.jpg")
        tab.wait_for_finding("IMG0000019.jpg")
        tab.wait_until_idle()
        assert "fracture, version" in tab.text("#card")
        assert tab.page.is_visible("img.heat")
        tab.keep(artifacts_dir, "shipped-model")


def test_predict_prints_one_object_a_line_and_reads_on_after_a_bad_file(
    stack: Stack, project_root: Path, tmp_path: Path, shared_data: Path
) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("this is no picture")
    good = shared_data / "dicom" / "RG3_J2KR.dcm"
    first, second = _predict(stack, project_root, bad, good)
    assert set(first) == {"file", "error", "code"}
    wanted = {"file", "finding", "probability", "thresholds", "novelty", "model", "version", "milliseconds"}
    assert wanted <= set(second)


def test_predict_without_a_server_starts_one_and_says_so(
    project_root: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    from radiograph.phantom import phantom

    phantom(seed=2, fractured=True).write_jpeg(tmp_path / "limb.jpg")
    address = f"127.0.0.1:{free_port()}"
    told = _osteo("predict", tmp_path / "limb.jpg", "--server", address, cwd=project_root)
    assert f"No server answers at {address}; starting one" in told.stderr
    assert "limb.jpg:" in told.stdout
    assert told.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--data", "nowhere"], "is not a data set"),
        (["train", "--data", ".", "--config", "gone"], "There is no recipe"),
        (["export", "nowhere", "--data", "."], "is not there"),
        (["export", "nowhere", "--data", ".", "--from-stride", "8"], "goes with --precision bfloat16 or float16"),
        (["evaluate", "--data", ".", "--model", "nowhere"], "no readable model card"),
        (["up", "--base", "nowhere"], "holds no model version"),
    ],
)
def test_a_wrong_command_is_told_in_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["osteo", *arguments])
    with pytest.raises(SystemExit) as ended:
        osteo.main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.strip().splitlines()) == 1
