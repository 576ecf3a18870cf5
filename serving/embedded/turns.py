"""Turns: no more runs compute at once than keep the processors busy, and they begin in the order in which they came.

TensorFlow begins every run at once and deals their operations out among its threads, so that under load all of them end
late, and each one's numbers have left the caches when it goes on. What is decided here is when, never what is answered.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from serving.embedded.status import Code, ServingError

LOOK_SECONDS: Final = 0.25
"""How long a run waits before it looks whether those before it compute at all."""
_BUSY: Final = 0.2
"""Share of the processors in use from which on they do; below it they sleep or wait. Low: others may compute too."""


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Turns:
    """Gives turns to runs, `at_once` at a time (None: one more than there are processors, so that none ever waits)."""

    def __init__(self, at_once: int | None = None) -> None:
        self.at_once = processors() + 1 if at_once is None else at_once
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def one(self, timeout_ms: int | None) -> Iterator[int | None]:
        """Wait for a turn and hold it; gives what is then left of `timeout_ms` (None: no limit).

        While the processors idle, the runs before it wait for something themselves, and nobody waits for them.
        Raises ServingError(DEADLINE_EXCEEDED) when the time has passed before a turn came.
        """
        left = self._begin(timeout_ms)
        try:
            yield left
        finally:
            with self._lock:
                self._running -= 1
                if self._waiting and self._running < self.at_once:
                    self._running += 1
                    self._waiting.popleft().release()

    def _begin(self, timeout_ms: int | None) -> int | None:
        with self._lock:
            if self._running < self.at_once and not self._waiting:
                self._running += 1
                return timeout_ms
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while not _called_or_idle(mine, deadline):
            if deadline is not None and time.monotonic() >= deadline:
                with self._lock:
                    late = mine in self._waiting
                    if late:
                        self._waiting.remove(mine)
                if late:
                    raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline passed before the run was started")
                break
        with self._lock:
            if mine in self._waiting:  # nobody gave a turn: it goes beside those that idle
                self._waiting.remove(mine)
                self._running += 1
        return None if deadline is None else max(1, round((deadline - time.monotonic()) * 1000))


def _called_or_idle(mine: threading.Lock, deadline: float | None) -> bool:
    """Wait a while for a turn; tell whether one was given, or whether nobody computed meanwhile."""
    started, used = time.monotonic(), time.process_time()
    patience = LOOK_SECONDS if deadline is None else max(0.0, min(LOOK_SECONDS, deadline - started))
    if mine.acquire(timeout=patience):
        return True
    waited = time.monotonic() - started
    return waited >= LOOK_SECONDS and time.process_time() - used < _BUSY * processors() * waited
