"""Clients that ask: in a closed loop, each as soon as it is answered, or in an open one, at times set beforehand.

In the open loop a request's time counts from when it was due, not from when a client was free to send it, so a server
that stalls is not spared the requests that would have come meanwhile (Tene's coordinated omission).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import numpy as np

Ask = Callable[[], object]
"""Ask once over a connection of its own and return when the answer is read; anything raised is a failed request."""
Connect = Callable[[], AbstractContextManager[Ask]]
"""Open a connection that is closed at the end of the block."""


@dataclass
class Load:
    """What the clients saw: times of answered requests in seconds, failures by their words, and how long it took."""

    times: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Answered requests a second."""
        return len(self.times) / self.seconds if self.seconds else 0.0


def closed_loop(connect: Connect, clients: int, seconds: float) -> Load:
    """Return what ``clients`` saw that asked without pause for ``seconds``, after one request each not counted."""
    end = [0.0]

    def due() -> Iterator[float]:
        while (now := time.perf_counter()) < end[0]:
            yield now

    def begin() -> None:
        end[0] = time.perf_counter() + seconds

    return _run(connect, [due() for _ in range(clients)], begin)


def open_loop(connect: Connect, clients: int, rate: float, seconds: float, seed: int = 0) -> Load:
    """Return what was seen when ``rate`` requests a second came at random (a Poisson process) for ``seconds``.

    Up to ``clients`` are under way at once; more must wait, and their waiting counts.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, max(1, round(rate * seconds)))
    arrivals = iter(np.cumsum(gaps).tolist())
    begun, taking = [0.0], threading.Lock()

    def due() -> Iterator[float]:
        while True:
            with taking:
                arrival = next(arrivals, None)
            if arrival is None:
                return
            moment = begun[0] + arrival
            time.sleep(max(0.0, moment - time.perf_counter()))
            yield moment

    def begin() -> None:
        begun[0] = time.perf_counter()

    return _run(connect, [due() for _ in range(clients)], begin)


def _run(connect: Connect, schedules: list[Iterator[float]], begin: Callable[[], None]) -> Load:
    """Let one client a schedule ask at each of its moments; ``begin`` is called once all of them are connected."""
    load, adding = Load(), threading.Lock()
    ready = threading.Barrier(len(schedules) + 1)

    def client(schedule: Iterator[float]) -> None:
        with ExitStack() as held:
            ask, failure = _connected(held, connect)
            ready.wait()
            ready.wait()
            times, failures = _ask_at(schedule, ask) if ask else ([], Counter([failure]))
        with adding:
            load.times += times
            load.failures += failures

    threads = [threading.Thread(target=client, args=(schedule,), daemon=True) for schedule in schedules]
    for thread in threads:
        thread.start()
    ready.wait()
    begin()
    started = time.perf_counter()
    ready.wait()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - started
    return load


def _connected(held: ExitStack, connect: Connect) -> tuple[Ask | None, str]:
    """Return a connection that has answered once, or None and why there is none."""
    try:
        ask = held.enter_context(connect())
        ask()
    except Exception as error:
        return None, _words(error)
    return ask, ""


def _ask_at(schedule: Iterator[float], ask: Ask) -> tuple[list[float], Counter[str]]:
    times: list[float] = []
    failures: Counter[str] = Counter()
    for moment in schedule:
        try:
            ask()
        except Exception as error:
            failures[_words(error)] += 1
        else:
            times.append(time.perf_counter() - moment)
    return times, failures


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
