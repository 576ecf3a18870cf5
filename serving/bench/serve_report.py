"""The tables and the plot of `osteo bench serve`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from serving.bench import plots
from serving.bench.serve import Arm, Measured, Result
from serving.bench.summary import Summary, summarise


def tables(result: Result) -> list[Table]:
    """Return the tables of a run: requests, the bare network, servers and bytes."""
    shown = [_requests(result.arms)]
    if result.bare:
        shown.append(_bare(result))
    return [*shown, _servers(result.figures["servers"]), _wire(result.figures["wire_bytes"])]


def plot(result: Result, path: Path) -> Path:
    """Draw throughput and median time of the closed loop over the number of clients."""
    lines: dict[str, list[tuple[Arm, Measured]]] = {}
    for arm, measured in result.closed.items():
        lines.setdefault(f"{arm.way}, batching {arm.under.batching}", []).append((arm, measured))
    clients = {name: [float(arm.clients) for arm, _ in points] for name, points in lines.items()}
    panels = {
        "requests/s": {name: (clients[name], [m.per_second for _, m in points]) for name, points in lines.items()},
        "p50, ms": {name: (clients[name], [summarise(m.seconds).p50 for _, m in p]) for name, p in lines.items()},
    }
    if result.bare:
        best = max(batch / statistics.median(taken) for batch, taken in result.bare.items())
        ends = sorted({place for places in clients.values() for place in places})
        panels["requests/s"]["in process, best batch"] = (ends, [best] * len(ends))
        panels["p50, ms"]["in process, batch 1"] = (ends, [summarise(result.bare[1]).p50] * len(ends))
    return plots.curves(path, "Closed loop", "clients", panels)


def _requests(arms: Mapping[Arm, Measured]) -> Table:
    table = Table("way", "batching", "clients", "loop", title="Requests of one radiograph each")
    for name in ("p50 ms", "p90 ms", "p99 ms", "answered/s", "server CPU", "failed"):
        table.add_column(name, justify="right")
    for arm, measured in arms.items():
        loop = "closed" if arm.share is None else f"open, {statistics.median(measured.rates):.3g}/s"
        failed = sum(sum(load.failures.values()) for load in measured.loads)
        cpu = f"{statistics.median(measured.cpu):.2f}" if measured.cpu else ""
        spread = percentiles(summarise(measured.seconds))
        words = (arm.way, arm.under.batching, str(arm.clients), loop)
        table.add_row(*words, *spread, f"{measured.per_second:.1f}", cpu, str(failed))
    return table


def percentiles(summary: Summary) -> tuple[str, str, str]:
    """Return p50, p90 and p99 in ms as a table shows them, with "" where nothing was measured."""
    p50, p90, p99 = (f"{value:.1f}" if summary.n else "" for value in (summary.p50, summary.p90, summary.p99))
    return p50, p90, p99


def _bare(result: Result) -> Table:
    table = Table(title="The same network in this process, without any server")
    for name in ("batch", "p50 ms", "p90 ms", "p99 ms", "radiographs/s"):
        table.add_column(name, justify="right")
    for batch, taken in result.bare.items():
        rate = batch / statistics.median(taken)
        table.add_row(str(batch), *percentiles(summarise(taken)), f"{rate:.1f}")
    return table


def _servers(told: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table("batching", title="Servers")
    for name in ("memory MB", "peak MB"):
        table.add_column(name, justify="right")
    for batching, memory in told.items():
        table.add_row(batching, *(_whole(memory.get(name)) for name in ("memory_mb", "peak_mb")))
    return table


def _wire(told: Mapping[str, Any]) -> Table:
    table = Table("way", title="Bytes on the wire for one radiograph, frames and headers included")
    for name in ("request", "response"):
        table.add_column(name, justify="right")
    for way, counts in told.items():
        if counts is not None:
            table.add_row(way, f"{counts['request']:,}", f"{counts['response']:,}")
    return table


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
