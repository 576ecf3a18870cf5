"""Where a run stands and how long it will still take: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_RECENT_STEPS: Final = 200


class RunProgress:
    """Follows a run of ``epochs`` epochs of ``steps`` steps each; ``clock`` gives seconds."""

    def __init__(
        self,
        console: Console,
        epochs: int,
        steps: int,
        *,
        line_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._epochs, self._steps = console, epochs, steps
        self._line_seconds, self._clock = line_seconds, clock
        self._step_seconds: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._between: float | None = None
        self._epoch_ended: float | None = None
        self._line_at = clock()

    @contextmanager
    def epoch(self, epoch: int, done: int) -> Iterator[Callable[[float], None]]:
        """Follow epoch ``epoch`` (from 0) from step ``done`` on; call what is given after each step, with its loss."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        name = f"Epoch {epoch + 1} of {self._epochs}"
        now = self._clock()
        if self._epoch_ended is not None:
            self._between = now - self._epoch_ended
        last, step = now, done
        with bar:
            task = bar.add_task(name, total=self._steps, completed=done, left="")

            def advance(loss: float) -> None:
                nonlocal last, step
                now = self._clock()
                if step > done:  # the first step of an epoch may build its graph
                    self._step_seconds.append(now - last)
                last, step = now, step + 1
                left = self._left(epoch, step)
                bar.update(task, completed=step, left=left)
                if not self._console.is_terminal and now - self._line_at >= self._line_seconds:
                    self._line_at = now
                    line = f"{name}, step {step} of {self._steps}, loss {loss:.3f}" + (left and f", {left}")
                    self._console.print(line, soft_wrap=True)

            yield advance
        self._epoch_ended = self._clock()

    def _left(self, epoch: int, step: int) -> str:
        if not self._step_seconds:
            return ""
        epochs_after = self._epochs - epoch - 1
        steps_left = self._steps - step + epochs_after * self._steps
        seconds = steps_left * sum(self._step_seconds) / len(self._step_seconds)
        if self._between is None:
            return f"at least {duration(seconds)} left"
        return f"about {duration(seconds + (epochs_after + 1) * self._between)} left"


def duration(seconds: float) -> str:
    """Return ``seconds`` as people say it: ``less than a minute``, ``42 min`` or ``3 h 5 min``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
