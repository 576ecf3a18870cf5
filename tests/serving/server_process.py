"""A model server under test: the process, its addresses, and what one asks it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from tests import processes

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


def server_command() -> list[str]:
    """Return how the server is started: OSTEO_SERVER_COMMAND, or the embedded server."""
    command = os.environ.get("OSTEO_SERVER_COMMAND")
    return shlex.split(command) if command else [sys.executable, "-m", "serving.embedded"]


@dataclass(frozen=True)
class Address:
    """Where a server listens; `rest` is None where it serves no REST API."""

    target: str
    rest: str | None

    def channel(self) -> grpc.Channel:
        """Return a channel of its own to the server."""
        return grpc.insecure_channel(self.target, options=[("grpc.use_local_subchannel_pool", 1), *UNLIMITED])

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET on the REST port."""
        try:
            with urllib.request.urlopen(f"http://{self.rest}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Client:
    """Calls to one server over one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, model: str, timeout: float = 30.0, **inputs: object) -> predict_pb2.PredictResponse:
        """Return the answer to `inputs`, arrays or lists by alias."""
        return self.prediction.Predict(predict_request(model, inputs), timeout=timeout)

    def states(self, model: str) -> dict[int, str]:
        """Return the state of each known version by its name, {} for a model never seen."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            answer = self.model.GetModelStatus(request, timeout=10)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return {}
            raise
        names = get_model_status_pb2.ModelVersionStatus.State
        return {status.version: names.Name(status.state) for status in answer.model_version_status}

    def status(self, model: str, version: int) -> get_model_status_pb2.ModelVersionStatus:
        """Return the full status of one version."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        request.model_spec.version.value = version
        return self.model.GetModelStatus(request, timeout=10).model_version_status[0]

    def wait_for(self, model: str, expected: Mapping[int, str], seconds: float = 30.0) -> None:
        """Return once the versions' states are exactly `expected`; fail the test otherwise."""
        deadline = time.monotonic() + seconds
        while (states := self.states(model)) != dict(expected):
            if time.monotonic() > deadline:
                pytest.fail(f"{model} is {states}, not {dict(expected)}, after {seconds:.0f} s")
            time.sleep(0.05)

    def reload(self, configs: Sequence[model_server_config_pb2.ModelConfig], timeout: float = 60.0) -> None:
        """Replace the server's whole config."""
        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.extend(configs)
        self.model.HandleReloadConfigRequest(request, timeout=timeout)


def predict_request(model: str, inputs: Mapping[str, object], signature: str = "") -> predict_pb2.PredictRequest:
    """Return a request with each input as a TensorProto."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        given = value if isinstance(value, np.ndarray) else np.asarray(value, np.float32)
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(given))
    return request


def values(response: predict_pb2.PredictResponse, alias: str = "y") -> npt.NDArray[Any]:
    """Return one output as an array."""
    array: npt.NDArray[Any] = tf.make_ndarray(response.outputs[alias])
    return array


def failure(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Return code and text of the error `call` ends with."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def config(name: str, base: Path, **fields: Any) -> model_server_config_pb2.ModelConfig:
    """Return the config of a model; `fields` are ModelConfig's own."""
    return model_server_config_pb2.ModelConfig(
        **{"name": name, "base_path": str(base), "model_platform": "tensorflow", **fields}
    )


@dataclass(frozen=True)
class ServerProcess:
    """A started server; `running` knows its output and how to end it."""

    address: Address
    running: processes.Running

    def wait_until_ready(self, seconds: float = 240.0) -> None:
        """Return once the gRPC port answers, as TensorFlow Serving's own tests probe it."""
        with self.address.channel() as channel:
            client = Client(channel)
            self.running.wait_until(lambda _: _answers(client), seconds)


def _answers(client: Client) -> bool:
    try:
        client.predict("intentionally_missing_model", timeout=5)
    except grpc.RpcError as error:
        return "Servable" in (error.details() or "")
    return False


def start(log: Path, *flags: str, rest: bool = False) -> ServerProcess:
    """Start a server on free ports with `flags`; it may not be ready yet."""
    port, rest_port = processes.free_port(), processes.free_port() if rest else 0
    command = [*server_command(), f"--port={port}", f"--rest_api_port={rest_port}", *flags]
    address = Address(f"127.0.0.1:{port}", f"127.0.0.1:{rest_port}" if rest else None)
    return ServerProcess(address, processes.start(command, log, cwd=ROOT, env=ENVIRONMENT))


def write_models(folder: Path, module: str = "saved_models") -> None:
    """Generate all SavedModels of a module of tests.serving in a process of its own."""
    command = [sys.executable, "-m", f"tests.serving.{module}", str(folder)]
    environment = {**os.environ, **ENVIRONMENT}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment, timeout=180)
