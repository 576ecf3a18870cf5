"""Any SavedModel is served, whoever wrote it; and one that does not load never is, whatever is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import inference_pb2

from tests.serving.server_process import Client, config, predict_request, values, write_models

Break = Callable[[Path], None]
DATA = "variables/variables.data-00000-of-00001"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the models of tests.serving.exported_models, as DIR/<model>/1."""
    folder = tmp_path_factory.getbasetemp() / "exported-models"
    if not folder.exists():
        write_models(folder, "exported_models")
    return folder


@pytest.fixture
def serving(rolling: Client, exported: Path) -> Client:
    """A client of a server that serves all of them."""
    rolling.reload([config(name, exported / name) for name in ("module", "keras", "legacy", "legacy_text")])
    return rolling


def words(*given: str) -> np.ndarray:
    return np.array([word.encode() for word in given], object)


def examples(*numbers: float) -> np.ndarray:
    """Return serialized Examples with one feature `x`."""
    made = []
    for number in numbers:
        example = tf.train.Example()
        example.features.feature["x"].float_list.value.append(number)
        made.append(example.SerializeToString())
    return np.array(made, object)


@pytest.mark.parametrize(
    ("signature", "inputs", "alias", "expected"),
    [
        ("", {"x": [2.0, 4.0]}, "y", [3.0, 4.0]),
        ("classify", {"inputs": examples(2.0)}, "scores", [[3.0]]),
        ("look_up", {"word": words("ankle", "wrist", "knee")}, "index", [2, 0, -1]),
    ],
)
def test_variables_and_assets_of_a_tf2_module_are_there(
    serving: Client, signature: str, inputs: Mapping[str, object], alias: str, expected: object
) -> None:
    answer = serving.prediction.Predict(predict_request("module", inputs, signature), timeout=30)
    assert values(answer, alias).tolist() == expected


def test_state_of_a_tf2_module_is_kept_between_requests(serving: Client) -> None:
    request = predict_request("module", {"step": np.array(3, np.int64)}, "count")
    first, second = (int(values(serving.prediction.Predict(request, timeout=30), "count")) for _ in range(2))
    assert second == first + 3


def test_multi_inference_feeds_every_signatures_own_input(serving: Client) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for name in ("regress", "classify"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = "module", name
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(2.0)
    regressed, classified = serving.prediction.MultiInference(request, timeout=30).results
    assert regressed.regression_result.regressions[0].value == 1.0
    assert classified.classification_result.classifications[0].classes[0].score == 3.0


@pytest.mark.parametrize("signature", ["serve", "serving_default"])
def test_a_keras_export_answers_with_its_weights(serving: Client, signature: str) -> None:
    request = predict_request("keras", {"features": [[1.0, 2.0, 3.0], [0.0, 0.0, 0.5]]}, signature)
    assert values(serving.prediction.Predict(request, timeout=30), "output_0").tolist() == [[5.0], [-0.5]]


@pytest.mark.parametrize("model", ["legacy", "legacy_text"])
def test_reference_variables_assets_and_the_main_op_of_a_tf1_graph(serving: Client, model: str) -> None:
    answer = serving.prediction.Predict(predict_request(model, {"word": words("hip", "knee")}), timeout=30)
    assert values(answer, "index").tolist() == [1, -1]
    assert values(answer, "half").tolist() == [0.5, 0.5]
    assert values(answer, "greeting").tolist() == [b"set by the main op"] * 2


def test_variables_may_be_missing_where_the_graph_has_none(rolling: Client, saved_models: Path, tmp_path: Path) -> None:
    shutil.copytree(saved_models / "matmul" / "1", tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables", ignore_errors=True)
    rolling.reload([config("frozen", tmp_path)])
    assert values(rolling.predict("frozen", a=[[1.0, 2.0]], b=[[3.0], [4.0]]), "product").tolist() == [[11.0]]


def remove(name: str) -> Break:
    def broken(version: Path) -> None:
        path = version / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return broken


def cut(name: str, fraction: float) -> Break:
    def broken(version: Path) -> None:
        whole = (version / name).read_bytes()
        (version / name).write_bytes(whole[: int(len(whole) * fraction)])

    return broken


def as_text(content: str) -> Break:
    def broken(version: Path) -> None:
        (version / "saved_model.pb").unlink()
        (version / "saved_model.pbtxt").write_text(content)

    return broken


@pytest.mark.parametrize(
    ("breaks", "code", "text"),
    [
        (remove("saved_model.pb"), "NOT_FOUND", "Could not find SavedModel .pb or .pbtxt at supplied export directory"),
        (cut("saved_model.pb", 0.5), "DATA_LOSS", "Can't parse {path}/saved_model.pb as binary proto"),
        (cut("saved_model.pb", 0), "NOT_FOUND", "Could not find meta graph def matching supplied tags: {{ serve }}."),
        (as_text("meta_graphs { none"), "DATA_LOSS", "Can't parse {path}/saved_model.pbtxt as text proto"),
        (remove("variables"), "NOT_FOUND", "{path}/variables/variables.index; No such file or directory"),
        (remove(DATA), "NOT_FOUND", "{path}/" + DATA + "; No such file or directory"),
        (cut(DATA, 0.5), "OUT_OF_RANGE", "Read less bytes than requested"),
        (cut("variables/variables.index", 0.5), "DATA_LOSS", "not an sstable (bad magic number)"),
        (remove("assets"), "NOT_FOUND", "{path}/assets/vocabulary.txt; No such file or directory"),
    ],
    ids=[
        *("no graph", "half a graph", "an empty graph", "text that does not parse", "no variables"),
        *("no data", "half the data", "half the index", "no assets"),
    ],
)
def test_a_version_that_does_not_load_says_why_and_never_serves(
    rolling: Client, exported: Path, tmp_path: Path, breaks: Break, code: str, text: str
) -> None:
    shutil.copytree(exported / "module" / "1", tmp_path / "1")
    breaks(tmp_path / "1")
    rolling.reload([config("good", exported / "module")])
    with pytest.raises(grpc.RpcError) as raised:
        rolling.reload([config("good", exported / "module"), config("bad", tmp_path)])
    expected = f"{code}: {text.format(path=tmp_path / '1')}"
    start = "1 model(s) did not become available: {{{name: bad version: 1} due to error: "
    assert raised.value.details()[: len(start + expected)] == start + expected
    assert rolling.states("bad") == {1: "END"}
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Latest\(bad\)"):
        rolling.predict("bad", x=[1.0])
    assert values(rolling.predict("good", x=[2.0])).tolist() == [3.0]
