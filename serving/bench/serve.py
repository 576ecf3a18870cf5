"""A model server under load: the stand-in with and without batching, over gRPC and REST, beside the bare network.

    osteo bench serve --clients 1,8,32 --out serve.png

The servers run side by side and are asked in turns. Load and servers share the machine, as with a page on a laptop.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.bench import raw
from serving.bench.load import Ask, Load, closed_loop, open_loop
from serving.bench.process import usage
from serving.bench.summary import START_SECONDS, rounded, say, summarise, take_turns, times
from serving.bench.ways import WAYS, Picture, Place, connect, drawn
from serving.bench.wire import counted
from serving.client import FractureClient
from serving.launch import starting_server

NO_BATCHING: Final = "off"
OTHER: Final = "running"
"""What stands for the batching of a server that was not started here."""
OPEN_SHARES: Final = (0.5, 0.8)
"""Rates of the open loop as shares of what the closed loop reached with the most clients."""
_WIRE_REQUESTS: Final = 5


@dataclass(frozen=True)
class Under:
    """A server under test: ``batching`` names its setting, ``pid`` is None where the process is another's."""

    batching: str
    place: Place
    pid: int | None = None


@dataclass(frozen=True)
class Arm:
    """One combination that is measured; ``share`` None is the closed loop."""

    under: Under
    way: str
    clients: int
    share: float | None = None


@dataclass
class Measured:
    """All rounds of an arm, the server's CPU seconds a second in each, and in an open loop the rates asked at."""

    loads: list[Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Median of the rounds' answered requests a second."""
        return statistics.median(load.per_second for load in self.loads)

    @property
    def seconds(self) -> list[float]:
        """How long each answered request of all rounds took."""
        return [taken for load in self.loads for taken in load.times]

    def figures(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        failures = {words: count for load in self.loads for words, count in load.failures.items()}
        return {
            **summarise(self.seconds).figures(),
            "per_second": rounded(self.per_second),
            "asked_per_second": rounded(statistics.median(self.rates)) if self.rates else None,
            "server_cpu": rounded(statistics.median(self.cpu), 3) if self.cpu else None,
            "failed": sum(failures.values()),
            **({"first_failure": next(iter(failures))} if failures else {}),
        }


@dataclass(frozen=True)
class Result:
    """Arms of the closed loop, all arms, times of the bare network by batch in seconds, and the figures for JSON."""

    closed: Mapping[Arm, Measured]
    arms: Mapping[Arm, Measured]
    bare: Mapping[int, Sequence[float]]
    figures: Mapping[str, Any]


@contextlib.contextmanager
def servers(base: Path, batching: Sequence[Path | None]) -> Iterator[list[Under]]:
    """Start a stand-in for each entry of ``batching``: a BatchingParameters file, or None for a server without."""
    with ExitStack() as held:
        starting = []
        for file in batching:
            flags = ["--enable_batching", f"--batching_parameters_file={file.resolve()}"] if file else []
            say(f"Starting a server {'with ' + file.name if file else 'without batching'} on {base} …")
            ready = held.enter_context(starting_server(base, seconds=START_SECONDS, flags=flags))
            starting.append((file.stem if file else NO_BATCHING, ready))
        started = []
        for name, ready in starting:
            server = ready()
            place = Place(server.target, f"127.0.0.1:{server.rest_port}")
            started.append(Under(name, place, server.process.pid))
        yield started


def run(
    tested: Sequence[Under],
    ways: Sequence[str],
    clients: Sequence[int],
    seconds: float,
    rounds: int,
    *,
    version: Path | None = None,
) -> Result:
    """Return the figures of ``tested``, asked in all ``ways`` by so many ``clients``, ``seconds`` a round.

    ``version`` is the folder of the SavedModel that they serve, to be run in this process as well.
    """
    with FractureClient(tested[0].place.grpc) as client:
        picture = drawn(client.wait_until_ready(60.0).input_size)
    closed = {Arm(under, way, count): Measured() for way in ways for under in tested for count in clients}
    bare: dict[int, list[float]] = {}
    asking = [partial(_measure, arm, picture, seconds, measured) for arm, measured in closed.items()]
    if version is not None:
        run_bare = raw.load(version)
        bare = {batch: [] for batch in raw.BATCHES}
        for batch, taken in bare.items():
            images = np.repeat(picture.image, batch, axis=0)
            asking.append(partial(_run_bare, partial(run_bare, images), seconds, taken))
    take_turns(asking, rounds, "Closed loop")
    opened = _open_arms(closed)
    asking = [partial(_measure, arm, picture, seconds, measured, rate) for arm, (rate, measured) in opened.items()]
    take_turns(asking, rounds, "Open loop")
    results = {**closed, **{arm: measured for arm, (_, measured) in opened.items()}}
    wire = {way: bytes_on_the_wire(tested[0], way, picture) for way in ways}
    figures = {
        "input_size": picture.image.shape[1],
        "arms": [_told(arm, measured) for arm, measured in results.items()],
        "in_process": _bare_figures(bare),
        "servers": {under.batching: _memory(under) for under in tested},
        "wire_bytes": wire,
        **compared(closed, bare),
    }
    return Result(closed, results, bare, figures)


def _run_bare(ask: Ask, seconds: float, into: list[float]) -> None:
    ask()
    into += times(ask, seconds)


def _open_arms(results: Mapping[Arm, Measured]) -> dict[Arm, tuple[float, Measured]]:
    """Return an open loop of two rates for each server and way, the rate in requests a second with each."""
    arms = {}
    most = max(arm.clients for arm in results)
    for arm, measured in results.items():
        if arm.clients == most and measured.per_second:
            for share in OPEN_SHARES:
                arms[Arm(arm.under, arm.way, max(most, 16), share)] = (share * measured.per_second, Measured())
    return arms


def _measure(arm: Arm, picture: Picture, seconds: float, into: Measured, rate: float | None = None) -> None:
    before = usage(arm.under.pid).cpu_seconds if arm.under.pid else 0.0
    way = connect(arm.way, arm.under.place, picture)
    load = open_loop(way, arm.clients, rate, seconds) if rate is not None else closed_loop(way, arm.clients, seconds)
    into.loads.append(load)
    if rate is not None:
        into.rates.append(rate)
    if arm.under.pid:
        into.cpu.append((usage(arm.under.pid).cpu_seconds - before) / load.seconds)


def bytes_on_the_wire(under: Under, way: str, picture: Picture) -> dict[str, int] | None:
    """Return the bytes that one request and its answer take on an open connection; None for a server elsewhere."""
    target = under.place.rest if way.startswith("rest") else under.place.grpc
    host, _, port = (target or "").rpartition(":")
    if host not in ("127.0.0.1", "localhost"):
        return None
    with counted(int(port)) as wire:
        there = f"127.0.0.1:{wire.port}"
        with WAYS[way](Place(there, there), picture) as ask:
            ask()  # what opens a connection, and the model's metadata, go by once
            wire.reset()
            for _ in range(_WIRE_REQUESTS):
                ask()
            return {"request": wire.to_server // _WIRE_REQUESTS, "response": wire.to_client // _WIRE_REQUESTS}


def compared(results: Mapping[Arm, Measured], bare: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """Return what the server costs beside the bare network: throughput with the most clients, and time with one."""
    closed = {arm: measured for arm, measured in results.items() if arm.share is None and arm.way == "grpc"}
    if not bare or not closed:
        return {}
    most = max(arm.clients for arm in closed)
    best = max(batch / statistics.median(taken) for batch, taken in bare.items())
    reached = max(measured.per_second for arm, measured in closed.items() if arm.clients == most)
    alone = [m.seconds for arm, m in closed.items() if arm.clients == 1 and arm.under.batching == NO_BATCHING]
    added = (statistics.median(alone[0]) - statistics.median(bare[1])) * 1e3 if alone and alone[0] else float("nan")
    return {
        f"throughput_at_{most}_clients_to_in_process": rounded(reached / best, 3),
        "p50_added_ms": rounded(added, 3),
        "p50_added_share": rounded(added / statistics.median(bare[1]) / 1e3, 3),
    }


def _told(arm: Arm, measured: Measured) -> dict[str, Any]:
    loop = {"loop": "closed"} if arm.share is None else {"loop": "open", "share": arm.share}
    return {"way": arm.way, "batching": arm.under.batching, "clients": arm.clients, **loop, **measured.figures()}


def _bare_figures(bare: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    return {
        str(batch): {**summarise(taken).figures(), "per_second": rounded(batch / statistics.median(taken))}
        for batch, taken in bare.items()
    }


def _memory(under: Under) -> dict[str, float | None]:
    if under.pid is None:
        return {}
    used = usage(under.pid)
    return {"memory_mb": rounded(used.memory_mb), "peak_mb": rounded(used.peak_mb)}
