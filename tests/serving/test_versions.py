"""Versions on disk: policies, load before unload, broken versions, warm-up; on one server whose config is replaced."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2

from serving.embedded.source import list_versions
from tests.serving.saved_models import write_warmup
from tests.serving.server_process import Client, config, predict_request, values

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
QUICK = 20.0


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An empty base path."""
    folder = tmp_path / "versions"
    folder.mkdir()
    return folder


def publish(saved_models: Path, base: Path, *versions: str, model: str = "constant") -> None:
    """Put versions in place by copy and rename; a name like `00000002` counts as its number."""
    for version in versions:
        source = saved_models / model / (str(int(version)) if model == "constant" else "1")
        incoming = base.parent / f"incoming-{version}"
        shutil.copytree(source, incoming)
        incoming.rename(base / version)


def answer(client: Client, model: str, **spec: int) -> float:
    """Return what the model answers with: the number of the version that answered."""
    request = predict_request(model, {"x": [0.0]})
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    return float(values(client.prediction.Predict(request, timeout=10))[0])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(), {3}),
        (Policy(latest=Policy.Latest(num_versions=2)), {2, 3}),
        (Policy(all=Policy.All()), {1, 2, 3}),
        (Policy(specific=Policy.Specific(versions=[1])), {1}),
    ],
    ids=["default", "latest 2", "all", "specific"],
)
def test_policy_says_which_versions_serve(
    rolling: Client, saved_models: Path, base: Path, policy: object, expected: set[int]
) -> None:
    publish(saved_models, base, "1", "00000002", "3")
    (base / "not-a-version").mkdir()
    name = f"policy{max(expected)}{len(expected)}"
    rolling.reload([config(name, base, model_version_policy=policy)])
    rolling.wait_for(name, dict.fromkeys(expected, "AVAILABLE"), QUICK)
    assert answer(rolling, name) == max(expected)
    assert {answer(rolling, name, version=version) for version in expected} == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1", "00000002", " 3"], {1: "1", 2: "00000002", 3: " 3"}),
        (["00000123", "123"], {123: "123"}),
        (["-7", "0", "9223372036854775807"], {-7: "-7", 0: "0", 2**63 - 1: "9223372036854775807"}),
        (["9223372036854775808", "1.0", "v1", "1a", "0x1", "1_0", "\u0661", "tmp-1"], {}),
    ],
    ids=["padded", "twice", "limits", "no numbers"],
)
def test_a_folder_is_a_version_if_its_name_reads_as_an_int64(
    base: Path, names: list[str], expected: dict[int, str]
) -> None:
    for name in names:
        (base / name).mkdir()
    assert list_versions("m", f"{base}/") == {number: f"{base}/{name}" for number, name in expected.items()}


def test_a_new_version_takes_over_and_the_old_one_ends(rolling: Client, saved_models: Path, base: Path) -> None:
    publish(saved_models, base, "1")
    rolling.reload([config("swap", base)])
    assert answer(rolling, "swap") == 1.0
    failures: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer(rolling, "swap")
            except grpc.RpcError as error:
                failures.append(str(error.details()))

    asking = threading.Thread(target=ask)
    asking.start()
    publish(saved_models, base, "2")
    rolling.wait_for("swap", {1: "END", 2: "AVAILABLE"}, QUICK)
    stop.set()
    asking.join()
    assert failures == []
    assert answer(rolling, "swap") == 2.0
    with pytest.raises(grpc.RpcError, match=r"Specific\(swap, 1\)"):
        answer(rolling, "swap", version=1)


def test_a_broken_version_never_serves_and_the_old_one_keeps_serving(
    rolling: Client, saved_models: Path, base: Path
) -> None:
    publish(saved_models, base, "1")
    rolling.reload([config("broken", base)])
    (base / "2").mkdir()
    rolling.wait_for("broken", {1: "AVAILABLE", 2: "END"}, QUICK)
    status = rolling.status("broken", 2).status
    assert (status.error_code, status.error_message) == (
        5,
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {base / '2'}. Check that the "
        "directory exists and that you have the right permissions for accessing it.",
    )
    assert answer(rolling, "broken") == 1.0
    publish(saved_models, base, "3")
    rolling.wait_for("broken", {1: "END", 2: "END", 3: "AVAILABLE"}, QUICK)


def test_a_removed_version_falls_back_to_the_next_one(rolling: Client, saved_models: Path, base: Path) -> None:
    publish(saved_models, base, "1", "2")
    rolling.reload([config("fallback", base)])
    assert answer(rolling, "fallback") == 2.0
    shutil.rmtree(base / "2")
    rolling.wait_for("fallback", {1: "AVAILABLE", 2: "END"}, QUICK)
    assert answer(rolling, "fallback") == 1.0
    publish(saved_models, base, "2")
    rolling.wait_for("fallback", {1: "END", 2: "AVAILABLE"}, QUICK)


def test_an_empty_base_path_unloads_a_missing_one_changes_nothing(
    rolling: Client, saved_models: Path, base: Path
) -> None:
    publish(saved_models, base, "1")
    rolling.reload([config("emptied", base)])
    away = base.with_name("away")
    base.rename(away)
    time.sleep(1.5)
    assert answer(rolling, "emptied") == 1.0
    away.rename(base)
    shutil.rmtree(base / "1")
    rolling.wait_for("emptied", {1: "END"}, QUICK)
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Latest\(emptied\)"):
        answer(rolling, "emptied")


def test_a_running_request_finishes_on_the_version_it_started_on(
    rolling: Client, saved_models: Path, base: Path
) -> None:
    publish(saved_models, base, "1", model="slow")
    rolling.reload([config("running", base)])
    waiting = rolling.prediction.Predict.future(predict_request("running", {"seconds": [8.0]}), timeout=30)
    publish(saved_models, base, "2")
    rolling.wait_for("running", {1: "UNLOADING", 2: "AVAILABLE"}, QUICK)
    assert not waiting.done()
    assert waiting.result().model_spec.version.value == 1
    rolling.wait_for("running", {1: "END", 2: "AVAILABLE"}, QUICK)


def test_state_lives_as_long_as_its_version(rolling: Client, saved_models: Path, base: Path) -> None:
    publish(saved_models, base, "1", model="counter")
    rolling.reload([config("counting", base)])
    step = np.array(2, np.int64)
    counts = [int(values(rolling.predict("counting", step=step), "count")) for _ in range(3)]
    assert counts == [2, 4, 6]


def _log(kind: str, model: str = "recorded", **inputs: object) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    if kind == "predict":
        log.predict_log.request.CopyFrom(predict_request(model, inputs))
    elif kind == "session_run":
        log.session_run_log.SetInParent()
    elif kind == "multi_inference":
        request = log.multi_inference_log.request
        task = request.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.name, task.model_spec.signature_name = model, "regress_x_to_y"
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.0)
    else:
        request = getattr(log, f"{kind}_log").request
        request.model_spec.name = model
        request.model_spec.signature_name = f"{kind}_x_to_y"
        feature = request.input.example_list.examples.add().features.feature["x"]
        feature.float_list.value.append(1.0)
    serialized: bytes = log.SerializeToString()
    return serialized


@pytest.mark.parametrize("kind", ["predict", "classify", "regress", "multi_inference"])
def test_warm_up_records_of_each_kind_run_before_a_version_serves(
    rolling: Client, saved_models: Path, base: Path, kind: str
) -> None:
    publish(saved_models, base, "1", model="half_plus_three")
    write_warmup(base / "1", *[_log(kind, x=[1.0])] * 3)
    rolling.reload([config(f"warm_{kind}", base)])
    assert rolling.states(f"warm_{kind}") == {1: "AVAILABLE"}


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([_log("predict", x=[1.0]), _log("predict", z=[1.0])], "Signature input alias: x(feed name: x:0) not found"),
        ([_log("session_run")], "Unsupported log_type for warmup: "),
        ([_log("predict", x=[1.0])] * 1001, "Number of warmup records exceeds the maximum (1000) at "),
        (None, "Please verify your warmup data is in TFRecord format."),
    ],
    ids=["failing record", "session run", "too many", "no TFRecord"],
)
def test_bad_warm_up_records_fail_the_load(
    rolling: Client, saved_models: Path, base: Path, records: list[bytes] | None, text: str
) -> None:
    publish(saved_models, base, "1", model="half_plus_three")
    if records is None:
        (base / "1" / "assets.extra").mkdir()
        (base / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"these are no TFRecords at all")
    else:
        write_warmup(base / "1", *records)
    name = f"cold{len(records or [])}{len(text)}"
    with pytest.raises(grpc.RpcError) as raised:
        rolling.reload([config(name, base)])
    assert raised.value.code() is grpc.StatusCode.UNKNOWN
    assert raised.value.details().startswith(
        f"1 model(s) did not become available: {{{{{{name: {name} version: 1}} due to error: "
    )
    assert text in raised.value.details()
    assert rolling.states(name) == {1: "END"}
