"""One gRPC client for the fracture model on any TensorFlow Serving server.

    with FractureClient("127.0.0.1:8500") as client:
        size = client.info().input_size
        prediction = client.predict(prepare(read("wrist.jpg"), size).image[None])[0]

Every failure is one class of the tree in ``serving.errors``:

  ServingError
   ├─ ServerUnavailable
   │   └─ ServerBusy
   ├─ DeadlineExceeded
   ├─ ModelNotFound
   ├─ ModelLoading
   ├─ WrongProtocol
   ├─ BadRequest
   │   └─ InputSizeMismatch
   ├─ ContractMismatch
   └─ ServerFault
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from export import contract
from serving import answer
from serving.answer import ModelInfo, Prediction, VersionStatus
from serving.api import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from serving.errors import (
    BadRequest,
    ContractMismatch,
    DeadlineExceeded,
    InputSizeMismatch,
    ModelLoading,
    ModelNotFound,
    ServerBusy,
    ServerFault,
    ServerUnavailable,
    ServingError,
    WrongProtocol,
    check_target,
    translate,
)
from serving.tensor_proto import string_tensor, uint8_tensor

__all__ = [
    "BadRequest",
    "ContractMismatch",
    "DeadlineExceeded",
    "FractureClient",
    "InputSizeMismatch",
    "ModelInfo",
    "ModelLoading",
    "ModelNotFound",
    "Prediction",
    "Retry",
    "ServerBusy",
    "ServerFault",
    "ServerUnavailable",
    "ServingError",
    "Timeout",
    "VersionStatus",
    "WrongProtocol",
]

DEFAULT_TARGET: Final = "127.0.0.1:8500"

_Response = TypeVar("_Response")


@dataclass(frozen=True)
class Timeout:
    """Deadlines in seconds for a call with all its retries; ``ask`` is for status and metadata."""

    ask: float = 10.0
    predict: float = 60.0


@dataclass(frozen=True)
class Retry:
    """How often, and after which pause, a call is repeated that found nobody (gRPC's UNAVAILABLE) – and only then.

    Pauses in seconds: ``pause``, doubled each time up to ``longest``, each shortened at random by up to half so that
    many clients do not come back at once.
    """

    attempts: int = 4
    pause: float = 0.2
    longest: float = 2.0

    def wait(self, attempt: int) -> float:
        """Return the seconds to pause after attempt number ``attempt`` (the first is 0)."""
        bounded: float = min(self.pause * 2.0**attempt, self.longest)
        return bounded * random.uniform(0.5, 1.0)  # noqa: S311 – spreads load, hides nothing


class FractureClient:
    """A connection to one served model, for any number of threads; use it as a context manager or ``close`` it.

    ``target`` is the server's gRPC address as ``host:port``. Without ``version`` or ``label`` the newest version
    answers. Nothing is sent before the first call, so a client can be made while the server is still down, and it
    finds the server again by itself after a restart.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        model: str = contract.MODEL_NAME,
        version: int | None = None,
        label: str | None = None,
        timeout: Timeout = Timeout(),
        retry: Retry = Retry(),
    ) -> None:
        check_target(target)
        if version is not None and label is not None:
            raise BadRequest("Ask for a version or for a label of the model, not for both.")
        self.target = target
        self.model = model
        self.version = version
        self.label = label
        self._timeout = timeout
        self._retry = retry
        self._channel = grpc.insecure_channel(target, options=channel_options(target))
        self._prediction_service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model_service = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._info: ModelInfo | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a closed client cannot be used again."""
        self._channel.close()

    def info(self, *, refresh: bool = False) -> ModelInfo:
        """Return name, version, input size (px) and signatures from the served metadata.

        The answer is kept until a prediction shows that the server has another version, or ``refresh`` is set.
        Raises ``ContractMismatch`` if the model's ``serving_default`` is not that of ``export.contract``.
        """
        with self._lock:
            if self._info is not None and not refresh:
                return self._info
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        info = answer.model_info(self._ask(self._prediction_service.GetModelMetadata, request, self._timeout.ask))
        with self._lock:
            self._info = info
        return info

    def status(self) -> tuple[VersionStatus, ...]:
        """Return the state of the model's versions, the newest first (of the one asked for, if ``version`` is set)."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec())
        return answer.version_status(self._call(self._model_service.GetModelStatus, request, self._timeout.ask))

    def predict(self, images: NDArray[np.uint8]) -> tuple[Prediction, ...]:
        """Return one prediction for each of the prepared pictures, uint8 [N,S,S,1] with S = ``info().input_size``.

        Raises ``InputSizeMismatch`` if the served version takes another S, also when the server changes it meanwhile.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 1 or images.size == 0:
            raise BadRequest(f"Expected pictures as uint8 [N,S,S,1], got {images.dtype} {list(images.shape)}.")
        size = images.shape[1:3]
        self._check_size(size, self.info())
        try:
            predictions = self._predict(
                contract.SIGNATURE_IMAGE, contract.INPUT_IMAGE, uint8_tensor(images), len(images)
            )
        except BadRequest:
            self._check_size(size, self.info(refresh=True))
            raise
        if predictions[0].version != self.info().version:
            self._check_size(size, self.info(refresh=True))
        return predictions

    def predict_bytes(self, files: Sequence[bytes]) -> tuple[Prediction, ...]:
        """Return one prediction for each of the whole JPEG or PNG files, prepared by the model itself."""
        if not files:
            raise BadRequest("There is no file to predict on.")
        return self._predict(contract.SIGNATURE_BYTES, contract.INPUT_BYTES, string_tensor(files), len(files))

    def wait_until_ready(self, seconds: float) -> ModelInfo:
        """Return ``info()`` as soon as the model can answer; raise the last error after ``seconds`` of waiting."""
        give_up = time.monotonic() + seconds
        while True:
            try:
                return self.info(refresh=True)
            except (ServerUnavailable, ModelLoading):
                if time.monotonic() >= give_up:
                    raise
            time.sleep(0.2)

    def _predict(self, signature: str, key: str, tensor: object, count: int) -> tuple[Prediction, ...]:
        request = predict_pb2.PredictRequest(model_spec=self._spec(signature), inputs={key: tensor})
        started = time.perf_counter()
        response = self._ask(self._prediction_service.Predict, request, self._timeout.predict)
        return answer.predictions(response, count=count, milliseconds=(time.perf_counter() - started) * 1e3)

    def _check_size(self, size: tuple[int, ...], info: ModelInfo) -> None:
        if size != (info.input_size, info.input_size):
            raise InputSizeMismatch(
                f"The pictures are {size[1]} × {size[0]} px, but version {info.version} of the model takes "
                f"{info.input_size} × {info.input_size} px. Prepare them again."
            )

    def _spec(self, signature: str = "") -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self.model, signature_name=signature)
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label
        return spec

    def _ask(self, method: Callable[..., _Response], request: object, seconds: float) -> _Response:
        """Call ``method``; where the server has no such servable, find out and say why."""
        try:
            return self._call(method, request, seconds)
        except ModelNotFound as missing:
            raise self._why_missing(missing) from missing

    def _call(self, method: Callable[..., _Response], request: object, seconds: float) -> _Response:
        give_up = time.monotonic() + seconds
        attempt = 0
        while True:
            try:
                return method(request, timeout=max(give_up - time.monotonic(), 1e-3))
            except grpc.RpcError as error:
                failure = translate(error, self.target, seconds)
                pause = self._retry.wait(attempt)
                attempt += 1
                again = error.code() is grpc.StatusCode.UNAVAILABLE and isinstance(failure, ServerUnavailable)
                if not again or attempt >= self._retry.attempts or time.monotonic() + pause >= give_up:
                    raise failure from error
            time.sleep(pause)

    def _why_missing(self, missing: ModelNotFound) -> ServingError:
        """Return the reason for ``missing`` as the server's model status tells it."""
        try:
            versions = self.status()
        except ModelNotFound:
            versions = ()
        except ServingError:
            return missing
        if any(entry.state in ("START", "LOADING") for entry in versions):
            return ModelLoading(f"The server at {self.target} is still loading the model. Try again in a few seconds.")
        failed = next((entry for entry in versions if entry.error), None)
        if failed is not None and not any(entry.state == "AVAILABLE" for entry in versions):
            return ModelNotFound(
                f"The server at {self.target} could not load version {failed.version} of the model {self.model!r}. "
                "Its log says why; publish a sound version with `osteo export`."
            )
        asked = f" in version {self.version}" if self.version is not None else ""
        asked += f" under the label {self.label!r}" if self.label is not None else ""
        return ModelNotFound(
            f"The server at {self.target} does not serve the model {self.model!r}{asked}. "
            "Is the name right? `osteo export` publishes a model."
        )


def channel_options(target: str) -> list[tuple[str, int]]:
    """Return channel settings: no size limits, and a quick return to a server that comes back.

    gRPC's own pause between attempts to reconnect grows to two minutes, far too long for a page that is looked at.
    """
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if target.startswith(("127.", "localhost:", "[::1]")):
        options.append(("grpc.enable_http_proxy", 0))
    return options
