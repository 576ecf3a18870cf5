"""Other servers on the same SavedModel: they answer the same, are measured in pairs, and are gone afterwards."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from export import contract
from serving.bench import peers, raw
from serving.bench.load import Load
from serving.bench.networks import DEFAULT, build
from serving.bench.peer_processes import PEERS, asking, missing, started
from serving.bench.peers import PIXELS, WHOLE, Pair
from serving.bench.summary import BenchError
from serving.bench.ways import Picture, drawn
from training.model import LOGIT

BATCHING = Path(__file__).resolve().parents[3] / "serving" / "batching-cpu.config"


@pytest.fixture(scope="module")
def picture() -> Picture:
    """A phantom for the tiny model."""
    return drawn(32)


@pytest.mark.parametrize("name", list(PEERS))
def test_a_peer_answers_as_the_saved_model_does_and_stops(name: str, tiny_base: Path, picture: Picture) -> None:
    peer = PEERS[name]
    if lacking := missing(peer):
        pytest.skip(f"{', '.join(lacking)} is not installed: pip install '.[bench]'")
    if name == "seeds-keras":  # it runs the shipped network as Keras has it, not the SavedModel
        said = build(DEFAULT, size=picture.image.shape[1]).keras(picture.image.astype(np.float32))
        expected = expit(np.asarray(said[LOGIT])[0])
    else:
        outputs = dict(zip(contract.OUTPUTS, raw.load(tiny_base / "1")(picture.image), strict=True))
        expected = outputs[contract.PROBABILITY][0]
    with started(peer, tiny_base / "1", picture) as running, asking(running, picture) as ask:
        answer: Any = ask()
        (told,) = answer if isinstance(answer, list) else [answer]
        assert told["probability"] == pytest.approx(float(expected), abs=1e-5)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    with pytest.raises(OSError, match="refused"):
        connection.request("GET", "/")


def test_a_run_measures_pairs_and_leaves_out_loudly(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = replace(PEERS["ray"], packages=("no_such_package",))
    monkeypatch.setattr(peers, "PEERS", {**PEERS, "ray": lacking})
    told = peers.run(tiny_base, tiny_base / "1", BATCHING, ["seeds", "ray"], [2], seconds=0.3, rounds=2)
    assert "LEFT OUT: Ray Serve. Not installed: no_such_package. pip install '.[bench]'" in capsys.readouterr().err
    assert list(told["left_out"]) == ["ray"]
    pairs = told["peers"]["seeds"]["pairs"]
    assert [pair["request"] for pair in pairs] == [PIXELS, WHOLE]
    for pair in pairs:
        assert pair["failed"] == 0
        assert pair["throughput_ratio"] == pytest.approx(pair["ours_per_second"] / pair["theirs_per_second"], rel=0.01)
    assert told["in_process"]["in_process_per_second"] > 0
    assert peers.table(told).row_count == 3
    assert peers.plot(told, tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")


def test_a_ratio_above_one_means_that_ours_is_faster() -> None:
    pair = Pair(PIXELS, 1, [Load([0.01] * 20, seconds=1.0)], [Load([0.02] * 10, seconds=1.0)])
    figures = pair.figures()
    assert (figures["throughput_ratio"], figures["p50_ratio"]) == (2.0, 2.0)
    json.dumps(figures)


def test_a_peer_that_does_not_start_says_its_last_words(tiny_base: Path, picture: Picture) -> None:
    broken = replace(PEERS["fastapi"], words=("-c", "raise SystemExit('no such model')"))
    with (
        pytest.raises(BenchError, match=r"did not come up .*Its last words: no such model"),
        started(broken, tiny_base / "1", picture),
    ):
        pass


def test_the_pictures_sent_are_the_prepared_ones(picture: Picture) -> None:
    assert picture.image.dtype == np.uint8
    assert picture.file.startswith(b"\xff\xd8\xff")
