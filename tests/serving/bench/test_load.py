"""Clients in a closed and in an open loop, against functions whose time is known."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from serving.bench.load import Ask, Load, closed_loop, open_loop

PAUSE = 0.02
STALL = 0.6


def each(ask: Ask) -> Callable[[], AbstractContextManager[Ask]]:
    """Connect by doing nothing."""
    return lambda: contextlib.nullcontext(ask)


def stalling() -> Ask:
    """Return an ask whose second call takes STALL (the first is not counted), and all others no time."""
    calls = iter([0.0, STALL])
    return lambda: time.sleep(next(calls, 0.0))


def test_a_closed_loop_asks_as_fast_as_it_is_answered() -> None:
    load = closed_loop(each(lambda: time.sleep(PAUSE)), clients=4, seconds=0.5)
    assert min(load.times) >= PAUSE
    assert load.per_second == pytest.approx(len(load.times) / load.seconds)
    assert 1 <= len(load.times) <= 4 * 0.5 / PAUSE + 4


def test_all_clients_of_a_closed_loop_ask_at_once() -> None:
    under_way, seen, counting = [0], set[int](), threading.Lock()

    def ask() -> None:
        with counting:
            under_way[0] += 1
            seen.add(under_way[0])
        time.sleep(PAUSE)
        with counting:
            under_way[0] -= 1

    closed_loop(each(ask), clients=3, seconds=0.5)
    assert max(seen) == 3


def test_an_open_loop_keeps_its_rate() -> None:
    load = open_loop(each(lambda: None), clients=4, rate=100.0, seconds=1.0)
    assert len(load.times) == 100


def test_an_open_loop_counts_the_wait_behind_a_stall() -> None:
    """A closed loop would see one slow request; here those that came due meanwhile are slow too."""
    load = open_loop(each(stalling()), clients=1, rate=50.0, seconds=1.0)
    assert sum(taken > STALL / 4 for taken in load.times) > 5


def test_a_closed_loop_sees_one_slow_request_in_a_stall() -> None:
    load = closed_loop(each(stalling()), clients=1, seconds=STALL)
    assert max(load.times) >= STALL


def failing() -> None:
    raise OSError("status 503")


def refused() -> AbstractContextManager[Ask]:
    raise OSError("nobody there")


@pytest.mark.parametrize(
    ("connect", "words"), [(each(failing), "OSError: status 503"), (refused, "OSError: nobody there")]
)
def test_a_failure_is_counted_by_its_words(connect: Callable[[], AbstractContextManager[Ask]], words: str) -> None:
    load = closed_loop(connect, clients=2, seconds=0.05)
    assert load.failures == {words: 2}
    assert (load.times, load.per_second) == ([], 0.0)


def test_a_request_that_fails_is_no_answer() -> None:
    calls = iter(range(10**9))

    def every_other() -> None:
        time.sleep(0.005)
        if next(calls) % 2:
            raise OSError("status 503")

    load = closed_loop(each(every_other), clients=1, seconds=0.2)
    assert load.failures["OSError: status 503"] >= 1
    assert len(load.times) >= 1


def test_a_load_of_nothing_has_no_rate() -> None:
    assert Load().per_second == 0.0
