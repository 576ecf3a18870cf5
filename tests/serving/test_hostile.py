"""Requests made to hurt: each is answered with a bounded sentence, soon, and the next client is served as ever."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator

import grpc
import pytest
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tests.serving.server_process import Address, Client, failure, predict_request, values

PATH = "/v1/models/half_plus_two:predict"
DEEP = 200_000
TOO_DEEP = 300_000
MEGABYTE = 1 << 20


@pytest.fixture
def address(conformance_address: Address, conformance: Client) -> Iterator[Address]:
    """The conformance server; after the test it must still answer over both protocols."""
    yield conformance_address
    assert post(conformance_address, b'{"instances": [2.0]}') == (200, {"predictions": [3.0]})
    assert values(conformance.predict("half_plus_two", x=[2.0])).tolist() == [3.0]


def post(address: Address, body: bytes, **headers: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection(address.rest or "", timeout=60)
    try:
        connection.request("POST", PATH, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"instances": %b1%b}' % (b"[" * DEEP, b"]" * DEEP), "tensor parsing error: x"),
        (b"[" * TOO_DEEP, "JSON Parse error: Nesting deeper than 262144 levels. at offset: 262144"),
        (
            b'{"instances": %b' % (b'{"a":' * TOO_DEEP),
            "JSON Parse error: Nesting deeper than 262144 levels. at offset: ",
        ),
    ],
    ids=["lists", "open lists", "open objects"],
)
def test_deep_nesting_is_refused(address: Address, body: bytes, error: str) -> None:
    status, answer = post(address, body)
    assert (status, str(answer["error"])[: len(error)]) == (400, error)


def test_an_error_quotes_no_more_than_a_megabyte_of_a_deep_document(address: Address) -> None:
    status, answer = post(address, b'{"instances": %b1%b}' % (b'{"a":' * DEEP, b"}" * DEEP))
    text = str(answer["error"])
    assert (status, "...TRUNCATED Expecting 'instances' to be an list/array" in text) == (400, True)
    assert MEGABYTE < len(text) < 2 * MEGABYTE


def test_a_small_body_that_inflates_beyond_all_bounds_is_not_inflated(address: Address) -> None:
    bomb = gzip.compress(b"0" * (256 * MEGABYTE), 9)
    assert len(bomb) < MEGABYTE
    assert post(address, bomb, Content_Encoding="gzip") == (400, {"error": "JSON Parse error: The document is empty"})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
        (b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: -4\r\n\r\nabcd", 400),
        (b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\nabcd", 400),
        (b"POST %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST %b HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(9000)) + b"\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200 + b"\r\n\r\n", 400),
        (b"CONNECT %b HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        (b"POST //v1/models/half_plus_two:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST /v1/../v1/models/half_plus_two:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST /v1/models/half_plus_two%%3Apredict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST /v1/models/half_plus_two%%00:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1", 400),
    ],
    ids=[
        *("two lengths", "a negative length", "a length beyond all", "an unknown coding", "a flood of headers"),
        *("HTTP/2", "TLS", "CONNECT", "two slashes", "dots", "an escaped colon", "an escaped NUL"),
    ],
)
def test_a_malformed_request_gets_its_status(address: Address, sent: bytes, status: int) -> None:
    host, _, port = (address.rest or "").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent % ((PATH.encode(),) if b"%b" in sent else ()))
        assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "proto",
    [
        TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1 << 40}]}),
        TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1 << 31}, {"size": 1 << 31}]}, float_val=[1.0]),
        TensorProto(dtype=7, tensor_shape={"dim": [{"size": 20_000_000}]}),
        TensorProto(dtype=7, tensor_shape={"dim": [{"size": 1}]}, tensor_content=b"\xff\xff\xff\xff\x0f"),
        TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1}] * 255}, float_val=[1.0]),
    ],
    ids=["a terabyte of zeros", "more than memory", "millions of strings", "a string of 4 GB", "255 dimensions"],
)
def test_a_tensor_that_would_blow_up_is_unreadable(address: Address, conformance: Client, proto: TensorProto) -> None:
    request = predict_request("half_plus_two", {})
    request.inputs["x"].CopyFrom(proto)
    answer = failure(lambda: conformance.prediction.Predict(request, timeout=60))
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "tensor parsing error: x")


def test_bytes_that_are_no_message_are_an_error_of_their_own(address: Address, conformance: Client) -> None:
    call = conformance.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert failure(lambda: call(b"\xff" * 1000, timeout=60))[0] is grpc.StatusCode.INTERNAL


def test_a_client_that_talks_no_grpc_costs_the_port_nothing(address: Address) -> None:
    host, _, port = address.target.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.recv(65536)
