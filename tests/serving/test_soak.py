"""A short soak; the long one is `python -m tests.serving.soak`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.serving.server_process import start
from tests.serving.soak import judge, publish, soak


@pytest.mark.slow
def test_no_answer_is_wrong_while_versions_come_and_go(saved_models: Path, tmp_path: Path) -> None:
    base = tmp_path / "served" / "soak"
    base.mkdir(parents=True)
    publish(saved_models, base, 1, broken=False)
    flags = ("--model_name=soak", f"--model_base_path={base}", "--max_num_load_retries=0")
    server = start(tmp_path / "server.log", *flags, rest=True)
    try:
        server.wait_until_ready()
        result = soak(server, saved_models, base, seconds=6, clients=16)
    finally:
        server.running.interrupt()
    faults = ("errors", "first_wrong_answers", "answers_after_unload", "deadlocked")
    assert [result[name] for name in faults] == [{}, [], 0, 0]
    assert result["versions"]


@pytest.mark.parametrize(
    ("version", "answered", "fault"),
    [
        (1, [2.0, 2.0], None),
        (1, [2.0, 3.0], "version 1 answered [2. 3.] of (2,) to 2 values"),
        (1, [2.0], "version 1 answered [2.] of (1,) to 2 values"),
        (4, [2.0, 2.0], "version 4 answered, which is broken"),
    ],
)
def test_the_soak_knows_a_wrong_answer(version: int, answered: list[float], fault: str | None) -> None:
    assert judge(version, np.array(answered, np.float32), size=2) == fault
