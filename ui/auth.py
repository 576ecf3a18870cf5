"""Who may see a page: one user and one password, made up where none was given; and who may go on trying.

A login asks ``Lockout`` before its password is looked at (``guard``), so that nobody can try passwords by the
thousand. An address is the one the request came from; what a proxy says in X-Forwarded-For counts only for proxies that
``trusted_proxies`` names.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEFAULT_USER: Final = "reader"
ATTEMPTS: Final = 5
LOCKED_FOR: Final = 900.0
"""Seconds for which an address is locked out, and for which a failed login is remembered."""
MOST_ADDRESSES: Final = 10_000

_KEY: Final = secrets.token_bytes(32)

log = logging.getLogger("ui")


@dataclass(frozen=True)
class Credentials:
    """A user and a password; ``made_up`` tells that the password must be shown once to whoever started the page."""

    user: str
    password: str = field(repr=False)
    made_up: bool = False

    def match(self, user: str, password: str) -> bool:
        """Return whether both are right, in a time that tells nothing of where they differ or of their length."""
        right_user = compare_digest(_digest(user), _digest(self.user))
        right_password = compare_digest(_digest(password), _digest(self.password))
        return right_user & right_password


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), key=_KEY).digest()


def credentials(user: str | None, password: str | None, *, share: bool, waived: bool = False) -> Credentials | None:
    """Return who may see the page.

    ``None`` (everybody) only if that is ``waived``, or if the page is not shared and neither of the two was given.
    """
    if waived or (not share and not user and not password):
        return None
    return Credentials(user or DEFAULT_USER, password or secrets.token_urlsafe(15), made_up=not password)


class Lockout:
    """Failed logins by address: ``attempts`` of them, none older than ``seconds``, lock the address for ``seconds``."""

    def __init__(
        self, attempts: int = ATTEMPTS, seconds: float = LOCKED_FOR, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._attempts, self._seconds, self._clock = attempts, seconds, clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Return for how many seconds ``address`` is locked out, 0 if it is not."""
        failed = self._failed.get(_whole_network(address), [])
        return max(0.0, failed[-1] + self._seconds - self._clock()) if len(failed) >= self._attempts else 0.0

    def attempt(self, address: str) -> float:
        """Return ``wait`` of a locked-out address; else count a login of it as failed and return 0.

        It counts before the password is known to be wrong: a thousand logins at once are no way round the limit.
        """
        who, now = _whole_network(address), self._clock()
        with self._lock:
            wait = self.wait(address)
            if wait:
                return wait
            recent = [then for then in self._failed.pop(who, []) if now < then + self._seconds]
            self._failed[who] = [*recent, now][-self._attempts :]
            if len(self._failed) > MOST_ADDRESSES:
                self._failed.popitem(last=False)
        return 0.0

    def forgive(self, address: str) -> None:
        """Take back the last login that was counted: it succeeded. Earlier ones still count."""
        with self._lock:
            failed = self._failed.get(_whole_network(address))
            if failed:
                failed.pop()


def _whole_network(address: str) -> str:
    """Return whom an address stands for: whoever has one address of IPv6 has all of its /64."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((int(found), 64), strict=False))


def trusted_proxies(given: str | None) -> str:
    """Return the addresses and networks of ``given`` (parted by commas) as uvicorn takes them; "" trusts none.

    Raises ``ValueError``, with a sentence, for what is neither.
    """
    proxies = [part.strip() for part in (given or "").split(",") if part.strip()]
    for proxy in proxies:
        try:
            ip_network(proxy)
        except ValueError as error:
            raise ValueError(f"{proxy!r} is no proxy's address or network, like 10.0.0.7 or 10.0.0.0/24.") from error
    return ",".join(proxies)


def guard(app: ASGIApp, lockout: Lockout) -> ASGIApp:
    """Return ``app`` with its logins counted: a locked-out address is told so with status 429, password right or not.

    Who is signed in already stays so. Gradio's login page shows no answer but "incorrect", hence the sentence also
    takes the place of that page.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope)
        address = request.client.host if request.client else "unknown"
        if request.method == "POST" and request.url.path.rstrip("/").endswith("/login"):
            await login(scope, receive, send, address)
        elif request.url.path == "/" and not _has_session(request) and (wait := lockout.wait(address)):
            await PlainTextResponse(_sentence(wait), 429, _retry_after(wait))(scope, receive, send)
        else:
            await app(scope, receive, send)

    async def login(scope: Scope, receive: Receive, send: Send, address: str) -> None:
        wait = lockout.attempt(address)
        if wait:
            log.warning("login refused address=%s locked_out_seconds=%.0f", address, wait)
            await JSONResponse({"detail": _sentence(wait)}, 429, _retry_after(wait))(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                lockout.forgive(address)
            await send(message)

        await app(scope, receive, watched)

    return guarded


def _has_session(request: Request) -> bool:
    return any(name.startswith("access-token") for name in request.cookies)


def _retry_after(wait: float) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(wait))}


def _sentence(wait: float) -> str:
    minutes = math.ceil(wait / 60)
    return f"Too many wrong passwords came from your address. Try again in {minutes} minute{'s' * (minutes > 1)}."
