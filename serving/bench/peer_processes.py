"""Starting, asking and stopping the other ways to serve that `osteo bench peers` measures."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from serving.bench.load import Ask
from serving.bench.summary import ROOT, START_SECONDS, BenchError
from serving.bench.ways import Picture, answered
from serving.launch import stop

_HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Peer:
    """Another way to serve: the packages it needs, and the words that start it with {version} and {port}.

    ``base64_json``: it takes pictures in no other way; ``whole_files``: it takes files too, at /file.
    """

    name: str
    shown: str
    packages: tuple[str, ...]
    words: tuple[str, ...]
    base64_json: bool = False
    whole_files: bool = False


def _own_script(name: str) -> tuple[str, ...]:
    return ("-m", "serving.bench.peer_servers", name, "{version}", "{port}")


_BENTOML: Final = ("serve", "serving.bench.peer_bentoml:Fracture", "--port", "{port}", "--host", _HOST)
PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        Peer("seeds", "the seeds' model.predict", ("fastapi", "uvicorn"), _own_script("seeds"), whole_files=True),
        Peer(
            "seeds-keras",
            "the seeds' model.predict, never exported",
            ("fastapi", "uvicorn"),
            _own_script("seeds-keras"),
            whole_files=True,
        ),
        Peer("fastapi", "FastAPI", ("fastapi", "uvicorn"), _own_script("fastapi")),
        Peer("litserve", "LitServe", ("litserve",), ("-m", "serving.bench.peer_litserve", "{version}", "{port}")),
        Peer("bentoml", "BentoML", ("bentoml",), ("-m", "bentoml", *_BENTOML), base64_json=True),
        Peer("ray", "Ray Serve", ("ray", "ray.serve"), _own_script("ray")),
    )
}


def missing(peer: Peer) -> list[str]:
    """Return the packages of ``peer`` that are not installed."""
    return [name for name in peer.packages if not _found(name)]


def _found(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@dataclass(frozen=True)
class Running:
    """A peer that answers: its process and its port."""

    peer: Peer
    pid: int
    port: int


@contextlib.contextmanager
def started(peer: Peer, version: Path, picture: Picture) -> Iterator[Running]:
    """Run ``peer`` on the SavedModel in ``version``; yield it once it answers to ``picture``, then stop all of it.

    Raises ``BenchError`` with its last words where it does not come up.
    """
    port = free_port()
    words = [word.format(version=version.resolve(), port=port) for word in peer.words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OSTEO_BENCH_VERSION": str(version.resolve())}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        running = Running(peer, process.pid, port)
        try:
            _wait(running, process, picture, log)
            yield running
        finally:
            stop(process)
            # its children are of its session; some servers leave them behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def asking(running: Running, picture: Picture, *, whole: bool = False) -> Iterator[Ask]:
    """Open a connection and yield a function that asks once, for prepared pixels or for a ``whole`` file."""
    pixels = picture.image.tobytes()
    if running.peer.base64_json:
        body = json.dumps({"pictures": [base64.b64encode(pixels).decode("ascii")]}).encode()
        headers = {"Content-Type": "application/json"}
    else:
        body, headers = (picture.file if whole else pixels), {"Content-Type": "application/octet-stream"}
    path = "/file" if whole else "/predict"
    with contextlib.closing(http.client.HTTPConnection(_HOST, running.port, timeout=60)) as connection:

        def ask() -> object:
            connection.request("POST", path, body, headers)
            return answered(connection)

        yield ask


def _wait(running: Running, process: subprocess.Popen[bytes], picture: Picture, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    refused = ""
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with asking(running, picture) as ask:
                ask()
        except (OSError, http.client.HTTPException) as error:
            refused = str(error)
            time.sleep(0.5)
        else:
            return
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines() or ["none"]
    raise BenchError(f"{running.peer.shown} did not come up ({refused}). Its last words: {lines[-1].strip()}")


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
