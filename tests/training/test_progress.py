"""Progress: the time left for the whole run, as a line a minute where nobody watches a bar."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from training.progress import RunProgress, duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "less than a minute"), (95, "2 min"), (3540, "59 min"), (3599, "1 h 0 min"), (11100, "3 h 5 min")],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def _follow(console: Console, epochs: int, steps: int, *, step_seconds: float, validation_seconds: float) -> None:
    now = 0.0

    def clock() -> float:
        return now

    progress = RunProgress(console, epochs, steps, clock=clock)
    for epoch in range(epochs):
        with progress.epoch(epoch, 0) as advance:
            for _ in range(steps):
                now += step_seconds
                advance(0.5)
        now += validation_seconds


def test_where_nobody_watches_a_line_a_minute_tells_the_time_left() -> None:
    told = io.StringIO()
    _follow(Console(file=told, width=40), 3, 10, step_seconds=30, validation_seconds=60)
    lines = told.getvalue().splitlines()
    assert lines[0] == "Epoch 1 of 3, step 2 of 10, loss 0.500, at least 14 min left"
    assert lines[5] == "Epoch 2 of 3, step 1 of 10, loss 0.500, about 12 min left"
    assert lines[-1] == "Epoch 3 of 3, step 9 of 10, loss 0.500, about 2 min left"
    assert len(lines) == 15


def test_a_terminal_shows_the_time_left_of_the_whole_run_beside_the_bar() -> None:
    told = io.StringIO()
    _follow(Console(file=told, width=100, force_terminal=True), 3, 10, step_seconds=30, validation_seconds=60)
    assert "Epoch 2 of 3" in told.getvalue()
    assert "min left" in told.getvalue()
