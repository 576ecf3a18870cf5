"""Bytes on the wire: a relay between client and server that counts what passes, headers and frames included."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "127.0.0.1"


@dataclass
class Wire:
    """Bytes that went to the server and back since ``reset``; ``port`` is where clients connect instead."""

    port: int
    to_server: int = 0
    to_client: int = 0
    _sockets: list[socket.socket] = field(default_factory=list, repr=False)

    def reset(self) -> None:
        """Begin to count again."""
        self.to_server = self.to_client = 0


@contextlib.contextmanager
def counted(target_port: int) -> Iterator[Wire]:
    """Relay connections to ``target_port`` of this machine and count their bytes, until the end of the block."""
    with socket.create_server((HOST, 0)) as listening:
        wire = Wire(listening.getsockname()[1])
        threading.Thread(target=_accept, args=(listening, target_port, wire), daemon=True).start()
        try:
            yield wire
        finally:
            for end in (listening, *wire._sockets):
                # accept() and recv() in the other threads wake up by this, and by no close()
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


def _accept(listening: socket.socket, target_port: int, wire: Wire) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        server = socket.create_connection((HOST, target_port))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire._sockets += [client, server]
        threading.Thread(target=_pump, args=(client, server, wire), daemon=True).start()
        threading.Thread(target=_pump, args=(server, client, wire), kwargs={"back": True}, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, wire: Wire, *, back: bool = False) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            # counted before it is passed on, so that an answer read is an answer counted
            if back:
                wire.to_client += len(chunk)
            else:
                wire.to_server += len(chunk)
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
