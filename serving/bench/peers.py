"""This project's server beside other ways to serve the same network, in pairs that take turns.

    osteo bench peers --clients 1,16

Each peer is started, asked in turns with our own server by the same number of clients, and stopped before the next one
starts, so that at any time two servers share the machine. What is compared is the median of the rounds of each pair.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from radiograph import prepare, read
from serving.bench import plots, raw
from serving.bench.load import Ask, Connect, Load, closed_loop
from serving.bench.peer_processes import PEERS, Running, asking, missing, started
from serving.bench.process import usage
from serving.bench.summary import START_SECONDS, BenchError, ratio, rounded, say, summarise, take_turns
from serving.bench.ways import Picture, Place, connect, drawn
from serving.client import FractureClient, Retry
from serving.launch import RunningServer, starting_server

LIMIT_BATCH: Final = 8
PIXELS: Final = "prepared pixels"
WHOLE: Final = "file to finding"
"""What a request is: with the second one our client reads and prepares the file, and the seeds' page does all of it."""
IN_PROCESS: Final = "the SavedModel in process"


@dataclass
class Pair:
    """Rounds of our server and of a peer, asked the same by as many clients."""

    request: str
    clients: int
    ours: list[Load] = field(default_factory=list)
    theirs: list[Load] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return plain values for JSON; the ratios say how many times ours is as fast."""
        ours, theirs = ([load.per_second for load in loads] for loads in (self.ours, self.theirs))
        spread = [summarise([taken for load in loads for taken in load.times]) for loads in (self.ours, self.theirs)]
        failures = [load.failures for load in (*self.ours, *self.theirs) if load.failures]
        return {
            "request": self.request,
            "clients": self.clients,
            "ours_per_second": rounded(statistics.median(ours)),
            "theirs_per_second": rounded(statistics.median(theirs)),
            "throughput_ratio": ratio(ours, theirs),
            "ours": spread[0].figures(),
            "theirs": spread[1].figures(),
            "p50_ratio": rounded(spread[1].p50 / spread[0].p50, 3) if spread[0].n else None,
            "failed": sum(sum(counts.values()) for counts in failures),
            **({"first_failure": next(iter(failures[0]))} if failures else {}),
        }


def run(
    base: Path, version: Path, batching: Path, names: Sequence[str], clients: Sequence[int], seconds: float, rounds: int
) -> dict[str, Any]:
    """Return the figures of our server on ``base`` beside each peer of ``names`` on ``version``.

    A peer that is not installed, or does not come up, is said and left out.
    """
    flags = ("--enable_batching", f"--batching_parameters_file={batching.resolve()}")
    told: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with starting_server(base, seconds=START_SECONDS, flags=flags) as ready:
        server = ready()
        with FractureClient(server.target) as client:
            picture = drawn(client.info().input_size)
        for name in names:
            try:
                told[name] = _beside(name, server, version, picture, clients, seconds, rounds)
            except BenchError as error:
                left_out[name] = str(error)
                say(f"[bold red]LEFT OUT: {PEERS[name].shown}.[/] {error}")
        limit = _limit(server, version, picture, max(clients), seconds, rounds)
        memory = usage(server.process.pid).peak_mb
    return {
        "input_size": picture.image.shape[1],
        "our_peak_mb": rounded(memory),
        "peers": told,
        "left_out": left_out,
        "in_process": limit,
    }


def _beside(
    name: str,
    server: RunningServer,
    version: Path,
    picture: Picture,
    clients: Sequence[int],
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    peer = PEERS[name]
    if lacking := missing(peer):
        raise BenchError(f"Not installed: {', '.join(lacking)}. pip install '.\\[bench]'")
    say(f"Starting {peer.shown} …")
    with started(peer, version, picture) as running:
        pairs = [Pair(PIXELS, count) for count in clients]
        pairs += [Pair(WHOLE, count) for count in clients if peer.whole_files]
        arms = [arm for pair in pairs for arm in _arms(pair, server, running, picture, seconds)]
        take_turns(arms, rounds, peer.shown)
        peak = usage(running.pid).peak_mb
    return {"peak_mb": rounded(peak), "pairs": [pair.figures() for pair in pairs]}


def _arms(pair: Pair, server: RunningServer, running: Running, picture: Picture, seconds: float) -> list[partial[None]]:
    ours = connect("grpc", Place(server.target, None), picture)
    if pair.request == WHOLE:
        ours = partial(_reading, server.target, picture.file)
    theirs = partial(asking, running, picture, whole=pair.request == WHOLE)
    return [
        partial(_measure, ours, pair.clients, seconds, pair.ours),
        partial(_measure, theirs, pair.clients, seconds, pair.theirs),
    ]


def _measure(way: Connect, clients: int, seconds: float, into: list[Load]) -> None:
    into.append(closed_loop(way, clients, seconds))


@contextlib.contextmanager
def _reading(target: str, file: bytes) -> Iterator[Ask]:
    """Yield the whole road of this project: from the bytes of a file to the finding."""
    with FractureClient(target, retry=Retry(attempts=1)) as client:
        yield lambda: client.predict(prepare(read(file), client.info().input_size).image[None])


def _limit(
    server: RunningServer, version: Path, picture: Picture, clients: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Return how our server compares with the same SavedModel in this process, in batches of a fixed size."""
    pair = Pair(IN_PROCESS, clients)
    run_bare = raw.load(version)
    images: NDArray[np.uint8] = np.repeat(picture.image, LIMIT_BATCH, axis=0)

    def bare() -> AbstractContextManager[Ask]:
        return contextlib.nullcontext(partial(run_bare, images))

    arms = [
        partial(_measure, connect("grpc", Place(server.target, None), picture), clients, seconds, pair.ours),
        partial(_measure, bare, 1, seconds, pair.theirs),
    ]
    take_turns(arms, rounds, IN_PROCESS)
    ours, theirs = ([load.per_second for load in loads] for loads in (pair.ours, pair.theirs))
    pictures = [rate * LIMIT_BATCH for rate in theirs]
    return {
        "batch": LIMIT_BATCH,
        "clients": clients,
        "ours_per_second": rounded(statistics.median(ours)),
        "in_process_per_second": rounded(statistics.median(pictures)),
        "throughput_ratio": ratio(ours, pictures),
    }


def table(told: Mapping[str, Any]) -> Table:
    """Return the table of a run."""
    shown = Table("server", "request", title="Our server (gRPC, batching on) beside others, in pairs")
    for name in ("clients", "ours/s", "theirs/s", "ratio", "our p50 ms", "their p50 ms", "failed", "peak MB"):
        shown.add_column(name, justify="right")
    for name, peer in told["peers"].items():
        for pair in peer["pairs"]:
            shown.add_row(
                PEERS[name].shown,
                pair["request"],
                str(pair["clients"]),
                _shown(pair["ours_per_second"]),
                _shown(pair["theirs_per_second"]),
                _shown(pair["throughput_ratio"], " ×"),
                _shown(pair["ours"]["p50_ms"]),
                _shown(pair["theirs"]["p50_ms"]),
                str(pair["failed"]),
                f"{peer['peak_mb'] or 0:.0f}",
            )
    limit = told["in_process"]
    rates = (limit["ours_per_second"], limit["in_process_per_second"])
    request = f"batches of {limit['batch']}"
    clients = str(limit["clients"])
    shown.add_row(IN_PROCESS, request, clients, *map(_shown, rates), _shown(limit["throughput_ratio"], " ×"))
    return shown


def plot(told: Mapping[str, Any], path: Path) -> Path:
    """Draw how many times as many requests our server answers as each peer."""
    groups: dict[str, dict[str, float]] = {}
    for name, peer in told["peers"].items():
        for pair in peer["pairs"]:
            if pair["throughput_ratio"] is not None:
                group = groups.setdefault(f"{name}, {pair['request']}", {})
                group[f"{pair['clients']} clients"] = pair["throughput_ratio"]
    groups[IN_PROCESS] = {f"{told['in_process']['clients']} clients": told["in_process"]["throughput_ratio"]}
    return plots.grouped_bars(path, "Requests answered a second, ours through theirs", "times as many", groups)


def _shown(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.4g}{unit}"
