"""Servers under load: real ones, on a tiny model; figures that must hold however fast they are."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.bench import serve, serve_report
from serving.bench.load import Load
from serving.bench.serve import Arm, Measured, Under, compared
from serving.bench.ways import WAYS, Place, drawn

BATCHING = Path(__file__).resolve().parents[3] / "serving" / "batching-cpu.config"
CLIENTS = (1, 4)


@pytest.fixture(scope="module")
def result(tiny_base: Path) -> Iterator[serve.Result]:
    """One run over everything that can be asked: both servers, all ways, closed and open loop."""
    with serve.servers(tiny_base, [None, BATCHING]) as tested:
        yield serve.run(tested, list(WAYS), CLIENTS, seconds=0.2, rounds=2, version=tiny_base / "1")


def test_every_way_is_answered_by_both_servers_without_a_failure(result: serve.Result) -> None:
    closed = [arm for arm in result.figures["arms"] if arm["loop"] == "closed"]
    assert {(arm["way"], arm["batching"], arm["clients"]) for arm in closed} == {
        (way, batching, clients) for way in WAYS for batching in ("off", BATCHING.stem) for clients in CLIENTS
    }
    assert [arm for arm in result.figures["arms"] if arm["failed"]] == []


def test_percentiles_are_in_order_and_servers_used_their_cpu(result: serve.Result) -> None:
    for arm in result.figures["arms"]:
        assert 0 < arm["p50_ms"] <= arm["p90_ms"] <= arm["p99_ms"]
    assert statistics.median(arm["server_cpu"] for arm in result.figures["arms"]) > 0


def test_the_open_loop_asks_below_what_the_closed_loop_reached(result: serve.Result) -> None:
    opened = [arm for arm in result.figures["arms"] if arm["loop"] == "open"]
    assert len(opened) == len(WAYS) * 2 * len(serve.OPEN_SHARES)
    reached = {
        (arm["way"], arm["batching"]): arm["per_second"]
        for arm in result.figures["arms"]
        if arm["loop"] == "closed" and arm["clients"] == max(CLIENTS)
    }
    for arm in opened:
        assert arm["asked_per_second"] == pytest.approx(arm["share"] * reached[arm["way"], arm["batching"]], rel=0.01)


def test_bytes_on_the_wire_are_the_pictures_and_little_more(result: serve.Result) -> None:
    wire = result.figures["wire_bytes"]
    picture = drawn(result.figures["input_size"])
    assert picture.image.nbytes < wire["grpc"]["request"] < picture.image.nbytes + 500
    assert len(picture.file) < wire["grpc-file"]["request"] < len(picture.file) * 1.02 + 500
    assert len(picture.file) * 4 / 3 < wire["rest-file"]["request"] < len(picture.file) * 4 / 3 + 1000
    assert all(counts["response"] > 100 for counts in wire.values())


def test_servers_hold_memory_below_their_peak(result: serve.Result) -> None:
    for memory in result.figures["servers"].values():
        assert 100 < memory["memory_mb"] <= memory["peak_mb"]


def test_the_bare_network_was_run_in_every_batch_size(result: serve.Result) -> None:
    assert list(result.figures["in_process"]) == ["1", "2", "4", "8", "16", "32"]
    assert result.figures["throughput_at_4_clients_to_in_process"] > 0


def test_tables_and_plot_show_all_of_it(result: serve.Result, tmp_path: Path) -> None:
    requests, bare, servers, wire = serve_report.tables(result)
    assert (requests.row_count, bare.row_count, servers.row_count, wire.row_count) == (
        len(result.figures["arms"]),
        6,
        2,
        len(WAYS),
    )
    assert serve_report.plot(result, tmp_path / "plots" / "serve.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_server_adds_is_the_difference_of_the_medians() -> None:
    under = Under(serve.NO_BATCHING, Place("127.0.0.1:1", None))
    closed = {
        Arm(under, "grpc", 1): Measured([Load([0.012] * 10, seconds=0.12)]),
        Arm(under, "grpc", 8): Measured([Load([0.08] * 90, seconds=1.0)]),
    }
    figures = compared(closed, {1: [0.010], 8: [0.04]})
    assert figures == {"throughput_at_8_clients_to_in_process": 0.45, "p50_added_ms": 2.0, "p50_added_share": 0.2}


def test_a_server_elsewhere_is_not_relayed() -> None:
    under = Under(serve.OTHER, Place("192.0.2.1:8500", None))
    assert serve.bytes_on_the_wire(under, "grpc", drawn(32)) is None
