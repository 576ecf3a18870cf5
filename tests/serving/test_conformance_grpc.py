"""The gRPC surface, case by case, against any server with the conformance models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tests.serving.saved_models import DTYPES
from tests.serving.server_process import Client, failure, predict_request, values

Code = grpc.StatusCode
MODEL = "half_plus_two"


def tensor(dtype: int, shape: Sequence[int], **fields: Any) -> TensorProto:
    """Return a TensorProto field by field."""
    proto = TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("x", "expected"), [([2.0], [3.0]), ([[1.0], [5.0]], [[2.5], [4.5]]), ([], []), (8.0, 6.0), ([[[4.0]]], [[[4.0]]])]
)
def test_predict_feeds_any_shape_as_it_is(conformance: Client, x: object, expected: object) -> None:
    assert values(conformance.predict(MODEL, x=x)).tolist() == expected


def test_predict_answers_in_typed_fields_with_the_shape_told(conformance: Client) -> None:
    y = conformance.predict(MODEL, x=[2.0, 4.0]).outputs["y"]
    assert (list(y.float_val), y.tensor_content, [dim.size for dim in y.tensor_shape.dim]) == ([3.0, 4.0], b"", [2])


def test_predict_tells_name_resolved_version_and_signature(conformance: Client) -> None:
    spec = conformance.predict(MODEL, x=[2.0]).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (MODEL, 123, "serving_default")
    assert spec.WhichOneof("version_choice") == "version"


@pytest.mark.parametrize(
    ("output_filter", "expected"), [([], {"y", "x_again"}), (["y"], {"y"}), (["x_again", "y"], {"y", "x_again"})]
)
def test_output_filter_chooses_the_outputs(conformance: Client, output_filter: list[str], expected: set[str]) -> None:
    request = predict_request(MODEL, {"x": [2.0]}, "two_outputs")
    request.output_filter.extend(output_filter)
    assert set(conformance.prediction.Predict(request).outputs) == expected


def test_predict_works_on_a_classify_signature(conformance: Client) -> None:
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2.0)
    request = predict_request(MODEL, {"inputs": np.array([example.SerializeToString()], object)}, "classify_x_to_y")
    assert values(conformance.prediction.Predict(request), "scores").tolist() == [[3.0]]


def sample(name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return values of a dtype up to its limits."""
    dtype = tf.as_dtype(name).as_numpy_dtype
    if name == "string":
        return np.resize(np.array([b"a\0\xff", b"", b"\xc3\xa4", b"b" * 300], object), shape)
    if name == "bool":
        return np.resize(np.array([True, False]), shape)
    if "int" in name:
        limits = np.iinfo(dtype)
        return np.resize(np.array([limits.min, limits.max, 1, 200 % limits.max], dtype), shape)
    return np.resize(np.array([-1.5, 0.0, 3.25, 1024.0]).astype(dtype), shape)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0,), (50, 3)], ids=str)
def test_every_dtype_comes_back_as_it_was_sent(conformance: Client, name: str, shape: tuple[int, ...]) -> None:
    sent = sample(name, shape)
    answer = conformance.prediction.Predict(predict_request("dtypes", {"x": sent}, name)).outputs["y"]
    got = tf.make_ndarray(answer)
    assert (tf.as_dtype(answer.dtype).name, got.shape, got.tolist()) == (name, shape, sent.tolist())


@pytest.mark.parametrize(
    ("signature", "proto", "expected"),
    [
        ("float32", tensor(1, [4], float_val=[1, 2]), [1, 2, 2, 2]),
        ("float32", tensor(1, [3]), [0, 0, 0]),
        ("float32", tensor(1, [2], float_val=[1, 2, 3]), [1, 2]),
        ("float32", tensor(1, [2], tensor_content=np.array([7, 8], "f4").tobytes()), [7, 8]),
        ("int64", tensor(9, [2], int64_val=[-5]), [-5, -5]),
        ("int8", tensor(6, [2], int_val=[-1, 127]), [-1, 127]),
        ("bool", tensor(10, [3], bool_val=[True]), [True, True, True]),
        ("complex64", tensor(8, [2], scomplex_val=[1, 2]), [1 + 2j, 1 + 2j]),
        ("float16", tensor(19, [2], half_val=[0x3C00]), [1, 1]),
        ("bfloat16", tensor(14, [1], half_val=[0x3F80]), [1]),
        ("string", tensor(7, [3], string_val=[b"a"]), [b"a", b"a", b"a"]),
        ("string", tensor(7, [2]), [b"", b""]),
        ("string", tensor(7, [2], tensor_content=b"\x01\x02abc"), [b"a", b"bc"]),
        ("float32", tensor(1, [], float_val=[4]), 4),
    ],
)
def test_inputs_are_read_as_tensorflow_reads_them(
    conformance: Client, signature: str, proto: TensorProto, expected: object
) -> None:
    request = predict_request("dtypes", {}, signature)
    request.inputs["x"].CopyFrom(proto)
    assert values(conformance.prediction.Predict(request)).tolist() == expected


@pytest.mark.parametrize(
    "proto",
    [
        tensor(1, [2], tensor_content=b"123"),
        tensor(1, [-1], float_val=[1]),
        tensor(0, [1], float_val=[1]),
        tensor(1, [1 << 62, 1 << 62]),
        tensor(999, [1]),
        TensorProto(dtype=1, tensor_shape={"unknown_rank": True}),
        tensor(7, [2], tensor_content=b"\x05\x05ab"),
    ],
    ids=["size", "negative", "no dtype", "overflow", "odd dtype", "unknown rank", "strings"],
)
def test_an_unreadable_tensor_is_named(conformance: Client, proto: TensorProto) -> None:
    request = predict_request(MODEL, {})
    request.inputs["x"].CopyFrom(proto)
    answer = failure(lambda: conformance.prediction.Predict(request))
    assert answer == (Code.INVALID_ARGUMENT, "tensor parsing error: x")


def test_a_default_value_stands_in_for_an_input_not_sent(conformance: Client) -> None:
    assert values(conformance.predict("defaults", a=[1.0]), "sum").tolist() == [11.0]
    assert values(conformance.predict("defaults", a=[1.0], b=[2.0]), "sum").tolist() == [3.0]


def test_the_clients_deadline_ends_the_run(conformance: Client) -> None:
    started = time.monotonic()
    code, _ = failure(lambda: conformance.predict("slow", timeout=0.3, seconds=[20.0]))
    assert code is Code.DEADLINE_EXCEEDED
    assert values(conformance.predict("slow", seconds=[0.0]), "seconds").tolist() == [0.0]
    assert time.monotonic() - started < 10


def test_a_long_run_after_short_ones_keeps_to_its_deadline_and_holds_up_nobody(conformance: Client) -> None:
    for _ in range(3):
        conformance.predict("slow", seconds=[0.0])
    waiting = conformance.prediction.Predict.future(predict_request("slow", {"seconds": [1.5]}))
    code, _ = failure(lambda: conformance.predict("slow", timeout=0.3, seconds=[20.0]))
    assert code is Code.DEADLINE_EXCEEDED
    assert values(conformance.predict("slow", seconds=[0.0]), "seconds").tolist() == [0.0]
    assert not waiting.done()
    assert values(waiting.result(timeout=30), "seconds").tolist() == [1.5]


def test_requests_to_a_busy_model_do_not_hold_up_others(conformance: Client) -> None:
    waiting = conformance.prediction.Predict.future(predict_request("slow", {"seconds": [2.0]}), timeout=30)
    assert values(conformance.predict(MODEL, x=[2.0])).tolist() == [3.0]
    assert not waiting.done()
    assert values(waiting.result(), "seconds").tolist() == [2.0]


def test_metadata_holds_every_signature_and_no_signature_name(conformance: Client) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "matmul"
    answer = conformance.prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    info = signatures.signature_def["serving_default"]
    assert {alias: tensor.name for alias, tensor in info.inputs.items()} == {"a": "a:0", "b": "b:0"}
    assert info.inputs["a"].dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in info.inputs["a"].tensor_shape.dim] == [-1, 2]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("matmul", 1, "")


def test_status_tells_version_state_and_no_error(conformance: Client) -> None:
    status = conformance.status(MODEL, 123)
    assert (status.version, status.state, status.status.error_code, status.status.error_message) == (123, 30, 0, "")


def test_status_pays_no_heed_to_a_label(conformance: Client) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name, request.model_spec.version_label = MODEL, "no such label"
    assert [status.version for status in conformance.model.GetModelStatus(request).model_version_status] == [123]
