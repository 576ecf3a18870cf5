"""The embedded server as a process of its own: started, waited for, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from export import contract
from serving.answer import VersionStatus
from serving.client import FractureClient, ServingError, Timeout
from serving.rollout import Rollout, first_config

HOST: Final = "127.0.0.1"
_STOP_SECONDS: Final = 10.0


class LaunchError(Exception):
    """The embedded server could not be started; the message says why and what to do."""


@dataclass(frozen=True)
class RunningServer:
    """A server process that answers; ``version`` is the newest it serves."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    rest_port: int
    version: int

    @property
    def target(self) -> str:
        """Its gRPC address, ``host:port``."""
        return f"{HOST}:{self.grpc_port}"


@contextlib.contextmanager
def embedded_server(
    base_path: Path,
    *,
    grpc_port: int = 0,
    rest_port: int = 0,
    model: str = contract.MODEL_NAME,
    config: Path | None = None,
) -> Iterator[RunningServer]:
    """Run the embedded server on ``base_path`` and yield it once a version is available; stop it on the way out.

    Port 0 takes a free one. With a ``config`` file that is what is served, and `osteo rollout` can change it; where the
    file is not there yet, it is made with the newest version. Raises ``LaunchError`` where a port is taken, no version
    is there, or the server ends.
    """
    with starting_server(base_path, grpc_port=grpc_port, rest_port=rest_port, model=model, config=config) as ready:
        yield ready()


@contextlib.contextmanager
def starting_server(
    base_path: Path,
    *,
    grpc_port: int = 0,
    rest_port: int = 0,
    model: str = contract.MODEL_NAME,
    seconds: float = 120.0,
    config: Path | None = None,
    flags: Sequence[str] = (),
) -> Iterator[Callable[[], RunningServer]]:
    """Like ``embedded_server``, but yield at once a function that waits: other work can go on while it loads.

    ``flags`` are passed on to the server.
    """
    ports = _ports(grpc_port, rest_port)
    if not any(child.name.isdecimal() for child in _children(base_path)):
        raise LaunchError(f"{base_path} holds no model version (a folder named by a number). Make one: osteo export")
    if config is not None and not config.exists():
        first_config(Rollout("", str(config.absolute()), model, "", base=str(base_path.resolve())))
    models = _by_config(config.resolve()) if config is not None else _by_base(model, base_path.resolve())
    with tempfile.TemporaryFile() as log:
        process = _start([*models, *flags], ports, log)
        try:
            yield lambda: RunningServer(process, *ports, _wait(process, ports[0], model, seconds, log))
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End ``process``: asked first, forced after ten seconds."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _by_base(model: str, base_path: Path) -> list[str]:
    return [f"--model_name={model}", f"--model_base_path={base_path}"]


def _by_config(config: Path) -> list[str]:
    """Return the flags with which a server can be rolled: it reads the file again, and starts with labels in it."""
    return [
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=5",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=0",
    ]


def _start(flags: list[str], ports: tuple[int, int], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "serving.embedded",
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        *flags,
    ]
    # a session of its own: Ctrl-C reaches this process alone, which then stops the server in order
    return subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], port: int, model: str, seconds: float, log: IO[bytes]) -> int:
    deadline = time.monotonic() + seconds
    with FractureClient(f"{HOST}:{port}", model=model, timeout=Timeout(ask=1.0)) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LaunchError(f"The model server ended before it was ready. Its last words: {_last_words(log)}")
            with contextlib.suppress(ServingError):
                ready = available(client.status())
                if ready:
                    return max(ready)
            time.sleep(0.1)
    raise LaunchError(f"The model server was not ready after {seconds:.0f} s. Its last words: {_last_words(log)}")


def available(statuses: tuple[VersionStatus, ...]) -> list[int]:
    """Return the versions that take requests."""
    return [status.version for status in statuses if status.state == "AVAILABLE"]


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "none"


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _ports(grpc_port: int, rest_port: int) -> tuple[int, int]:
    with contextlib.ExitStack() as held:
        taken = [_take(held, port) for port in (grpc_port, rest_port)]
    return taken[0], taken[1]


def _take(held: contextlib.ExitStack, port: int) -> int:
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
    except OSError as error:
        raise LaunchError(f"Port {port} is taken by another program. Stop it, or choose another port.") from error
    return int(probe.getsockname()[1])
