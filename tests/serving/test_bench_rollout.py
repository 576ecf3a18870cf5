"""A whole release under load; the speed is a figure of `osteo bench rollout`, here it is what must never happen."""

from __future__ import annotations

import pytest

from serving.bench_rollout import SHIFTS, run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_release_under_load_drops_nothing_and_answers_nothing_wrong() -> None:
    said: list[str] = []
    figures = run(seconds=2, grpc_clients=16, rest_clients=4, tell=said.append)
    faults = {name: figures[name] for name in ("failed_requests", "wrong_answers", "unexpected_commands")}
    assert faults == {"failed_requests": 0, "wrong_answers": 0, "unexpected_commands": []}, figures["first_faults"]
    assert {version for version, count in figures["answers_by_version"].items() if count} == set(SHIFTS) - {3}
    assert len(said) == 13
