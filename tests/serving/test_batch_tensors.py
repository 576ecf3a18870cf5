"""Merging, padding and splitting of batched tensors."""

from __future__ import annotations

import numpy as np
import pytest

from serving.embedded.batch_tensors import Feeds, merge, rows_of, split
from serving.embedded.batching_options import BatchingOptions, check
from serving.embedded.status import Code, ServingError


def rows(*values: object, dtype: str = "f4") -> Feeds:
    return {"x": np.array(values, dtype)}


def test_requests_are_joined_in_order_and_padded_with_the_last_ones_first_row() -> None:
    merged = merge([rows([1], [2]), rows([3], [4])], 2, pad_variable_length=False)
    assert merged["x"].tolist() == [[1], [2], [3], [4], [3], [3]]


def test_a_single_request_is_not_copied() -> None:
    alone = rows([1], [2])
    assert merge([alone], 0, pad_variable_length=False)["x"] is alone["x"]


def test_strings_are_joined_too() -> None:
    merged = merge([{"x": np.array([b"a"], object)}, {"x": np.array([b"b"], object)}], 1, pad_variable_length=False)
    assert merged["x"].tolist() == [b"a", b"b", b"b"]


def test_variable_lengths_grow_to_the_longest_with_each_ones_first_value() -> None:
    merged = merge([rows([1, 2]), rows([7, 8, 9])], 0, pad_variable_length=True)
    assert merged["x"].tolist() == [[1, 2, 1], [7, 8, 9]]


@pytest.mark.parametrize(
    ("requests", "pad", "code", "text"),
    [
        (
            [rows([1, 2]), rows([1])],
            False,
            Code.FAILED_PRECONDITION,
            "Tensors with name 'x' from different tasks have different shapes and padding is turned off.",
        ),
        (
            [rows([1]), rows([1], dtype="i4")],
            False,
            Code.INTERNAL,
            "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
            "types. Got float and int32.",
        ),
        (
            [{"x": np.zeros((1, 0), "f4")}, rows([1])],
            True,
            Code.INVALID_ARGUMENT,
            "Got empty tensor in batch of non-empty tensors.",
        ),
        ([rows([1]), rows([[1]])], True, Code.INVALID_ARGUMENT, "Tensors of different rank cannot be padded"),
    ],
)
def test_requests_that_do_not_fit_together_are_refused(requests: list[Feeds], pad: bool, code: Code, text: str) -> None:
    with pytest.raises(ServingError) as raised:
        merge(requests, 0, pad_variable_length=pad)
    assert raised.value.code is code
    assert raised.value.message.startswith(text)


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "Batching Run() must have at least one input tensor"),
        ({"x": np.array(1.0)}, "Batching Run() input tensors must have at least one dimension"),
        (
            {"x": np.zeros(2), "y": np.zeros(3)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    ],
)
def test_inputs_without_common_rows_are_refused(feeds: Feeds, text: str) -> None:
    with pytest.raises(ServingError) as raised:
        rows_of(feeds)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)


def test_outputs_are_split_back_without_the_padding() -> None:
    first, second = split([np.array([1, 2, 3, 3]), np.array([b"a", b"b", b"c", b"c"], object)], [1, 2], 1)
    assert [part.tolist() for part in first] == [[1], [b"a"]]
    assert [part.tolist() for part in second] == [[2, 3], [b"b", b"c"]]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (np.array(1.0), "Batched output tensor has 0 dimensions"),
        (
            np.zeros(2),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
    ],
)
def test_outputs_without_a_row_for_each_input_row_are_refused(output: np.ndarray[tuple[int, ...]], text: str) -> None:
    with pytest.raises(ServingError) as raised:
        split([output], [1, 2], 0)
    assert (raised.value.code, raised.value.message) == (Code.FAILED_PRECONDITION, text)


@pytest.mark.parametrize(("size", "expected"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 5)])
def test_sizes_are_rounded_up_to_the_next_allowed_one(size: int, expected: int) -> None:
    assert BatchingOptions(allowed_batch_sizes=(2, 4)).allowed_size(size) == expected


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            BatchingOptions(max_batch_size=8, allowed_batch_sizes=(2, 4)),
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            BatchingOptions(max_batch_size=4, allowed_batch_sizes=(4, 4)),
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            BatchingOptions(8, 4, allowed_batch_sizes=(2, 8), enable_large_batch_splitting=True),
            "Last entry in allowed_batch_sizes must be equal to max_execution_batch_size; last entry was 8; expected 4",
        ),
        (BatchingOptions(max_batch_size=0), "input_batch_size_limit must be positive; was 0"),
        (BatchingOptions(timeout=-1e-6), "batch_timeout_micros must be non-negative; was -1"),
        (BatchingOptions(max_enqueued_batches=0), "max_enqueued_batches must be positive; was 0"),
        (
            BatchingOptions(8, 16, enable_large_batch_splitting=True),
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            "max_execution_batch_size.1816",
        ),
        (
            BatchingOptions(0, 0, timeout=-1.0, allowed_batch_sizes=(4,)),
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 0",
        ),
    ],
)
def test_sizes_and_times_must_fit_each_other(options: BatchingOptions, text: str) -> None:
    with pytest.raises(ServingError) as raised:
        check(options)
    assert raised.value.message == text
