"""The batching queues themselves: large requests, deadlines, parameters beside a model."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from serving.embedded.batching import BatchingRunner, BatchScheduler
from serving.embedded.batching_options import BatchingOptions, global_options, per_model_options
from serving.embedded.metrics import Metrics
from serving.embedded.options import ServerOptions
from serving.embedded.servable import Tensor
from serving.embedded.status import Code, ServingError


class Doubling:
    """A runner that doubles `x` into `y`, notes what it was run with, and can be held up."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int | None]] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, feeds: Mapping[str, Tensor], fetches: Sequence[str], timeout_ms: int | None) -> list[Tensor]:
        self.free.wait(10)
        self.runs.append((len(feeds["x"]), timeout_ms))
        return [np.asarray(feeds["x"], np.float32) * 2 for _ in fetches]

    def close(self) -> None:
        self.free.set()


def queue(options: BatchingOptions) -> tuple[Doubling, BatchingRunner, Metrics]:
    metrics = Metrics()
    runner = Doubling()
    return runner, BatchingRunner(runner, BatchScheduler(1, "test", metrics), options), metrics


def ones(rows: int) -> dict[str, Tensor]:
    return {"x": np.arange(rows, dtype=np.float32)}


def test_a_large_request_is_split_over_runs_and_joined_again() -> None:
    options = BatchingOptions(10, 4, allowed_batch_sizes=(2, 4), enable_large_batch_splitting=True)
    runner, batching, metrics = queue(options)
    (answer,) = batching(ones(9), ["y"], None)
    assert answer.tolist() == [2.0 * number for number in range(9)]
    assert sorted(rows for rows, _ in runner.runs) == [2, 4, 4]
    assert metrics.wrapped_run_count.total() == 3


def test_a_large_request_fills_up_the_open_batch_first() -> None:
    options = BatchingOptions(10, 4, timeout=0.5, enable_large_batch_splitting=True)
    runner, batching, _ = queue(options)
    answers: dict[int, list[float]] = {}

    def ask(rows: int) -> None:
        answers[rows] = batching(ones(rows), ["y"], None)[0].tolist()

    threads = [threading.Thread(target=ask, args=(rows,)) for rows in (3, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {rows: [2.0 * number for number in range(rows)] for rows in (3, 9)}
    assert sorted(rows for rows, _ in runner.runs) == [4, 4, 4]


def test_the_run_gets_the_time_of_its_most_patient_request() -> None:
    runner, batching, _ = queue(BatchingOptions(2, 2, timeout=5.0))
    threads = [threading.Thread(target=batching, args=(ones(1), ["y"], timeout)) for timeout in (1000, 60_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((rows, timeout_ms),) = runner.runs
    assert rows == 2
    assert timeout_ms is not None
    assert 50_000 < timeout_ms <= 60_000


def test_requests_that_have_all_waited_too_long_are_not_run() -> None:
    runner, batching, _ = queue(BatchingOptions(1, 1))
    runner.free.clear()
    busy = threading.Thread(target=batching, args=(ones(1), ["y"], None))
    busy.start()
    threading.Timer(0.3, runner.free.set).start()
    with pytest.raises(ServingError) as raised:
        batching(ones(1), ["y"], 50)
    busy.join()
    assert raised.value.code is Code.RESOURCE_EXHAUSTED
    assert raised.value.message == "Run() timeout exceeded while waiting in batching queue"
    assert len(runner.runs) == 1


def test_an_output_asked_for_twice_is_given_twice() -> None:
    _, batching, _ = queue(BatchingOptions())
    first, second = batching(ones(2), ["y", "y"], None)
    assert first.tolist() == second.tolist() == [0.0, 2.0]


def test_parameters_beside_a_version_keep_the_shared_threads(tmp_path: Path) -> None:
    shared = BatchingOptions(num_batch_threads=7, thread_pool_name="shared")
    assert per_model_options(str(tmp_path), shared) is None
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 5 } num_batch_threads { value: 1 }")
    own = per_model_options(str(tmp_path), shared)
    assert own == BatchingOptions(5, 5, num_batch_threads=7, thread_pool_name="shared")


def test_a_file_without_threads_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "parameters").write_text("num_batch_threads { value: 0 }")
    options = ServerOptions(enable_batching=True, batching_parameters_file=str(tmp_path / "parameters"))
    with pytest.raises(ServingError) as raised:
        global_options(options)
    assert (raised.value.code, raised.value.message) == (
        Code.INVALID_ARGUMENT,
        "num_batch_threads must be positive; was 0",
    )


def test_without_a_file_batching_has_its_defaults() -> None:
    assert global_options(ServerOptions()) is None
    defaults = global_options(ServerOptions(enable_batching=True))
    assert defaults is not None
    assert (defaults.max_batch_size, defaults.timeout, defaults.max_enqueued_batches) == (1000, 0.0, 10)
