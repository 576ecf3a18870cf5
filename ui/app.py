"""Starting and stopping the page.

launch(PageSettings(server="127.0.0.1:8500", port=7860))     until Ctrl-C
with start(PageSettings(port=7861)) as page: print(page.url)  beside other work
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import gradio as gr
from starlette.middleware import Middleware

from ui import frame, share, theme
from ui.auth import Credentials, Lockout, credentials, guard, trusted_proxies
from ui.examples import draw_examples
from ui.page import build_page
from ui.settings import PageSettings

__all__ = ["PageError", "PageSettings", "RunningPage", "build_page", "launch", "start"]


class PageError(Exception):
    """The page cannot be started; the message is a sentence for whoever starts it."""


@dataclass(frozen=True, eq=False)
class RunningPage:
    """A page that can be looked at, until ``close`` or the end of its ``with`` block.

    ``link`` is the public link if one was asked for and made; else ``no_link`` says why not.
    """

    url: str
    link: share.PublicLink | None
    no_link: str | None
    credentials: Credentials | None
    _shared: bool
    _blocks: gr.Blocks
    _folder: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sentences(self) -> tuple[str, ...]:
        """Return what to print for whoever started the page; a made-up password is in it, this once."""
        lines = [f"Page: {self.url}"]
        if self.link:
            lines += self.link.sentences()
        if self.no_link:
            lines.append(self.no_link)
        if self._shared and self.credentials is None:
            lines.append("Warning: no password is asked (--no-auth): whoever has the address can use this page.")
        if self.credentials is not None:
            shown = self.credentials.password if self.credentials.made_up else "(the one you gave)"
            lines.append(f"User: {self.credentials.user}  Password: {shown}")
        return tuple(lines)

    def close(self) -> None:
        """Stop the page and its link, and delete everything that was uploaded to it."""
        if self.link:
            self.link.close()
        self._blocks.close(verbose=False)
        shutil.rmtree(self._folder, ignore_errors=True)


def start(settings: PageSettings, tell: Callable[[str], None] = lambda _: None) -> RunningPage:
    """Return the page once it can be looked at; raises ``PageError`` if its port is taken or an option makes no sense.

    The model server need not run yet. Where no public link can be made the page runs without one; asking for it can
    take a minute, before which ``tell`` is told.
    """
    try:
        own = share.tunnel_server(
            settings.share_server, settings.share_server_protocol, settings.share_server_certificate
        )
        # Read by uvicorn, which would else trust every program of this machine, and so every visitor of a tunnel.
        os.environ["FORWARDED_ALLOW_IPS"] = trusted_proxies(settings.trusted_proxies)
    except ValueError as error:
        raise PageError(str(error)) from error
    _check_port(settings.host, settings.port)
    allowed = credentials(settings.user, settings.password, share=settings.share, waived=settings.open_to_all)
    folder = Path(tempfile.mkdtemp(prefix="osteo-page-"))
    # Uploads go with the page, also where it ends without being closed.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    _bypass_proxies()
    blocks = build_page(settings, draw_examples(folder))
    try:
        url = _open(blocks, settings, allowed)
    except (OSError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise PageError(f"The page could not be started at {settings.host}:{settings.port}: {error}") from error
    link, no_link = None, None
    if settings.share:
        tell("Asking for a public link ...")
        link, no_link = _public_link(blocks, own, folder)
    return RunningPage(url.rstrip("/"), link, no_link, allowed, settings.share, blocks, folder)


def _open(blocks: gr.Blocks, settings: PageSettings, allowed: Credentials | None) -> str:
    """Let the page be looked at, with everything of Gradio's off that would call, or show, anyone else."""
    _, url, _ = blocks.launch(
        server_name=settings.host,
        server_port=settings.port,
        auth=allowed.match if allowed else None,
        auth_message=frame.login() if allowed else None,
        app_kwargs={"middleware": [Middleware(guard, Lockout())]} if allowed else None,
        max_file_size=settings.max_file_size,
        theme=theme.reading_room(),
        css_paths=theme.CSS,
        head=theme.HEAD,
        favicon_path=theme.FAVICON,
        footer_links=["api"],
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        run_history=False,
        ssr_mode=False,
        show_error=False,
        inbrowser=False,
        enable_monitoring=False,
    )
    return str(url)


def launch(settings: PageSettings) -> None:
    """Start the page, print where it is, and stay until interrupted or terminated."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with start(settings, tell=lambda text: print(text, file=sys.stderr, flush=True)) as page:
        print("\n".join(page.sentences()), flush=True)
        stopped.wait()


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            return
    except OSError as error:
        raise PageError(
            f"The page cannot use port {port} of {host} ({error.strerror}). "
            "Another program may be using it: stop that one, or choose another port."
        ) from error


def _bypass_proxies() -> None:
    """Keep calls to this machine off the proxies of the environment: Gradio asks itself whether it is up."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def _public_link(
    blocks: gr.Blocks, own: share.TunnelServer | None, folder: Path
) -> tuple[share.PublicLink | None, str | None]:
    """Return a public link to the running page, or the sentence that says why there is none.

    Made here rather than by ``Blocks.launch(share=True)``, which would also make the page load its scripts from
    somewhere else, and would print its own account of a failure.
    """
    try:
        return share.public_link((blocks.server_name, blocks.server_port), blocks.share_token, own, folder), None
    except share.NoLinkError as error:
        reason = str(error)
        end = "" if reason[-1] in ".?!" else "."
        return None, f"No public link could be made: {reason}{end} The page goes on at its local address."
