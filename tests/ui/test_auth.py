"""Who may see the page: a shared one is never open."""

from __future__ import annotations

import re

import pytest

from ui.auth import ATTEMPTS, DEFAULT_USER, LOCKED_FOR, MOST_ADDRESSES, Lockout, credentials, trusted_proxies


def test_a_page_that_is_not_shared_is_open_unless_asked_otherwise() -> None:
    assert credentials(None, None, share=False) is None


@pytest.mark.parametrize("share", [True, False])
def test_only_a_waiver_leaves_a_page_open_that_was_given_a_password(share: bool) -> None:
    assert credentials("ann", "s3cret", share=share, waived=True) is None


@pytest.mark.parametrize(
    ("user", "password", "share"), [(None, None, True), ("ann", None, False), (None, "s3cret", True)]
)
def test_what_was_not_given_is_made_up(user: str | None, password: str | None, share: bool) -> None:
    made = credentials(user, password, share=share)
    assert made is not None
    assert made.user == (user or DEFAULT_USER)
    assert made.made_up == (password is None)
    assert len(made.password) >= 20 or made.password == password


def test_two_made_up_passwords_differ() -> None:
    first, second = credentials(None, None, share=True), credentials(None, None, share=True)
    assert first is not None
    assert second is not None
    assert first.password != second.password


@pytest.mark.parametrize(
    ("user", "password", "allowed"),
    [("ann", "pässword", True), ("ann", "password", False), ("Ann", "pässword", False), ("", "", False)],
)
def test_only_user_and_password_together_open_the_page(user: str, password: str, allowed: bool) -> None:
    made = credentials("ann", "pässword", share=True)
    assert made is not None
    assert made.match(user, password) == allowed


def test_the_password_does_not_show_in_a_log() -> None:
    assert "s3cret" not in repr(credentials("ann", "s3cret", share=True))


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def locked_out(address: str = "192.0.2.1") -> tuple[Lockout, Clock]:
    """Return a lockout on which ``address`` has just failed too often."""
    clock = Clock()
    lockout = Lockout(clock=clock)
    assert [lockout.attempt(address) for _ in range(ATTEMPTS)] == [0.0] * ATTEMPTS
    return lockout, clock


def test_an_address_that_failed_too_often_has_to_wait() -> None:
    lockout, _ = locked_out()
    assert lockout.attempt("192.0.2.1") == LOCKED_FOR


def test_another_address_need_not_wait() -> None:
    lockout, _ = locked_out()
    assert lockout.attempt("192.0.2.2") == 0


def test_trying_on_does_not_lengthen_the_wait_and_its_end_is_the_end() -> None:
    lockout, clock = locked_out()
    clock.now += LOCKED_FOR - 1
    assert lockout.attempt("192.0.2.1") == 1
    clock.now += 1
    assert [lockout.attempt("192.0.2.1") for _ in range(ATTEMPTS)] == [0.0] * ATTEMPTS
    assert lockout.attempt("192.0.2.1") == LOCKED_FOR


def test_a_login_that_succeeds_counts_for_nothing_and_forgives_nothing_else() -> None:
    lockout = Lockout(clock=Clock())
    for _ in range(ATTEMPTS - 1):
        lockout.attempt("192.0.2.1")
    for _ in range(3):
        assert lockout.attempt("192.0.2.1") == 0
        lockout.forgive("192.0.2.1")
    assert lockout.attempt("192.0.2.1") == 0
    assert lockout.attempt("192.0.2.1") > 0


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("unknown", "unknown", True),
    ],
)
def test_whoever_has_one_address_of_ipv6_has_its_whole_network(first: str, second: str, same: bool) -> None:
    lockout, _ = locked_out(first)
    assert (lockout.wait(second) > 0) == same


def test_addresses_without_end_do_not_fill_the_memory() -> None:
    lockout = Lockout(clock=Clock())
    for number in range(MOST_ADDRESSES + 50):
        lockout.attempt(f"address {number}")
    assert len(lockout._failed) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("given", "taken"), [(None, ""), ("", ""), (" 10.0.0.7 , 10.1.0.0/16,::1", "10.0.0.7,10.1.0.0/16,::1")]
)
def test_proxies_are_trusted_as_named_and_not_otherwise(given: str | None, taken: str) -> None:
    assert trusted_proxies(given) == taken


@pytest.mark.parametrize("given", ["*", "proxy.example", "10.0.0.7/8", "10.0.0.0/33"])
def test_a_proxy_that_is_no_address_is_refused_by_name(given: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(given))):
        trusted_proxies(given)
