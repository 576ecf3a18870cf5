"""What the server itself costs: a trivial Predict, how many of them a second, and its share on top of a model's run.

    python -m tests.serving.cost --seconds 10 --clients 4

starts the server, asks it over loopback from processes of their own, all on two cores, and ends with one line of JSON.
The share is measured in pairs: a Predict of one 448 x 448 picture, then the same graph on the same picture in this
process; the median of the differences is what the server, gRPC and this client add to the model's run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from serving.embedded.number_format import has_bfloat16
from serving.embedded.servable import load_saved_model
from tests.serving.server_process import ENVIRONMENT, ROOT, Address, Client, predict_request, start, write_models

LIMITS = {"p50_ms": 1.0, "requests_per_second": 1200.0, "share_ms": 1.5}
SIDE = 448
CORES = 2
WARM_UP = 200


@contextmanager
def served(base: Path, *flags: str) -> Iterator[Address]:
    """Serve the versions under `base` as the model `default`."""
    with tempfile.TemporaryDirectory() as folder:
        server = start(Path(folder) / "server.log", f"--model_base_path={base}", *flags)
        try:
            server.wait_until_ready()
            yield server.address
        finally:
            server.running.interrupt()


def repeat(ask: Callable[[], object], seconds: float, warm_up: int = WARM_UP) -> list[float]:
    """Return how long each call took, in seconds, calling for `seconds` after a warm-up."""
    for _ in range(warm_up):
        ask()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        ask()
        times.append(time.perf_counter() - started)
    return times


def latency(address: Address, seconds: float) -> dict[str, float]:
    """Return median and 99th percentile of one client's Predict of one number, in milliseconds."""
    request = predict_request("default", {"x": [1.0]})
    with address.channel() as channel:
        predict = Client(channel).prediction.Predict
        times = sorted(repeat(lambda: predict(request), seconds))
    return {"p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[int(len(times) * 0.99)] * 1e3}


def answers_per_second(address: Address, seconds: float, clients: int) -> float:
    """Return the requests that so many clients, each a process that asks one after the other, get answered a second."""
    command = [sys.executable, "-m", "tests.serving.cost", "--ask", address.target, f"--seconds={seconds}"]
    environment = {**os.environ, **ENVIRONMENT}
    asking = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        for _ in range(clients)
    ]  # fmt: skip
    # Nobody may begin before all are ready, for together they are to load the server.
    for process in asking:
        _line(process)
    for process in asking:
        _begin(process)
    return sum(float(process.communicate()[0]) for process in asking)


def _line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline() if process.stdout is not None else ""


def _begin(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.write("\n")
        process.stdin.flush()


def ask_when_told(target: str, seconds: float) -> None:
    """Be one of the clients: say when ready, begin at a line of input, print the answers a second."""
    request = predict_request("default", {"x": [1.0]})
    with Address(target, None).channel() as channel:
        predict = Client(channel).prediction.Predict
        repeat(lambda: predict(request), 0)
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(repeat(lambda: predict(request), seconds, warm_up=0)) / seconds)


def share(address: Address, version: Path, alias: str, pairs: int) -> dict[str, float]:
    """Return the medians of a Predict, of the bare run, and of their paired differences, in milliseconds."""
    from tensorflow.core.protobuf.config_pb2 import ConfigProto

    picture = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 1), np.uint8)
    signatures, run = load_saved_model(str(version), ["serve"], ConfigProto(), widened=not has_bfloat16())
    definition = signatures["serving_default"]
    feeds = {definition.inputs[alias].name: picture}
    fetches = [output.name for _, output in sorted(definition.outputs.items())]
    request = predict_request("default", {alias: picture})
    asked: list[float] = []
    ran: list[float] = []
    with address.channel() as channel:
        predict = Client(channel).prediction.Predict
        for number in range(pairs + 10):
            started = time.perf_counter()
            predict(request)
            between = time.perf_counter()
            run(feeds, fetches, None)
            if number >= 10:
                asked.append(between - started)
                ran.append(time.perf_counter() - between)
    differences = [a - r for a, r in zip(asked, ran, strict=True)]
    medians = {"predict_ms": asked, "run_ms": ran, "share_ms": differences}
    return {name: statistics.median(times) * 1e3 for name, times in medians.items()}


def measure(models: Path, shipped: Path | None, seconds: float, clients: int) -> dict[str, object]:
    """Return every figure; `shipped` is a model's base path whose `image` takes a picture of SIDE."""
    with served(models / "half_plus_two") as address:
        figures: dict[str, object] = dict(latency(address, seconds))
        figures["requests_per_second"] = answers_per_second(address, seconds, clients)
    with served(models / "image") as address:
        figures["image"] = share(address, models / "image" / "1", "image", pairs=int(seconds * 50))
    if shipped is not None:
        version = max((path for path in shipped.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        with served(shipped) as address:
            figures["shipped"] = share(address, version, "image", pairs=int(seconds * 10))
    return figures


def report(figures: dict[str, object], arguments: argparse.Namespace) -> None:
    """Print the figures for people, then one line of JSON."""
    rows = [(name, value) for name, value in figures.items() if isinstance(value, float)]
    for model in ("image", "shipped"):
        measured = figures.get(model)
        if isinstance(measured, dict):
            rows += [(f"{model} {name}", value) for name, value in measured.items()]
    for name, value in rows:
        limit = LIMITS.get(name.split()[-1])
        print(f"{name:<22}{value:>10.2f}" + ("" if limit is None else f"   limit {limit:g}"))
    rounded = {name.replace(" ", "_"): round(value, 3) for name, value in rows}
    context = {"seconds": arguments.seconds, "clients": arguments.clients, "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({**rounded, **context}))


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each figure is measured")
    parser.add_argument("--clients", type=int, default=4, help="how many processes ask for the requests a second")
    parser.add_argument("--shipped", type=Path, default=ROOT / "models" / "fracture", help="a model's base path")
    parser.add_argument("--ask", metavar="HOST:PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        ask_when_told(arguments.ask, arguments.seconds)
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        shipped = arguments.shipped if arguments.shipped.is_dir() else None
        report(measure(Path(folder), shipped, arguments.seconds, arguments.clients), arguments)


if __name__ == "__main__":
    main()
