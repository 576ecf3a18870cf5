"""What whoever starts the page can choose."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from export import contract
from serving.client import DEFAULT_TARGET, Timeout


@dataclass(frozen=True)
class PageSettings:
    """Where the page finds its model, where it can be seen and by whom.

    ``server`` is the gRPC address of the model server; without ``version`` or ``label`` its stable version answers, and
    the canary for the share of the studies that the file ``route`` names (``serving.route``).
    ``rest`` is the address of the server's REST API, for the page's examples of code.
    ``feedback`` is the folder that keeps what readers say of findings; without it they are not asked.
    With ``choose_version`` a visitor may choose another for the visit.
    ``card`` is the folder of the versions, or one card's file, for what a probability meant in the test set.
    A shared page, or one with a ``user`` or ``password``, asks for both. ``max_file_size`` is in bytes; uploaded files
    are deleted after ``keep_uploads`` seconds, and with the page.

    ``open_to_all`` waives user and password. ``trusted_proxies`` (addresses and networks, parted by commas) may say in
    X-Forwarded-For whom a request comes from. ``share_server`` (host:port) makes the link in place of Gradio's service.
    """

    server: str = DEFAULT_TARGET
    model: str = contract.MODEL_NAME
    version: int | None = None
    label: str | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    user: str | None = None
    password: str | None = None
    open_to_all: bool = False
    trusted_proxies: str | None = None
    share_server: str | None = None
    share_server_protocol: str | None = None
    share_server_certificate: str | None = None
    max_file_size: int = 512 * 1024 * 1024
    keep_uploads: int = 900
    timeout: Timeout = field(default_factory=Timeout)
    route: str | os.PathLike[str] | None = None
    card: str | os.PathLike[str] | None = None
    choose_version: bool = False
    rest: str | None = None
    feedback: str | os.PathLike[str] | None = None
