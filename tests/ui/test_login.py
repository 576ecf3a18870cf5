"""Logins to a real page over HTTP: who keeps guessing is locked out, and only a trusted proxy speaks for others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.page_process import PageProcess, page_process
from ui.auth import ATTEMPTS, LOCKED_FOR

USER, PASSWORD = "ann", "right horse"


@contextmanager
def page(folder: Path, **settings: object) -> Iterator[PageProcess]:
    """A page that asks for a password; no model server is needed to log in."""
    with page_process(folder / "page.log", None, user=USER, password=PASSWORD, **settings) as process:
        yield process


def login(url: str, password: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    form = {"username": USER, "password": password}
    return httpx.post(f"{url}/login", data=form, headers=headers, trust_env=False, timeout=30)


def fail(url: str, times: int, headers: Mapping[str, str] | None = None) -> list[int]:
    return [login(url, f"guess {number}", headers).status_code for number in range(times)]


def forwarded(*addresses: str) -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(addresses)}


def test_the_right_password_is_refused_after_too_many_wrong_ones(tmp_path: Path) -> None:
    with page(tmp_path) as process:
        assert fail(process.url, ATTEMPTS) == [400] * ATTEMPTS
        refused = login(process.url, PASSWORD)
        assert refused.status_code == 429
        assert refused.json()["detail"] == ("Too many wrong passwords came from your address. Try again in 15 minutes.")
        assert 0 < int(refused.headers["Retry-After"]) <= LOCKED_FOR
        assert refused.headers.get("Set-Cookie") is None
        output = process.running.output()
    assert "login refused address=127.0.0.1 locked_out_seconds=" in output
    assert PASSWORD not in output


def test_a_locked_out_reader_is_told_so_in_place_of_the_login(tmp_path: Path) -> None:
    with page(tmp_path) as process:
        assert httpx.get(process.url, trust_env=False).status_code == 200
        fail(process.url, ATTEMPTS)
        told = httpx.get(process.url, trust_env=False)
    assert told.status_code == 429
    assert told.text.startswith("Too many wrong passwords came from your address.")


def test_who_is_signed_in_stays_so_when_the_address_is_locked_out(tmp_path: Path) -> None:
    with page(tmp_path) as process, httpx.Client(base_url=process.url, trust_env=False) as reader:
        assert reader.post("/login", data={"username": USER, "password": PASSWORD}).status_code == 200
        fail(process.url, ATTEMPTS)
        assert reader.get("/").status_code == 200
        assert reader.get("/config").status_code == 200


def test_many_guesses_at_once_are_no_way_round_the_limit(tmp_path: Path) -> None:
    with page(tmp_path) as process, ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda number: login(process.url, f"guess {number}").status_code, range(40)))
    assert sorted(statuses) == [400] * ATTEMPTS + [429] * (40 - ATTEMPTS)


def test_right_passwords_never_lock_anybody_out(tmp_path: Path) -> None:
    with page(tmp_path) as process:
        statuses = [login(process.url, PASSWORD).status_code for _ in range(3 * ATTEMPTS)]
    assert statuses == [200] * (3 * ATTEMPTS)


def test_a_visitor_cannot_pass_for_another_address(tmp_path: Path) -> None:
    with page(tmp_path) as process:
        for number in range(ATTEMPTS):
            fail(process.url, 1, forwarded(f"192.0.2.{number}"))
        assert login(process.url, PASSWORD, forwarded("192.0.2.99")).status_code == 429


@pytest.mark.parametrize("made_up", [(), ("198.51.100.1",)], ids=["as it is", "behind a made-up address"])
def test_behind_a_trusted_proxy_each_visitor_has_an_own_count(tmp_path: Path, made_up: tuple[str, ...]) -> None:
    with page(tmp_path, trusted_proxies="127.0.0.1") as process:
        fail(process.url, ATTEMPTS, forwarded(*made_up, "192.0.2.1"))
        assert login(process.url, PASSWORD, forwarded(*made_up, "192.0.2.1")).status_code == 429
        assert login(process.url, PASSWORD, forwarded(*made_up, "192.0.2.2")).status_code == 200


def test_a_page_without_a_password_counts_no_logins(tmp_path: Path) -> None:
    with page(tmp_path, open_to_all=True) as process:
        assert set(fail(process.url, ATTEMPTS + 1)) == {302}
        assert httpx.get(f"{process.url}/config", trust_env=False).status_code == 200
