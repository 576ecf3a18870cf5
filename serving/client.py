"""One gRPC client for the fracture model on any TensorFlow Serving server.

    with FractureClient("127.0.0.1:8500") as client:
        size = client.info().input_size
        prediction = client.predict(prepare(read("wrist.jpg"), size).image[None])[0]

Every failure is one class of the tree in ``serving.errors``. Labels are followed: see ``serving.following``.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

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
    tensor_pb2,
)
from serving.channel import open_channel
from serving.errors import (
    BadRequest,
    ContractMismatch,
    DeadlineExceeded,
    InputSizeMismatch,
    LabelNotFound,
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
from serving.following import Asked, Following
from serving.route import Route
from serving.tensor_proto import string_tensor, uint8_tensor

__all__ = [
    "BadRequest",
    "ContractMismatch",
    "DeadlineExceeded",
    "FractureClient",
    "InputSizeMismatch",
    "LabelNotFound",
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

    ``target`` is the server's gRPC address as ``host:port``. Without ``version`` or ``label`` the version labelled
    ``stable`` answers, or the newest where none is; with the path of a ``route`` file the share of the studies that it
    names goes to the label ``canary``. What is gone is followed, and each answer tells who gave it. Nothing is sent
    before the first call, so a client can be made while the server is still down, and it finds the server again by
    itself after a restart.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        model: str = contract.MODEL_NAME,
        version: int | None = None,
        label: str | None = None,
        route: str | os.PathLike[str] | None = None,
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
        self._following = Following(Asked(version, label), Route(route) if route is not None else None)
        self._channel = open_channel(target)
        self._prediction_service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model_service = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._infos: dict[Asked, ModelInfo] = {}
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

    def info(self, *, refresh: bool = False, study: str | None = None) -> ModelInfo:
        """Return name, version, input size (px) and signatures from the served metadata, as ``study`` is routed.

        The answer is kept until a prediction shows that the server has another version, or ``refresh`` is set.
        Raises ``ContractMismatch`` if the model's ``serving_default`` is not that of ``export.contract``.
        """
        first = self._following.first(study)
        with self._lock:
            known = self._infos.get(first)
        if known is not None and not refresh and not self._following.is_due:
            return known
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        response, _ = self._ask(self._prediction_service.GetModelMetadata, request, self._timeout.ask, study)
        info = answer.model_info(response)
        with self._lock:
            self._infos |= {first: info, self._following.first(study): info}
        return info

    def status(self) -> tuple[VersionStatus, ...]:
        """Return the state of the model's versions, the newest first (of the one asked for, if ``version`` is set)."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec(Asked(self.version)))
        return answer.version_status(self._call(self._model_service.GetModelStatus, request, self._timeout.ask))

    def predict(self, images: NDArray[np.uint8], *, study: str | None = None) -> tuple[Prediction, ...]:
        """Return one prediction for each of the prepared pictures, uint8 [N,S,S,1] with S = ``info().input_size``.

        All pictures of a ``study``, told by any id of it, go the same way where a route is set. Raises
        ``InputSizeMismatch`` if the served version takes another S, also when the server changes it meanwhile.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 1 or images.size == 0:
            raise BadRequest(f"Expected pictures as uint8 [N,S,S,1], got {images.dtype} {list(images.shape)}.")
        size, tensor = images.shape[1:3], uint8_tensor(images)
        info = self.info(study=study)
        self._check_size(size, info)
        try:
            predictions = self._predict(contract.SIGNATURE_IMAGE, contract.INPUT_IMAGE, tensor, len(images), study)
        except BadRequest:
            self._check_size(size, self.info(refresh=True, study=study))
            raise
        if predictions[0].version != info.version:
            self._check_size(size, self.info(refresh=True, study=study))
        return predictions

    def predict_bytes(self, files: Sequence[bytes], *, study: str | None = None) -> tuple[Prediction, ...]:
        """Return one prediction for each of the whole JPEG or PNG files, prepared by the model itself."""
        if not files:
            raise BadRequest("There is no file to predict on.")
        return self._predict(contract.SIGNATURE_BYTES, contract.INPUT_BYTES, string_tensor(files), len(files), study)

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

    def _predict(
        self, signature: str, key: str, tensor: tensor_pb2.TensorProto, count: int, study: str | None
    ) -> tuple[Prediction, ...]:
        request = predict_pb2.PredictRequest(inputs={key: tensor})
        request.model_spec.signature_name = signature
        started = time.perf_counter()
        response, asked = self._ask(self._prediction_service.Predict, request, self._timeout.predict, study)
        milliseconds = (time.perf_counter() - started) * 1e3
        return answer.predictions(response, count=count, milliseconds=milliseconds, label=asked.label)

    def _check_size(self, size: tuple[int, ...], info: ModelInfo) -> None:
        if size != (info.input_size, info.input_size):
            raise InputSizeMismatch(
                f"The pictures are {size[1]} × {size[0]} px, but version {info.version} of the model takes "
                f"{info.input_size} × {info.input_size} px. Prepare them again."
            )

    def _spec(self, asked: Asked, signature: str = "") -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self.model, signature_name=signature)
        if asked.version is not None:
            spec.version.value = asked.version
        elif asked.label is not None:
            spec.version_label = asked.label
        return spec

    def _ask(
        self, method: Callable[..., _Response], request: Any, seconds: float, study: str | None
    ) -> tuple[_Response, Asked]:
        """Call ``method`` for what is to be asked, and what to ask next; where nothing is served, say why."""
        for asked in self._following.candidates(study):
            request.model_spec.CopyFrom(self._spec(asked, request.model_spec.signature_name))
            try:
                response = self._call(method, request, seconds)
            except ModelNotFound as error:
                self._following.missed(asked, error)
                missing, last = error, asked
            else:
                self._following.answered(asked)
                return response, asked
        raise self._why_missing(missing, last) from missing

    def _call(self, method: Callable[..., _Response], request: object, seconds: float) -> _Response:
        give_up = time.monotonic() + seconds
        attempt = 0
        refused: ServingError | None = None
        while True:
            try:
                return method(request, timeout=max(give_up - time.monotonic(), 1e-3))
            except grpc.RpcError as error:
                failure = translate(error, self.target, seconds)
                pause = self._retry.wait(attempt)
                attempt += 1
                again = error.code() is grpc.StatusCode.UNAVAILABLE and isinstance(failure, ServerUnavailable)
                if not again or attempt >= self._retry.attempts or time.monotonic() + pause >= give_up:
                    # time that ran out while asking again: what made it necessary tells more
                    late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                    raise (refused if late and refused else failure) from error
                refused = failure
            time.sleep(pause)

    def _why_missing(self, missing: ModelNotFound, last: Asked) -> ServingError:
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
        asked = f" in version {last.version}" if last.version is not None else ""
        asked += f" under the label {last.label!r}" if last.label is not None else ""
        return type(missing)(
            f"The server at {self.target} does not serve the model {self.model!r}{asked}. "
            "Is the name right? `osteo export` publishes a model."
        )
