"""The REST surface, case by case, against any server with the conformance models, and against its own gRPC answers."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, regression_pb2

from tests.serving.saved_models import DTYPES
from tests.serving.server_process import Address, Client, predict_request, values

MODEL = "/v1/models/half_plus_two"


@dataclass(frozen=True)
class Answer:
    """Status, headers (names in lower case) and body of one reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


@pytest.fixture(scope="module")
def rest(conformance_address: Address) -> str:
    """Where the server under test serves REST."""
    if conformance_address.rest is None:
        pytest.skip("OSTEO_SERVER names no REST port (host:grpc_port:rest_port): the REST cases cannot run")
    return conformance_address.rest


def ask(rest: str, verb: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(rest, timeout=30)
    try:
        connection.request(verb, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def post(rest: str, path: str, document: object) -> Answer:
    body = document if isinstance(document, str | bytes) else json.dumps(document)
    return ask(rest, "POST", path, body)


def predict(rest: str, model: str, document: object) -> Answer:
    return post(rest, f"/v1/models/{model}:predict", document)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"instances": [1.0, 2.0, 5.0]}, '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'),
        ({"instances": [[1.0], [2]]}, '{\n    "predictions": [[2.5], [3.0]\n    ]\n}'),
        ({"instances": [{"x": 2}]}, '{\n    "predictions": [3.0\n    ]\n}'),
        ({"inputs": [2.0]}, '{\n    "outputs": [\n        3.0\n    ]\n}'),
        ({"inputs": 2.0}, '{\n    "outputs": 3.0\n}'),
        ({"inputs": {"x": [2.0]}, "signature_name": "serving_default"}, '{\n    "outputs": [\n        3.0\n    ]\n}'),
        ('{"instances": [2.0]} trailing', '{\n    "predictions": [3.0\n    ]\n}'),
        ('{"instances": [NaN, Infinity, -Inf]}', '{\n    "predictions": [NaN, Infinity, -Infinity\n    ]\n}'),
        ({"instances": [17999996.0, 1997994.0]}, '{\n    "predictions": [9e+06, 998999.0\n    ]\n}'),
    ],
    ids=str,
)
def test_predict_answers_byte_for_byte(rest: str, document: object, text: str) -> None:
    answer = predict(rest, "half_plus_two", document)
    assert (answer.status, answer.body.decode()) == (200, text)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("model", "document", "status", "error"),
    [
        ("gone", {"instances": [1.0]}, 404, "Servable not found for request: Latest(gone)"),
        ("gone/versions/5", {"instances": [1.0]}, 404, "Servable not found for request: Specific(gone, 5)"),
        ("half_plus_two/versions/7", {"inputs": 1}, 404, "Servable not found for request: Specific(half_plus_two, 7)"),
        ("half_plus_two/labels/gone", {"inputs": 1}, 400, "Unrecognized servable version label: gone"),
        (
            "gone",
            '{"instances": [1.0',
            400,
            "JSON Parse error: Missing a comma or ']' after an array element. at offset: 18",
        ),
        ("gone", {"signature_name": 1}, 400, None),
        ("half_plus_two", "", 400, "JSON Parse error: The document is empty"),
        (
            "half_plus_two",
            {"signature_name": "gone", "inputs": 1},
            400,
            'Serving signature name: "gone" not found in signature def',
        ),
        ("half_plus_two", {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            "half_plus_two",
            {"instances": ["x"]},
            400,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"x\" Type: String "
            "is not of expected type: float",
        ),
        ("dtypes", {"signature_name": "float16", "inputs": [1]}, 501, "Conversion of JSON Value: 1 to type: half"),
        ("scalar", {"instances": [1.0]}, 400, "Tensor name: name has no shape information "),
        ("matmul", {"inputs": {"a": [[1, 2, 3]], "b": [[1], [2]]}}, 400, None),
    ],
    ids=str,
)
def test_predict_errors_have_their_status_and_words(
    rest: str, model: str, document: object, status: int, error: str | None
) -> None:
    answer = predict(rest, model, document)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"] if error is None else answer.json()["error"] == error


@pytest.mark.parametrize(
    ("verb", "path", "status", "error"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/gone", 404, "Could not find any versions of model gone"),
        ("GET", f"{MODEL}/versions/9", 404, "Could not find version 9 of model half_plus_two"),
        ("GET", "/v1/models/gone/metadata", 404, "Servable not found for request: Latest(gone)"),
        ("GET", f"{MODEL}?x", 404, "Could not find any versions of model half_plus_two?x"),
        ("GET", f"{MODEL}:predict", 400, f"Malformed request: GET {MODEL}:predict"),
        ("POST", MODEL, 400, f"Malformed request: POST {MODEL}"),
        ("POST", f"{MODEL}:PREDICT", 400, f"Malformed request: POST {MODEL}:PREDICT"),
        ("POST", f"{MODEL}:predict?x=1", 400, f"Malformed request: POST {MODEL}:predict?x=1"),
        ("PUT", f"{MODEL}:predict", 400, f"Malformed request: PUT {MODEL}:predict"),
        ("DELETE", MODEL, 400, f"Malformed request: DELETE {MODEL}"),
        ("GET", "/v1/", 400, "Malformed request: GET /v1/"),
        (
            "POST",
            f"{MODEL}/versions/1/labels/l:predict",
            400,
            f"Malformed request: POST {MODEL}/versions/1/labels/l:predict",
        ),
    ],
)
def test_paths_that_ask_for_nothing_known(rest: str, verb: str, path: str, status: int, error: str) -> None:
    answer = ask(rest, verb, path)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json() == {"error": error}


def test_a_version_beyond_int64_is_an_error_without_a_body(rest: str) -> None:
    answer = ask(rest, "GET", f"{MODEL}/versions/9223372036854775808")
    assert (answer.status, answer.body) == (400, b"")


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models/half_plus_two", "/metrics"])
def test_outside_of_v1_there_is_a_page_not_found(rest: str, path: str) -> None:
    answer = ask(rest, "GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html")
    assert b"<H1>Not Found</H1>" in answer.body


@pytest.mark.parametrize(
    ("origin", "status"), [("http://a.b", 200), ("https://c", 200), ("file:///d", 400), (None, 400)]
)
def test_options_asks_for_an_origin(rest: str, origin: str | None, status: int) -> None:
    answer = ask(rest, "OPTIONS", f"{MODEL}:predict", **({"Origin": origin} if origin else {}))
    assert (answer.status, answer.body) == (status, b"")
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", [MODEL, f"{MODEL}/versions/123", f"{MODEL}/labels/ignored", "/V1/Models/half%5Fplus_two", f"//host{MODEL}"]
)
def test_status_tells_every_version(rest: str, path: str) -> None:
    status = {"error_code": "OK", "error_message": ""}
    answer = ask(rest, "GET", path)
    assert answer.status == 200
    assert answer.json() == {"model_version_status": [{"version": "123", "state": "AVAILABLE", "status": status}]}


def test_metadata_tells_the_signatures(rest: str) -> None:
    document = ask(rest, "GET", f"{MODEL}/metadata").json()
    assert document["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    signatures = document["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signatures["regress_x_to_y"]["method_name"] == "tensorflow/serving/regress"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "gzip, gzip"])
def test_gzip_bodies_are_inflated_and_replies_are_not_compressed(rest: str, encoding: str) -> None:
    body = gzip.compress(b'{"instances": [2.0]}')
    answer = ask(rest, "POST", f"{MODEL}:predict", body, Content_Encoding=encoding, Accept_Encoding="gzip")
    assert (answer.status, answer.json()) == (200, {"predictions": [3.0]})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [b"not gzip at all", gzip.compress(b'{"instances": [2.0]}')[:-5], gzip.compress(b"{}") + b"more", b""],
    ids=["no gzip", "cut short", "trailing bytes", "nothing"],
)
def test_a_body_that_does_not_inflate_is_an_empty_document(rest: str, body: bytes) -> None:
    answer = ask(rest, "POST", f"{MODEL}:predict", body, Content_Encoding="gzip")
    assert (answer.status, answer.json()) == (400, {"error": "JSON Parse error: The document is empty"})


def test_a_body_that_inflates_beyond_100_mb_is_an_empty_document(rest: str) -> None:
    body = gzip.compress(b'{"instances": [2.0]}' + b" " * (100 << 20), compresslevel=1)
    answer = ask(rest, "POST", f"{MODEL}:predict", body, Content_Encoding="gzip")
    assert (answer.status, answer.json()) == (400, {"error": "JSON Parse error: The document is empty"})


def test_the_content_type_of_a_request_is_ignored(rest: str) -> None:
    answer = ask(rest, "POST", f"{MODEL}:predict", b'{"instances": [2.0]}', Content_Type="image/jpeg")
    assert answer.status == 200


def test_strings_come_as_text_or_base64_and_leave_by_the_name_of_their_output(rest: str) -> None:
    raw = b"\xff\x00\xfe"
    given = ["hé", {"b64": base64.b64encode(raw).decode()}]
    document = {"signature_name": "bytes", "instances": given}
    found = predict(rest, "text", document).json()["predictions"]
    assert [base64.b64decode(item["b64"]) for item in found] == ["hé".encode(), raw]
    assert predict(rest, "text", {"instances": ["hé", {"b64": "aGk"}]}).json() == {"predictions": ["Hé", "HI"]}


@pytest.mark.parametrize("name", sorted(set(DTYPES) - {"float16", "bfloat16", "uint16", "complex64", "complex128"}))
@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 1, 3)], ids=str)
def test_rest_and_grpc_answer_the_same(rest: str, conformance: Client, name: str, shape: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(3).standard_normal(shape) * 100
    if name == "string":
        written = np.array([f"w{number:.0f}" for number in numbers.reshape(-1)], object).reshape(shape)
        sent = np.vectorize(str.encode, otypes=[object])(written)
    else:
        written = sent = (np.abs(numbers) if name.startswith("uint") else numbers).astype(name)
    by_grpc = values(conformance.prediction.Predict(predict_request("dtypes", {"x": sent}, name)))
    expected = np.vectorize(bytes.decode, otypes=[object])(by_grpc) if name == "string" else by_grpc
    for key, result in (("instances", "predictions"), ("inputs", "outputs")):
        answer = predict(rest, "dtypes", {"signature_name": name, key: written.tolist()})
        assert answer.status == 200
        np.testing.assert_array_equal(np.array(answer.json()[result], expected.dtype), expected)


def test_a_large_tensor_comes_back_to_the_last_bit(rest: str) -> None:
    array = np.random.default_rng(5).standard_normal((2, 64, 64, 3)).astype(np.float32)
    answer = predict(rest, "dtypes", {"instances": array.tolist()})
    np.testing.assert_array_equal(np.array(answer.json()["predictions"], np.float32), array)


EXAMPLES = [{"x": 2.0}, {"x": [5.0]}]


@pytest.mark.parametrize(
    ("method", "document", "results"),
    [
        ("classify", {"signature_name": "classify_x_to_y", "examples": EXAMPLES}, [[["", 3.0]], [["", 4.5]]]),
        (
            "classify",
            {"signature_name": "classify_labels", "examples": EXAMPLES[:1]},
            [[["half", 3.0], ["whole", 2.0]]],
        ),
        ("regress", {"signature_name": "regress_x_to_y", "examples": EXAMPLES}, [3.0, 4.5]),
        ("regress", {"signature_name": "regress_x_to_y", "context": {"x": 8.0}, "examples": [{}]}, [6.0]),
    ],
)
def test_classify_and_regress_answer(rest: str, method: str, document: object, results: object) -> None:
    answer = post(rest, f"{MODEL}:{method}", document)
    assert (answer.status, answer.json()) == (200, {"results": results})


@pytest.mark.parametrize(
    ("method", "document", "error"),
    [
        ("classify", {"examples": []}, "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ("classify", {"signature_name": "gone", "examples": [{}]}, "No signature was found with the name: gone"),
        (
            "regress",
            {"examples": [{"x": [1.5, 2]}]},
            "Unexpected element type in feature: x expecting type: float",
        ),
    ],
)
def test_classify_and_regress_errors(rest: str, method: str, document: object, error: str) -> None:
    answer = post(rest, f"{MODEL}:{method}", document)
    assert (answer.status, answer.json()) == (400, {"error": error})


def test_classify_and_regress_give_grpcs_scores(rest: str, conformance: Client) -> None:
    numbers = [0.1, 1 / 3, 1e6, -7.25]
    classify, regress = classification_pb2.ClassificationRequest(), regression_pb2.RegressionRequest()
    for request, signature in ((classify, "classify_x_to_y"), (regress, "regress_x_to_y")):
        request.model_spec.name, request.model_spec.signature_name = "half_plus_two", signature
        for number in numbers:
            example = tf.train.Example()
            example.features.feature["x"].float_list.value.append(number)
            request.input.example_list.examples.add().ParseFromString(example.SerializeToString())
    examples = [{"x": number} for number in numbers]
    found = post(rest, f"{MODEL}:classify", {"signature_name": "classify_x_to_y", "examples": examples}).json()
    scores = [item.classes[0].score for item in conformance.prediction.Classify(classify).result.classifications]
    assert np.array([row[0][1] for row in found["results"]], np.float32).tolist() == scores
    found = post(rest, f"{MODEL}:regress", {"signature_name": "regress_x_to_y", "examples": examples}).json()
    expected = [item.value for item in conformance.prediction.Regress(regress).result.regressions]
    assert np.array(found["results"], np.float32).tolist() == expected
