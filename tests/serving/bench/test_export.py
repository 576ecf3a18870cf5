"""One small network, run in every way that is installed: the same answers, and figures that make sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.bench import export, networks
from serving.bench.runtimes import EXPORTED, ONNX, PLAIN, PREDICT, installed
from serving.bench.summary import BenchError

BATCHES = (1, 2)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Figures of a network with random weights."""
    return export.measure(networks.build("efficientnet-lite0", size=64), BATCHES, seconds=0.01, rounds=1)


def test_every_way_gives_the_probabilities_of_keras(told: dict[str, Any]) -> None:
    assert {PREDICT, PLAIN, *(f"osteo export, {compute}" for compute in EXPORTED)} <= set(told["ways"])
    off = {name: way["probability_off"] for name, way in told["ways"].items() if "bfloat16" not in name}
    assert max(off.values()) < 0.02, off


def test_every_batch_is_timed_and_held_against_the_plain_saved_model(told: dict[str, Any]) -> None:
    for way in told["ways"].values():
        assert list(way["batches"]) == ["1", "2"]
        for batch, figures in way["batches"].items():
            assert figures["ms_a_picture"] == pytest.approx(figures["p50_ms"] / int(batch), rel=0.01)
            assert figures["times_as_fast_as_plain"] > 0
    assert all(figures["times_as_fast_as_plain"] == 1 for figures in told["ways"][PLAIN]["batches"].values())


def test_table_and_plot_show_every_way(told: dict[str, Any], tmp_path: Path) -> None:
    assert export.table(told).row_count == len(told["ways"])
    assert export.plot([told], tmp_path / "export.png").read_bytes().startswith(b"\x89PNG")


def test_a_runtime_that_is_not_there_is_said_loudly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("serving.bench.runtimes.NEEDS", {ONNX: ("no_such_package",)})
    assert not installed(ONNX)
    assert "LEFT OUT: ONNX Runtime. Not installed: no_such_package. pip install '.[bench]'" in capsys.readouterr().err


def test_missing_weights_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"are not there\. Name others with --weights"):
        networks.build(networks.DEFAULT, tmp_path / "none.npz")
