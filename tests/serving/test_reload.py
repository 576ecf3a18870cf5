"""HandleReloadConfigRequest and version labels, on one server whose config is replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from tests.serving.conftest import StartServer
from tests.serving.server_process import Client, ServerProcess, config, predict_request, values

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
ALL = Policy(all=Policy.All())


def failure(
    client: Client, *configs: model_server_config_pb2.ModelConfig, timeout: float = 60.0
) -> tuple[grpc.StatusCode, str]:
    """Return code and text of the error a reload ends with."""
    with pytest.raises(grpc.RpcError) as raised:
        client.reload(configs, timeout=timeout)
    return raised.value.code(), raised.value.details()


def labelled(client: Client, model: str, label: str) -> float:
    """Return the answer of the version that `label` stands for."""
    request = predict_request(model, {"x": [0.0]})
    request.model_spec.version_label = label
    response = client.prediction.Predict(request, timeout=10)
    assert response.model_spec.version_label == ""
    return float(values(response)[0])


def test_a_reload_replaces_the_whole_config(rolling: Client, saved_models: Path) -> None:
    rolling.reload([config("one", saved_models / "constant")])
    rolling.reload([config("two", saved_models / "half_plus_three")])
    assert values(rolling.predict("two", x=[2.0])).tolist() == [4.0]
    rolling.wait_for("one", {3: "END"})
    with pytest.raises(grpc.RpcError, match=r"Latest\(one\)"):
        rolling.predict("one", x=[2.0])


def test_a_reload_returns_when_new_models_serve(rolling: Client, saved_models: Path) -> None:
    for number in range(3):
        name = f"fresh{number}"
        rolling.reload([config(name, saved_models / "constant")])
        assert values(rolling.predict(name, x=[0.0])).tolist() == [3.0]


def test_a_reload_tells_by_how_much_metrics_grew(rolling: Client, saved_models: Path) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.append(config("counted", saved_models / "half_plus_three"))
    request.metric_names.extend(["/tensorflow/cc/saved_model/load_attempt_count", "/no/such/metric"])
    answer = rolling.model.HandleReloadConfigRequest(request, timeout=60)
    assert answer.status.error_code == 0
    assert {metric.name: metric.int64_value_increase for metric in answer.metric} == {
        "/tensorflow/cc/saved_model/load_attempt_count": 1
    }


def test_an_empty_list_unloads_everything(rolling: Client, saved_models: Path) -> None:
    rolling.reload([config("gone", saved_models / "constant")])
    rolling.reload([])
    rolling.wait_for("gone", {3: "END"})


def test_the_deprecated_model_type_is_taken_alone(rolling: Client, saved_models: Path) -> None:
    old_style = model_server_config_pb2.ModelConfig(
        name="typed", base_path=str(saved_models / "constant"), model_type=model_server_config_pb2.TENSORFLOW
    )
    rolling.reload([old_style])
    assert rolling.states("typed") == {3: "AVAILABLE"}


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ([{}, {}], "INVALID_ARGUMENT", "Illegal to list model checked multiple times in config list"),
        (
            [{"base_path": "relative/path"}],
            "INVALID_ARGUMENT",
            "Expected model checked to have an absolute path or URI; got base_path()=relative/path",
        ),
        (
            [{"model_platform": "torch"}],
            "INVALID_ARGUMENT",
            "Model checked requests unsupported platform torch",
        ),
        (
            [{"model_type": 1}],
            "INVALID_ARGUMENT",
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform.",
        ),
        (
            [{"model_platform": ""}],
            "INVALID_ARGUMENT",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
        ),
        (
            [{"version_labels": {"stable": 7}}],
            "FAILED_PRECONDITION",
            "Request to assign label to version 7 of model checked, which is not currently available for inference",
        ),
    ],
    ids=["twice", "relative", "platform", "both", "neither", "label"],
)
def test_a_config_that_is_not_allowed_changes_nothing(
    rolling: Client, saved_models: Path, changes: list[dict[str, Any]], code: str, text: str
) -> None:
    rolling.reload([config("kept", saved_models / "constant")])
    bad = [config(**{"name": "checked", "base": saved_models / "constant", **change}) for change in changes]
    got = failure(rolling, *bad)
    assert (got[0].name, got[1]) == (code, text)
    assert values(rolling.predict("kept", x=[0.0])).tolist() == [3.0]
    rolling.reload([config("kept", saved_models / "constant"), config("after", saved_models / "constant")])


def test_a_served_model_cannot_change_its_platform(rolling: Client, saved_models: Path) -> None:
    rolling.reload([config("fixed", saved_models / "constant")])
    assert failure(rolling, config("fixed", saved_models / "constant", model_platform="torch")) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal to change a model's platform. For model fixed platform was tensorflow and new platform requested is "
        "torch",
    )


def test_a_model_without_versions_holds_up_no_other_reload(rolling: Client, saved_models: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    code, _ = failure(rolling, config("never", tmp_path), timeout=2.0)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    rolling.reload([config("soon", saved_models / "constant")])
    assert time.monotonic() - started < 20


def test_labels_move_between_available_versions(rolling: Client, saved_models: Path) -> None:
    base = saved_models / "constant"
    rolling.reload([config("labelled", base, model_version_policy=ALL)])
    rolling.wait_for("labelled", dict.fromkeys((1, 2, 3), "AVAILABLE"))
    for stable, canary in ((1, 2), (2, 3)):
        labels = {"stable": stable, "canary": canary}
        rolling.reload([config("labelled", base, model_version_policy=ALL, version_labels=labels)])
        assert (labelled(rolling, "labelled", "stable"), labelled(rolling, "labelled", "canary")) == (stable, canary)


def test_the_label_set_is_replaced_as_a_whole(rolling: Client, saved_models: Path) -> None:
    base = saved_models / "constant"
    rolling.reload([config("relabelled", base)])
    rolling.reload([config("relabelled", base, version_labels={"stable": 3})])
    assert labelled(rolling, "relabelled", "stable") == 3.0
    rolling.reload([config("relabelled", base, version_labels={"best": 3})])
    assert labelled(rolling, "relabelled", "best") == 3.0
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: stable"):
        labelled(rolling, "relabelled", "stable")


def config_text(name: str, base: Path, label: str) -> str:
    """Return a config file's text: one model whose version 3 has a label."""
    entry = (
        f'name: "{name}" base_path: "{base}" model_platform: "tensorflow" version_labels {{ key: "{label}" value: 3 }}'
    )
    return f"model_config_list {{ config {{ {entry} }} }}"


def polling(file: Path) -> tuple[str, ...]:
    """Return the flags that read a config file every second and let labels go ahead of their versions."""
    return (
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
    )


def test_with_the_flag_only_unassigned_labels_go_to_unloaded_versions(
    start_server: StartServer, saved_models: Path, tmp_path: Path
) -> None:
    base = saved_models / "constant"
    file = tmp_path / "models.config"
    file.write_text(config_text("early", base, "stable"))
    server: ServerProcess = start_server(*polling(file))
    with server.address.channel() as channel:
        client = Client(channel)
        assert labelled(client, "early", "stable") == 3.0
        client.reload([config("early", base, version_labels={"stable": 3, "next": 9})])
        with pytest.raises(grpc.RpcError, match=r"Specific\(early, 9\)"):
            labelled(client, "early", "next")
        code, text = failure(client, config("early", base, version_labels={"stable": 9}))
        assert (code, "version 9 of model early" in text) == (grpc.StatusCode.FAILED_PRECONDITION, True)

        file.write_text(config_text("later", base, "stable"))
        client.wait_for("later", {3: "AVAILABLE"})
        client.wait_for("early", {3: "END"})
        file.write_text("model_config_list { config { nonsense")
        time.sleep(1.5)
        assert labelled(client, "later", "stable") == 3.0


def test_the_polled_file_wins_over_a_config_given_over_grpc(
    start_server: StartServer, saved_models: Path, tmp_path: Path
) -> None:
    base = saved_models / "constant"
    file = tmp_path / "models.config"
    file.write_text(config_text("polled", base, "filed"))
    server: ServerProcess = start_server(*polling(file))
    with server.address.channel() as channel:
        client = Client(channel)
        client.wait_for("polled", {3: "AVAILABLE"})
        for given in ("first", "second"):
            client.reload([config("polled", base, version_labels={given: 3})])
            until(lambda: labelled(client, "polled", "filed") == 3.0)
            with pytest.raises(grpc.RpcError, match=f"Unrecognized servable version label: {given}"):
                labelled(client, "polled", given)


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except grpc.RpcError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)
