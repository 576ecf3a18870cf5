"""Many clients ask while versions are added, broken and removed; ends with one line of JSON.

    python -m tests.serving.soak --seconds 120 --clients 64

Every answer is checked: the values must be those of the version that says it answered, and that version must not have
been reported as unloaded before the question was asked. One client in eight asks over REST.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt

from tests.serving.server_process import Address, Client, ServerProcess, predict_request, start, values, write_models

SIZES = (1, 3, 100, 5_000, 150_528)
TEMPLATES = 3
BROKEN_EVERY = 4
CYCLE_SECONDS = 2.0

Answer = npt.NDArray[np.float32]


@dataclass
class Tally:
    """What happened, gathered from all clients; `ended` is replaced as a whole, so it may be read without the lock."""

    ended: frozenset[int] = frozenset()
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    after_end: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, wrong: str | None, after_end: bool = False) -> None:
        """Count one answer."""
        with self.lock:
            self.latencies.append(seconds)
            self.after_end += after_end
            if wrong is not None:
                self.wrong.append(wrong)


def template_of(version: int) -> int:
    """Return which constant a version answers with."""
    return version % TEMPLATES + 1


def is_broken(version: int) -> bool:
    """Return whether a version is published with half a graph file, so that it can never answer."""
    return version % BROKEN_EVERY == 0


def judge(version: int, answered: Answer, size: int) -> str | None:
    """Return what is wrong with an answer, None if nothing is."""
    if is_broken(version):
        return f"version {version} answered, which is broken"
    if answered.shape != (size,) or not np.all(answered == template_of(version)):
        return f"version {version} answered {answered[:3]} of {answered.shape} to {size} values"
    return None


def ask_grpc(address: Address, tally: Tally, stop: threading.Event) -> None:
    """Ask one question after the other until told to stop."""
    requests = {size: predict_request("soak", {"x": np.zeros(size, np.float32)}) for size in SIZES}
    with address.channel() as channel:
        client = Client(channel)
        while not stop.is_set():
            size = random.choice(SIZES)  # noqa: S311
            ended, started = tally.ended, time.perf_counter()
            try:
                response = client.prediction.Predict(requests[size], timeout=30)
            except grpc.RpcError as error:
                with tally.lock:
                    tally.errors[f"grpc {error.code().name}"] += 1
                continue
            seconds = time.perf_counter() - started
            version = response.model_spec.version.value
            tally.add(seconds, judge(version, values(response), size), after_end=version in ended)


def ask_rest(address: Address, tally: Tally, stop: threading.Event) -> None:
    """As `ask_grpc`; a REST answer does not tell its version, so its values must be some template's."""
    connection = http.client.HTTPConnection(address.rest or "", timeout=30)
    while not stop.is_set():
        size = random.choice(SIZES[:4])  # noqa: S311
        started = time.perf_counter()
        try:
            connection.request("POST", "/v1/models/soak:predict", json.dumps({"instances": [0.0] * size}))
            answer = connection.getresponse()
            body = answer.read()
        except OSError as error:
            connection.close()
            with tally.lock:
                tally.errors[f"rest {type(error).__name__}"] += 1
            continue
        if answer.status != 200:
            with tally.lock:
                tally.errors[f"rest {answer.status}"] += 1
            continue
        got = json.loads(body)["predictions"]
        good = len(got) == size and len(set(got)) == 1 and got[0] in range(1, TEMPLATES + 1)
        tally.add(time.perf_counter() - started, None if good else f"REST answered {body[:60]!r} to {size} values")
    connection.close()


def roll(client: Client, models: Path, base: Path, tally: Tally, stop: threading.Event) -> None:
    """Add, break and remove versions in turn, and note which ones the server reports as ended."""
    version = 1
    while not stop.wait(CYCLE_SECONDS):
        version += 1
        broken = is_broken(version)
        publish(models, base, version, broken)
        tally.versions["broken" if broken else "added"] += 1
        for folder in sorted(base.iterdir(), key=lambda path: int(path.name))[:-3]:
            shutil.rmtree(folder)
            tally.versions["removed"] += 1
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not stop.is_set():
            states = client.states("soak")
            tally.ended = frozenset(number for number, state in states.items() if state == "END")
            if states.get(version) in ("AVAILABLE", "END"):
                break
            time.sleep(0.05)


def publish(models: Path, base: Path, version: int, broken: bool) -> None:
    """Put a version in place by copy and rename; a broken one has half a graph file."""
    incoming = base.parent / "incoming"
    shutil.copytree(models / "constant" / str(template_of(version)), incoming)
    if broken:
        graph = incoming / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    incoming.rename(base / str(version))


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (proc(5), /proc/pid/statm, pages of 4 KiB)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def soak(server: ServerProcess, models: Path, base: Path, seconds: float, clients: int) -> dict[str, object]:
    """Return the figures of one soak."""
    tally, stop = Tally(), threading.Event()
    kinds = [ask_rest if number % 8 == 7 else ask_grpc for number in range(clients)]
    threads = [threading.Thread(target=kind, args=(server.address, tally, stop)) for kind in kinds]
    memory: list[float] = []
    with server.address.channel() as channel:
        threads.append(threading.Thread(target=roll, args=(Client(channel), models, base, tally, stop)))
        started = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - started < seconds and server.running.process.poll() is None:
            memory.append(resident_mb(server.running.process.pid))
            time.sleep(1.0)
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
    return {**figures(tally, memory), "deadlocked": sum(t.is_alive() for t in threads), "clients": clients}


def figures(tally: Tally, memory: list[float]) -> dict[str, object]:
    """Return the summary; times in milliseconds, memory in MB, each of the latter the median of ten seconds."""
    ordered = sorted(tally.latencies) or [0.0]
    half = len(memory) // 2
    start, middle, end = (statistics.median(part[:10] or [0.0]) for part in (memory, memory[half:], memory[-10:]))
    return {
        "requests": len(tally.latencies),
        "errors": dict(tally.errors),
        "wrong_answers": len(tally.wrong),
        "first_wrong_answers": tally.wrong[:3],
        "answers_after_unload": tally.after_end,
        "p50_ms": round(ordered[len(ordered) // 2] * 1e3, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 2),
        "memory_start_mb": round(start, 1),
        "memory_half_mb": round(middle, 1),
        "memory_end_mb": round(end, 1),
        "second_half_growth": round(end / middle - 1, 4) if middle else None,
        "versions": dict(tally.versions),
    }


def main() -> None:
    """Run the soak the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the clients ask")
    parser.add_argument("--clients", type=int, default=64, help="how many ask at the same time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models, base = Path(folder) / "models", Path(folder) / "served" / "soak"
        base.mkdir(parents=True)
        write_models(models)
        publish(models, base, 1, broken=False)
        flags = ("--model_name=soak", f"--model_base_path={base}", "--max_num_load_retries=0")
        server = start(Path(folder) / "server.log", *flags, rest=True)
        try:
            server.wait_until_ready()
            result = soak(server, models, base, arguments.seconds, arguments.clients)
        finally:
            server.running.interrupt()
    print(json.dumps({"seconds": arguments.seconds, **result}))


if __name__ == "__main__":
    main()
