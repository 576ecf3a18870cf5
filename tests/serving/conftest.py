"""What the tests of server and client share.

OSTEO_SERVER=host:grpc_port[:rest_port] points the conformance tests at a server that runs already, with the models of
`python -m tests.serving.saved_models DIR`; OSTEO_SERVER_COMMAND names another program to start than the embedded one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving.rolled import bench_versions, place, rolled_server
from tests.serving.server_process import Address, Client, ServerProcess, start, write_models

__all__ = ["bench_versions", "place", "rolled_server"]

StartServer = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every generated SavedModel, as DIR/<model>/<version>."""
    folder = tmp_path_factory.getbasetemp() / "saved-models"
    if not (folder / "models.config").exists():
        write_models(folder)
    return folder


@pytest.fixture(scope="session")
def conformance_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server with the conformance models: the one OSTEO_SERVER names, or one started for the session."""
    external = os.environ.get("OSTEO_SERVER")
    if external:
        host, _, ports = external.partition(":")
        port, _, rest = ports.partition(":")
        yield Address(f"{host}:{port}", f"{host}:{rest}" if rest else None)
        return
    folder: Path = request.getfixturevalue("saved_models")
    log = tmp_path_factory.mktemp("conformance") / "server.log"
    server = start(log, f"--model_config_file={folder / 'models.config'}", rest=True)
    try:
        server.wait_until_ready()
        yield server.address
    finally:
        left = server.running.interrupt()
    assert left == []


@pytest.fixture(scope="session")
def conformance(conformance_address: Address) -> Iterator[Client]:
    """A client of the conformance server."""
    with conformance_address.channel() as channel:
        yield Client(channel)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """A function that starts a server with the given flags and waits for it (`wait=False`: does not)."""
    with ExitStack() as servers:

        def started(*flags: str, rest: bool = False, wait: bool = True) -> ServerProcess:
            server = start(tmp_path / "server.log", *flags, rest=rest)
            servers.callback(server.running.interrupt)
            if wait:
                server.wait_until_ready()
            return server

        yield started


@pytest.fixture(scope="session")
def rolling_address(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server whose config the tests replace as they like; retries of failed loads are quick."""
    flags = ("--max_num_load_retries=1", "--load_retry_interval_micros=50000")
    log = tmp_path_factory.mktemp("rolling") / "server.log"
    server = start(log, "--model_name=first", f"--model_base_path={saved_models / 'constant'}", *flags)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.running.interrupt()


@pytest.fixture
def rolling(rolling_address: ServerProcess) -> Iterator[Client]:
    """A client of the server with the replaceable config."""
    with rolling_address.address.channel() as channel:
        yield Client(channel)
