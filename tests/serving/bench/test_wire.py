"""Bytes counted between a client and a server that answer each other over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from serving.bench.wire import counted

ANSWER = b"x" * 100_000


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of a server that answers every 10 bytes with ANSWER."""

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while len(connection.recv(10, socket.MSG_WAITALL)) == 10:
                connection.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_both_directions_are_counted_to_the_byte(answering: int) -> None:
    with counted(answering) as wire, socket.create_connection(("127.0.0.1", wire.port)) as client:
        for _ in range(2):
            wire.reset()
            client.sendall(b"0123456789")
            assert client.recv(len(ANSWER), socket.MSG_WAITALL) == ANSWER
            assert (wire.to_server, wire.to_client) == (10, len(ANSWER))
