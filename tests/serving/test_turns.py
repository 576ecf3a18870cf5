"""Runs take turns: in the order they came, a few at once, and nobody waits for runs that compute nothing."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.embedded.servable import load_saved_model
from serving.embedded.status import Code, ServingError
from serving.embedded.turns import LOOK_SECONDS, Turns, processors
from tests.serving.saved_models import half_plus_two, save


@contextmanager
def computing() -> Iterator[None]:
    """Keep every processor at work."""
    stop, block = threading.Event(), bytes(1 << 20)

    def work() -> None:
        while not stop.is_set():
            hashlib.sha256(block)  # other threads run meanwhile

    threads = [threading.Thread(target=work) for _ in range(processors())]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_runs_begin_in_their_order_and_no_more_than_allowed_at_once() -> None:
    turns, begun, alive, most = Turns(2), [], 0, 0
    lock = threading.Lock()

    def run(number: int) -> None:
        nonlocal alive, most
        with turns.one(None) as left:
            with lock:
                begun.append(number)
                alive += 1
                most = max(most, alive)
            assert left is None
            time.sleep(0.02)
            with lock:
                alive -= 1

    with computing(), turns.one(None), turns.one(None):
        threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
            time.sleep(0.02)
        assert not begun
    for thread in threads:
        thread.join()
    assert most == 2
    # two that were called together may note themselves in either order
    assert all(abs(number - place) <= 1 for place, number in enumerate(begun)), begun
    with turns.one(5) as left:
        assert left == 5, "who need not wait loses no time"


def test_a_run_whose_time_passes_before_its_turn_is_ended_and_leaves_the_queue() -> None:
    turns = Turns(1)
    with computing(), turns.one(None):
        started = time.monotonic()
        with pytest.raises(ServingError, match="Deadline passed before the run was started") as late, turns.one(100):
            pytest.fail("its turn cannot have come")
        assert 0.09 < time.monotonic() - started < 5
    assert late.value.code == Code.DEADLINE_EXCEEDED
    with turns.one(1000) as left:
        assert left == 1000


def test_what_is_left_of_the_time_is_told() -> None:
    turns, told = Turns(1), list[int | None]()

    def wait() -> None:
        with turns.one(60_000) as left:
            told.append(left)

    with computing():
        with turns.one(None):
            waiting = threading.Thread(target=wait)
            waiting.start()
            time.sleep(0.3)
        waiting.join()
    assert told[0] is not None
    assert 50_000 < told[0] <= 59_710


def test_nobody_waits_for_runs_that_compute_nothing() -> None:
    turns = Turns(1)
    with turns.one(None):
        started = time.monotonic()
        with turns.one(None):
            assert LOOK_SECONDS <= time.monotonic() - started < 20 * LOOK_SECONDS
    with computing(), turns.one(None), pytest.raises(ServingError), turns.one(100):
        pytest.fail("only one at a time again")


def test_a_graph_takes_its_turn_but_not_where_its_last_run_was_a_short_one(tmp_path: Path) -> None:
    save(tmp_path / "1", half_plus_two)
    turns = Turns(1)
    signatures, run = load_saved_model(str(tmp_path / "1"), ["serve"], tf.compat.v1.ConfigProto(), turns=turns)
    signature = signatures["serving_default"]
    feeds = {next(iter(signature.inputs.values())).name: np.zeros(1, np.float32)}
    fetches = [next(iter(signature.outputs.values())).name]
    with computing(), turns.one(None), pytest.raises(ServingError) as late:
        run(feeds, fetches, 100)
    assert late.value.code == Code.DEADLINE_EXCEEDED
    brief = False
    for _ in range(100):
        run(feeds, fetches, None)
        brief = brief or run._brief
    assert brief, "a sum of two numbers is a short run"
    while not run._brief:
        run(feeds, fetches, None)
    with turns.one(None):
        started = time.monotonic()
        run(feeds, fetches, None)
        assert time.monotonic() - started < LOOK_SECONDS
