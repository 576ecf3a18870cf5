"""Every way to fail ends in one class of the tree, with a sentence that says what to do."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

from serving.client import (
    BadRequest,
    ContractMismatch,
    DeadlineExceeded,
    FractureClient,
    ModelLoading,
    ModelNotFound,
    Retry,
    ServerBusy,
    ServerFault,
    ServerUnavailable,
    ServingError,
    Timeout,
    WrongProtocol,
)
from tests.model_server import ModelServer
from tests.serving.scripted_server import Script, scripted_server

IMPATIENT = Retry(attempts=1)
QUICK = Retry(attempts=4, pause=0.01, longest=0.02)


@pytest.fixture
def web_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_nobody_listening_is_said_with_what_to_do(free_port: Callable[[], int]) -> None:
    target = f"127.0.0.1:{free_port()}"
    with FractureClient(target, retry=IMPATIENT) as client, pytest.raises(ServerUnavailable) as caught:
        client.info()
    assert target in str(caught.value)
    assert "osteo serve" in str(caught.value)
    assert caught.value.code == "server_unavailable"


def test_the_rest_port_is_recognised_as_the_wrong_one(model_server: ModelServer) -> None:
    with (
        FractureClient(f"127.0.0.1:{model_server.rest_port}") as client,
        pytest.raises(WrongProtocol, match=r"REST port.*8500"),
    ):
        client.info()


def test_a_web_server_is_recognised_as_the_wrong_one(web_port: int) -> None:
    with FractureClient(f"127.0.0.1:{web_port}") as client, pytest.raises(WrongProtocol, match="does not speak gRPC"):
        client.info()


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:8501", "127.0.0.1", "127.0.0.1:abc", "127.0.0.1:99999", "", "two words:80"]
)
def test_what_is_no_address_is_refused_at_once(target: str) -> None:
    with pytest.raises(WrongProtocol, match=r"127\.0\.0\.1:8500"):
        FractureClient(target)


UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "The server is shutting down")


@pytest.mark.parametrize(
    ("refusal", "error", "calls"),
    [
        (UNAVAILABLE, ServerUnavailable, 4),
        ((grpc.StatusCode.UNAVAILABLE, "The batch scheduling queue ... is full; currently 9"), ServerBusy, 4),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED, "Run() timeout exceeded in batching queue"), ServerBusy, 1),
        ((grpc.StatusCode.INTERNAL, "boom"), ServerFault, 1),
        ((grpc.StatusCode.INVALID_ARGUMENT, "Expects arg[0] to be uint8"), BadRequest, 1),
        ((grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "x" not found.'), ContractMismatch, 1),
        ((grpc.StatusCode.UNIMPLEMENTED, "unknown service"), WrongProtocol, 1),
        ((grpc.StatusCode.DEADLINE_EXCEEDED, "too late"), DeadlineExceeded, 1),
    ],
)
def test_only_an_unavailable_server_is_asked_again_and_not_for_ever(
    refusal: tuple[grpc.StatusCode, str], error: type[ServingError], calls: int
) -> None:
    script = Script(refusals=[refusal] * 10)
    with (
        scripted_server(script) as target,
        FractureClient(target, retry=QUICK) as client,
        pytest.raises(ServingError) as caught,
    ):
        client.predict_bytes([b"file"])
    assert (type(caught.value), script.calls) == (error, calls)


def test_retries_end_with_the_deadline_of_the_call() -> None:
    script = Script(refusals=[UNAVAILABLE] * 100)
    patient = Retry(attempts=100, pause=0.2, longest=0.2)
    with (
        scripted_server(script) as target,
        FractureClient(target, retry=patient, timeout=Timeout(predict=0.5)) as client,
    ):
        with pytest.raises(ServerUnavailable):
            client.predict_bytes([b"file"])
        assert script.calls < 8


def test_time_that_runs_out_while_asking_again_is_laid_to_what_was_refused() -> None:
    def late() -> predict_pb2.PredictResponse:
        time.sleep(0.6)
        return predict_pb2.PredictResponse()

    script = Script(refusals=[UNAVAILABLE], answer=late)
    with (
        scripted_server(script) as target,
        FractureClient(target, retry=QUICK, timeout=Timeout(predict=0.4)) as client,
    ):
        with pytest.raises(ServerUnavailable):
            client.predict_bytes([b"file"])
        assert script.calls == 2


@pytest.mark.parametrize(
    ("state", "error", "expected", "words"),
    [
        ("START", "", ModelLoading, "still loading"),
        ("LOADING", "", ModelLoading, "still loading"),
        ("END", "no such file", ModelNotFound, "could not load version 1"),
        ("END", "", ModelNotFound, "does not serve"),
    ],
)
def test_a_model_without_a_ready_version_is_explained(
    state: str, error: str, expected: type[ServingError], words: str
) -> None:
    refusal = (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(fracture)")
    # asked twice, for a label may have moved between the look at it and the look at its version
    script = Script(refusals=[refusal] * 2, state=state, error=error)
    with scripted_server(script) as target, FractureClient(target) as client, pytest.raises(expected, match=words):
        client.info()
