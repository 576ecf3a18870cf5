"""A public link to a running page, through Gradio's tunnel service or a tunnel server of one's own.

Everything a link needs is looked at first, each with a time limit, so that there is a link or a sentence that says
what is in the way. The tunnel program and its address are Gradio's (``gradio.tunneling``, ``gradio.networking``).
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx
from gradio import networking, tunneling

LIFETIME: Final = timedelta(days=7)
"""For how long Gradio keeps a link at most, by its own words (``gradio.Blocks.launch``)."""
PROTOCOLS: Final = ("http", "https")
ASK_SECONDS: Final = 10.0
TUNNEL_SECONDS: Final = 30.0


class NoLinkError(Exception):
    """No public link can be had; the message says why, and what to do about it."""


@dataclass(frozen=True)
class TunnelServer:
    """A tunnel server (frps) of one's own; ``certificate`` is the file that its TLS is verified with, if it has TLS."""

    host: str
    port: int
    protocol: str = "http"
    certificate: str | None = None


@dataclass(frozen=True, eq=False)
class PublicLink:
    """A link that works until ``close``, or until ``ends`` at the latest where a service sets an end."""

    url: str
    ends: datetime | None
    _tunnel: tunneling.Tunnel

    def sentences(self) -> tuple[str, ...]:
        """Return what to print of the link: where it is, how long it lasts, and whether others can listen."""
        if self.ends is None:
            lasts = "It lasts as long as this page and its tunnel server run."
        else:
            last = f"{self.ends:%-d %B %Y, %H:%M} UTC"
            lasts = f"It lasts a week at most, until {last}, may end sooner, and ends with this page."
        lines = [f"Public link: {self.url}", lasts]
        if self.url.startswith("http://"):
            lines.append(
                "Warning: this link is not encrypted; passwords and radiographs can be read on their way. "
                "Put TLS before the tunnel server and say --share-server-protocol https."
            )
        return tuple(lines)

    def close(self) -> None:
        """End the link."""
        _stop(self._tunnel)


def tunnel_server(address: str | None, protocol: str | None, certificate: str | None) -> TunnelServer | None:
    """Return the tunnel server that the options name, ``None`` where they name none; raises ``ValueError``."""
    if address is None:
        if protocol or certificate:
            raise ValueError(
                "A protocol or a certificate needs a tunnel server: name it with --share-server host:port."
            )
        return None
    host, colon, port = address.rpartition(":")
    if not colon or not host.strip("[]") or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is no address of a tunnel server: say --share-server host:port.")
    if protocol not in (None, *PROTOCOLS):
        raise ValueError(f"A link begins with http or https, not with {protocol!r}: see --share-server-protocol.")
    if certificate is not None and not Path(certificate).is_file():
        raise ValueError(f"The tunnel server's certificate {certificate} is not there.")
    return TunnelServer(host, int(port), protocol or "http", certificate)


def public_link(page: tuple[str, int], token: str, own: TunnelServer | None, folder: Path) -> PublicLink:
    """Return a public link to the page at host and port ``page``; raises ``NoLinkError`` within about a minute.

    ``token`` is the page's secret towards the tunnel server; ``folder`` may be written to, for a certificate.
    """
    _check_platform()
    server = own or _ask_for_server(folder)
    _check_way(server.host, server.port)
    _fetch_program()
    tunnel = tunneling.Tunnel(server.host, server.port, *page, token, server.certificate)
    told = _start(tunnel)
    ends = None if own else datetime.now(UTC) + LIFETIME
    return PublicLink(f"{server.protocol}://{told.rpartition('://')[2]}", ends, tunnel)


def _check_platform() -> None:
    if tunneling.BINARY_URL not in tunneling.CHECKSUMS and not Path(tunneling.BINARY_PATH).exists():
        raise NoLinkError(
            f"there is no tunnel program for {platform.system()} on {platform.machine()}. "
            "Put a reverse proxy with TLS before the page instead"
        )


def _ask_for_server(folder: Path) -> TunnelServer:
    """Return the tunnel server that Gradio's service assigns, its certificate written to ``folder``."""
    url = networking.GRADIO_API_SERVER
    try:
        answer = httpx.get(url, timeout=ASK_SECONDS)
        answer.raise_for_status()
        told = answer.json()[0]
        host, port, certificate = str(told["host"]), int(told["port"]), str(told["root_ca"])
    except httpx.HTTPError as error:
        raise NoLinkError(_what_is_in_the_way(url, error)) from error
    except (ValueError, LookupError, TypeError) as error:
        raise NoLinkError(
            f"{urlsplit(url).hostname} does not answer like Gradio's service. A proxy may stand before it"
        ) from error
    path = folder / "tunnel-server.pem"
    path.write_text(certificate, encoding="ascii")
    return TunnelServer(host, port, "https", str(path))


def _check_way(host: str, port: int) -> None:
    # The tunnel program goes through a proxy of the environment, where a straight connection would tell nothing.
    if getproxies().get("http"):
        return
    try:
        socket.create_connection((host.strip("[]"), port), ASK_SECONDS).close()
    except OSError as error:
        raise NoLinkError(_reason(f"the tunnel server {host}:{port}", error)) from error


def _fetch_program() -> None:
    """See that the tunnel program is on this machine; Gradio fetches it once and checks it."""
    path = Path(tunneling.BINARY_PATH)
    if path.exists():
        return
    missing = "the tunnel program is not on this machine and could not be fetched: "
    try:
        tunneling.Tunnel.download_binary()
    except httpx.HTTPError as error:
        raise NoLinkError(missing + _what_is_in_the_way(tunneling.BINARY_URL, error)) from error
    except tunneling.ChecksumMismatchError as error:
        path.unlink(missing_ok=True)
        raise NoLinkError(f"{missing}what came is not the program that Gradio vouches for. Try again later") from error
    except OSError as error:
        raise NoLinkError(f"{missing}{path.parent} cannot be written ({error.strerror or error})") from error


def _start(tunnel: tunneling.Tunnel) -> str:
    """Return the address that the started tunnel program tells; nothing of what it prints is shown."""
    told = threading.Event()
    threading.Thread(target=_watch, args=(tunnel, told), daemon=True).start()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return str(tunnel.start_tunnel())
    except PermissionError as error:
        raise NoLinkError(f"the tunnel program {tunneling.BINARY_PATH} cannot be run ({error.strerror})") from error
    except (OSError, ValueError, AssertionError, AttributeError) as error:
        _stop(tunnel)
        words = printed.getvalue().strip().splitlines()
        last = f"; its last words: {words[-1]}" if words else " and did not say why"
        raise NoLinkError(f"the tunnel program gave no link{last}") from error
    finally:
        told.set()


def _watch(tunnel: tunneling.Tunnel, told: threading.Event) -> None:
    """Stop the wait for a program that has ended or keeps silent, where Gradio alone would read on without a limit."""
    give_up = time.monotonic() + TUNNEL_SECONDS
    while not told.wait(0.2):
        process = cast("subprocess.Popen[bytes] | None", tunnel.proc)
        if process is not None and (process.poll() is not None or time.monotonic() > give_up):
            told.wait(1)  # what it said last may still be on its way
            if not told.is_set():
                _stop(tunnel)
            return


def _stop(tunnel: tunneling.Tunnel) -> None:
    process = cast("subprocess.Popen[bytes] | None", tunnel.proc)
    tunnel.proc = None  # Gradio would end it once more at exit, and print so.
    if process is not None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()


def _what_is_in_the_way(url: str, error: httpx.HTTPError) -> str:
    parts = urlsplit(url)
    if isinstance(error, httpx.HTTPStatusError):
        return f"{parts.hostname} answers with status {error.response.status_code}. Try again later"
    proxy = urlsplit(getproxies().get(parts.scheme, ""))
    through = f" through the proxy {proxy.hostname}:{proxy.port}" if proxy.hostname else ""
    return _reason(f"{parts.hostname}{through}", error)


def _reason(what: str, error: Exception) -> str:
    """Return why ``what`` could not be reached, and what to do."""
    chain: list[BaseException] = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    if any(isinstance(link, socket.gaierror) for link in chain):
        return f"{what} cannot be reached, because its name is not known here. Is this machine on the internet?"
    if any(isinstance(link, ssl.SSLError) for link in chain):
        return f"{what} cannot be trusted: its certificate is not valid. Something between may open encrypted traffic"
    if any(isinstance(link, TimeoutError | httpx.TimeoutException) for link in chain):
        return f"{what} does not answer. A firewall may block it"
    if any(isinstance(link, ConnectionRefusedError) for link in chain):
        return f"{what} refuses the connection. A firewall may block it, or nothing listens there"
    numbers = [link.errno for link in chain if isinstance(link, OSError) and link.errno]
    why = os.strerror(numbers[-1]) if numbers else str(error) or type(error).__name__
    return f"{what} cannot be reached ({why}). Check the network of this machine"
