"""What a rollout asks of a model server and tells it, over gRPC: any TensorFlow Serving answers to it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

import grpc

from serving.answer import VersionStatus, version_status
from serving.api import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from serving.channel import open_channel
from serving.errors import ModelNotFound, check_target, translate
from serving.rollout_files import RolloutError

ASK_SECONDS: Final = 10.0
STALE_SECONDS: Final = 5.0
"""How long an error from before a reload may still be shown for a version that is to be tried again."""
_RESOLVED = re.compile(r"Specific\(.*, (\d+)\)")


class ModelServer:
    """One model on one server. Every method raises the errors of ``serving.errors`` where the call fails."""

    def __init__(self, target: str, model: str) -> None:
        check_target(target)
        self.target = target
        self.model = model
        self._channel = open_channel(target)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._service = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def versions(self) -> dict[int, VersionStatus]:
        """Return every version the server has known, by number."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=self.model))
        answered = version_status(self._call(self._service.GetModelStatus, request))
        return {status.version: status for status in answered}

    def available(self) -> list[int]:
        """Return the versions that take requests, lowest first."""
        return sorted(number for number, status in self.versions().items() if status.state == "AVAILABLE")

    def label(self, label: str) -> int | None:
        """Return the version a label stands for, loaded or not; None where the server knows no such label."""
        spec = model_pb2.ModelSpec(name=self.model, version_label=label)
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        try:
            answered = self._call(self._prediction.GetModelMetadata, request)
        except ModelNotFound as error:
            resolved = _RESOLVED.search(str(error))
            return int(resolved[1]) if resolved else None
        return int(answered.model_spec.version.value)

    def labels(self, names: Iterable[str]) -> dict[str, int]:
        """Return those of the labels that the server knows, with their versions."""
        asked = {name: self.label(name) for name in names}
        return {name: version for name, version in asked.items() if version is not None}

    def signatures(self, version: int) -> dict[str, Any]:
        """Return the SignatureDefs of a loaded version by name."""
        spec = model_pb2.ModelSpec(name=self.model)
        spec.version.value = version
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        answered = self._call(self._prediction.GetModelMetadata, request)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        answered.metadata["signature_def"].Unpack(definitions)
        return {name: value for name, value in definitions.signature_def.items() if not name.startswith("__")}

    def predict(self, version: int, signature: str, key: str, tensor: object, seconds: float) -> Any:
        """Return the PredictResponse of one version."""
        spec = model_pb2.ModelSpec(name=self.model, signature_name=signature)
        spec.version.value = version
        request = predict_pb2.PredictRequest(model_spec=spec, inputs={key: tensor})
        return self._call(self._prediction.Predict, request, seconds)

    def reload(self, config: model_server_config_pb2.ModelServerConfig, seconds: float) -> None:
        """Replace the server's whole config."""
        self._call(self._service.HandleReloadConfigRequest, _reload_request(config), seconds)

    def wait_available(self, wanted: Iterable[int], before: dict[int, VersionStatus], seconds: float) -> None:
        """Return once all ``wanted`` versions take requests; ``before`` is what was known before they were asked for.

        Raises ``RolloutError`` with the server's reason where one has failed to load, or after ``seconds``.
        """
        started, waiting, tried = time.monotonic(), sorted(set(wanted)), set[int]()
        while True:
            now = self.versions()
            left = [number for number in waiting if number not in now or now[number].state != "AVAILABLE"]
            if not left:
                return
            passed = time.monotonic() - started
            tried |= {number for number in left if number in now and now[number].state in ("START", "LOADING")}
            for number in left:
                status = now.get(number)
                fresh = number in tried or before.get(number) != status or passed > STALE_SECONDS
                if status is not None and status.state == "END" and status.error and fresh:
                    raise RolloutError(f"version {number} could not be loaded: {_one_line(status.error)}")
            if passed > seconds:
                state = now[left[0]].state if left[0] in now else "not known to the server"
                raise RolloutError(f"version {left[0]} was not loaded after {seconds:.0f} s (it is {state})")
            time.sleep(0.1)

    def wait_gone(self, versions: Iterable[int], seconds: float) -> None:
        """Return once none of the versions takes requests or is being unloaded. Raises ``RolloutError``."""
        started, waiting = time.monotonic(), set(versions)
        while True:
            now = self.versions()
            left = [number for number in waiting if number in now and now[number].state != "END"]
            if not left:
                return
            if time.monotonic() - started > seconds:
                raise RolloutError(f"version {left[0]} was not unloaded after {seconds:.0f} s")
            time.sleep(0.1)

    def _call(self, method: Callable[..., Any], request: object, seconds: float = ASK_SECONDS) -> Any:
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise translate(error, self.target, seconds) from error


def _reload_request(config: model_server_config_pb2.ModelServerConfig) -> model_management_pb2.ReloadConfigRequest:
    return model_management_pb2.ReloadConfigRequest(config=config)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:300] + " …"
