"""Rolling versions out and back under load: clients ask without pause while every command of a release is run.

    osteo bench rollout --seconds 20

Each answer is checked: it must be what the version that gave it computes, and that version must have been allowed at
some moment of the request. The commands are real ones, run as processes.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from export import contract
from serving.bench_models import SIZE
from serving.client import FractureClient
from serving.errors import ServingError
from serving.launch import RunningServer, embedded_server
from serving.route import to_canary

ROOT: Final = Path(__file__).resolve().parents[1]
LEVEL: Final = 100
SHIFTS: Final = {1: 0.0, 2: 0.1, 3: 0.0, 4: 0.4}
"""What each version adds to the probability; 3 is the broken one and 4 the worse one."""
PERCENT: Final = 10.0
TARGET_RATIO: Final = 3.0


@dataclass(frozen=True)
class Allowed:
    """Which versions may answer to ``stable``, and to a study of the canary, from ``since`` on (monotonic seconds)."""

    since: float
    stable: frozenset[int]
    canary: frozenset[int]


@dataclass
class Tally:
    """What all clients saw; ``timeline`` says what was allowed when."""

    timeline: list[Allowed] = field(default_factory=list)
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def allow(self, stable: set[int], canary: set[int] | None = None) -> None:
        """Set what may answer from now on."""
        self.timeline.append(Allowed(time.monotonic(), frozenset(stable), frozenset(stable | (canary or set()))))

    def add(self, started: float, version: int, probability: float, canary: bool) -> None:
        """Count an answer that has just come to a request of ``started``."""
        ended = time.monotonic()
        self.answers.append((started, ended, version))
        times = [*(entry.since for entry in self.timeline[1:]), float("inf")]
        meant = [entry for entry, until in zip(list(self.timeline), times, strict=False) if until >= started]
        if not any(version in (entry.canary if canary else entry.stable) for entry in meant):
            self.wrong.append(f"version {version} answered and was not allowed")
        if abs(probability - (LEVEL / 255 + SHIFTS[version])) > 1e-4:
            self.wrong.append(f"version {version} answered {probability:.4f}")

    def p99(self, since: float, until: float) -> float:
        """Return the 99th percentile in ms of the answers to requests begun in this time."""
        times = [ended - started for started, ended, _ in list(self.answers) if since <= started < until]
        return float(np.percentile(times, 99)) * 1e3 if times else float("nan")


def ask_grpc(server: RunningServer, route: Path, tally: Tally, stop: threading.Event) -> None:
    """Ask by the label and the route, as the page's client does, one study after the other until told to stop."""
    image = np.full((1, SIZE, SIZE, 1), LEVEL, np.uint8)
    with FractureClient(server.target, route=route) as client:
        while not stop.is_set():
            study, started = f"study-{random.getrandbits(32)}", time.monotonic()
            try:
                (told,) = client.predict(image, study=study)
            except ServingError as error:
                tally.faults.append(f"gRPC: {error}")
                continue
            tally.add(started, told.version, told.probability, to_canary(study, PERCENT))


def ask_rest(server: RunningServer, tally: Tally, stop: threading.Event) -> None:
    """Ask the label stable with plain HTTP; which version answered is told by the novelty, see ``bench_models``."""
    body = json.dumps({"instances": np.full((1, SIZE, SIZE, 1), LEVEL, np.uint8).tolist()})
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    while not stop.is_set():
        started = time.monotonic()
        try:
            connection.request("POST", f"/v1/models/{contract.MODEL_NAME}/labels/stable:predict", body)
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            connection.close()
            tally.faults.append(f"REST: {type(error).__name__}")
            continue
        if answer.status != 200:
            tally.faults.append(f"REST: {answer.status} {content[:200]!r}")
            continue
        (told,) = json.loads(content)["predictions"]
        tally.add(started, round(told[contract.NOVELTY] * 100), told[contract.PROBABILITY], canary=False)
    connection.close()


@dataclass(frozen=True)
class Step:
    """One command; what may answer while it runs and what once it has ended, and with which code it must end."""

    words: tuple[str, ...]
    stable: frozenset[int]
    after: frozenset[int]
    canary: frozenset[int] = frozenset()
    code: int = 0


def release(built: Path, base: Path) -> list[Step]:
    """Return the story: a version comes and is promoted, a broken one fails, a worse one is promoted and taken back."""
    one, two, four = frozenset({1}), frozenset({2}), frozenset({4})

    def publish(version: int, live: frozenset[int]) -> Step:
        words = ("versions", "publish", str(built / str(version)), "--base", str(base), "--version", str(version))
        return Step(words, live, live)

    def roll(words: str, live: frozenset[int], after: frozenset[int], **more: Any) -> Step:
        return Step(("rollout", *words.split()), live, after, **more)

    return [
        publish(2, one),
        roll("stage 2", one, one),
        roll("check 2 --count 8", one, one),
        roll(f"canary 2 --percent {PERCENT:g}", one, one, canary=two),
        roll("promote 2", one | two, two),
        publish(3, two),
        roll("stage 3", two, two, code=1),
        publish(4, two),
        roll("stage 4", two, two),
        roll("check 4 --count 8", two, two),
        roll("promote 4", two | four, four),
        roll("rollback", four | two, two),
        roll("retire 4", two, two),
    ]


def run(seconds: float, grpc_clients: int, rest_clients: int, tell: Callable[[str], object]) -> dict[str, Any]:
    """Return the figures of one run: ``seconds`` at rest, then the release, with so many clients of each kind.

    ``tell`` gets a line for each command.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        built, base, config = folder / "built", folder / "fracture", folder / "state" / "models.config"
        _build(built)
        _osteo(("versions", "publish", str(built / "1"), "--base", str(base)), config, "")
        with embedded_server(base, config=config) as server:
            tally = Tally()
            tally.allow({1})
            route = Path(f"{config}.rollout") / "route.json"
            with _asking(server, route, tally, grpc_clients, rest_clients):
                time.sleep(2.0)
                rested = time.monotonic()
                time.sleep(seconds)
                began = time.monotonic()
                unexpected, slowest = _roll(release(built, base), config, server.target, tally, tell)
                ended = time.monotonic()
    rest, moving = tally.p99(rested, began), tally.p99(began, ended)
    return {
        "requests": len(tally.answers),
        "failed_requests": len(tally.faults),
        "wrong_answers": len(tally.wrong),
        "unexpected_commands": unexpected,
        "first_faults": [*tally.faults[:3], *tally.wrong[:3]],
        "answers_by_version": {version: sum(v == version for _, _, v in tally.answers) for version in SHIFTS},
        "p99_at_rest_ms": round(rest, 1),
        "p99_during_moves_ms": round(moving, 1),
        "p99_ratio": round(moving / rest, 2),
        "p99_ratio_allowed": TARGET_RATIO,
        "slowest_step": slowest,
        "seconds_of_moves": round(ended - began, 1),
        "grpc_clients": grpc_clients,
        "rest_clients": rest_clients,
    }


def _roll(
    steps: Sequence[Step], config: Path, target: str, tally: Tally, tell: Callable[[str], object]
) -> tuple[list[str], str]:
    """Run the commands; return those that ended otherwise than they must, and the one with the highest p99."""
    unexpected: list[str] = []
    slowest = (0.0, "")
    canary: frozenset[int] = frozenset()
    for step in steps:
        name = " ".join(step.words[:3]) if step.words[0] == "rollout" else f"publish {step.words[-1]}"
        canary = (canary if step.stable == step.after else canary | step.stable) | step.canary
        tally.allow(set(step.stable), set(canary))
        began = time.monotonic()
        code, said = _osteo(step.words, config, target)
        p99 = tally.p99(began, time.monotonic())
        canary = canary if step.stable == step.after else frozenset()
        tally.allow(set(step.after), set(canary))
        if code != step.code:
            unexpected.append(f"{name}: {said}")
        slowest = max(slowest, (p99, name))
        tell(f"{name:28} p99 {p99:7.1f} ms  {said}")
        time.sleep(0.5)
    return unexpected, slowest[1]


@contextmanager
def _asking(server: RunningServer, route: Path, tally: Tally, grpc_clients: int, rest_clients: int) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=ask_grpc, args=(server, route, tally, stop)) for _ in range(grpc_clients)]
    threads += [threading.Thread(target=ask_rest, args=(server, tally, stop)) for _ in range(rest_clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=90)


def _build(folder: Path) -> None:
    """Write the versions; the broken one lacks half of its variables."""
    words = [f"{version}={shift}" for version, shift in SHIFTS.items() if version != 3]
    subprocess.run(
        [sys.executable, "-m", "serving.bench_models", str(folder), *words], cwd=ROOT, check=True, capture_output=True
    )
    shutil.copytree(folder / "2", folder / "3")
    (data,) = (folder / "3" / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def _osteo(words: Sequence[str], config: Path, target: str) -> tuple[int, str]:
    """Run a command of `osteo` as an operator would; return its code and the last line it said."""
    more = ("--config", str(config), "--server", target) if words[0] == "rollout" else ()
    ended = subprocess.run([sys.executable, "-m", "osteo", *words, *more], cwd=ROOT, capture_output=True, text=True)
    said = (ended.stdout.strip() or ended.stderr.strip()).splitlines()
    return ended.returncode, said[-1] if said else ""
