"""A public link, or the sentence that says what is in the way: real sockets, a real page, no network needed."""

from __future__ import annotations

import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gradio import tunneling

from tests import processes
from tests.e2e.page_process import page_process
from tests.model_server import ROOT
from ui.share import LIFETIME, NoLinkError, PublicLink, TunnelServer, public_link, tunnel_server

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
GOES_ON = "The page goes on at its local address."

# Stands for Gradio's tunnel program, which is not part of this project, where a test needs one: the same command line,
# and the line that it prints once its server has given it an address.
PROGRAM = """#!{python}
import sys, time
server = sys.argv[sys.argv.index("--server_addr") + 1]
{body}
"""
GIVES_A_LINK = 'print("start proxy success: http://abc.links.example", flush=True); time.sleep(600)'
IS_REFUSED = 'print("login to server failed: token is not valid", flush=True); time.sleep(600)'
ENDS = "sys.exit(3)"


@contextmanager
def listening() -> Iterator[str]:
    """The address of a TCP server that accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def install(home: Path, body: str, mode: int = 0o755) -> Path:
    """Return Gradio's tunnel program below ``home``, the value of HF_HOME: one that does ``body``."""
    program = home / "gradio" / "frpc" / str(tunneling.BINARY_FILENAME)
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(python=sys.executable, body=body))
    program.chmod(mode)
    return program


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without a proxy, whatever the machine of the test has."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


def reason(own: TunnelServer | str | None, program: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return why no link can be had with ``program`` as Gradio's tunnel program."""
    monkeypatch.setattr(tunneling, "BINARY_PATH", str(program))
    monkeypatch.setattr(tunneling, "BINARY_FOLDER", program.parent)
    server = tunnel_server(own, None, None) if isinstance(own, str) else own
    with pytest.raises(NoLinkError) as raised:
        public_link(("127.0.0.1", 7860), "token", server, folder)
    return str(raised.value)


@contextmanager
def shared_page(tmp_path: Path, body: str = GIVES_A_LINK, **settings: object) -> Iterator[str]:
    """What a page prints that is asked for a public link on a machine where the tunnel program does ``body``."""
    install(tmp_path, body)
    env = {"HF_HOME": str(tmp_path), **dict.fromkeys(PROXIES, "")}
    with listening() as address:
        settings = {"share_server": address} | settings
        with page_process(tmp_path / "page.log", env, share=True, **settings) as process:
            process.running.wait_until(lambda output: "Public link:" in output or GOES_ON in output, seconds=60)
            yield process.running.output()


def test_a_link_through_a_tunnel_server_of_one_s_own_ends_with_the_page(tmp_path: Path) -> None:
    body = f'import os; open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid())); {GIVES_A_LINK}'
    with shared_page(tmp_path, body) as output:
        tunnel = Path("/proc") / (tmp_path / "pid").read_text()
        assert tunnel.exists()
    assert not tunnel.exists()
    assert "Public link: http://abc.links.example\n" in output
    assert "It lasts as long as this page and its tunnel server run." in output
    assert "Warning: this link is not encrypted" in output
    assert "Password: " in output


def test_a_waived_password_is_warned_of(tmp_path: Path) -> None:
    with shared_page(tmp_path, open_to_all=True, share_server_protocol="https") as output:
        pass
    assert "Public link: https://abc.links.example\n" in output
    assert "Password: " not in output
    assert "Warning: no password is asked (--no-auth): whoever has the address can use this page." in output
    assert output.count("Warning") == 1


def test_a_page_without_a_link_goes_on_and_says_why(tmp_path: Path) -> None:
    with shared_page(tmp_path, IS_REFUSED) as output:
        pass
    assert (
        "No public link could be made: the tunnel program gave no link; its last words: login to server failed: token "
        f"is not valid. {GOES_ON}"
    ) in output
    assert "Page: http://127.0.0.1:" in output
    assert "Traceback" not in output


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("body", "mode", "told"),
    [
        (ENDS, 0o755, "the tunnel program gave no link and did not say why"),
        (GIVES_A_LINK, stat.S_IRUSR, "cannot be run (Permission denied)"),
    ],
)
def test_a_tunnel_program_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, mode: int, told: str
) -> None:
    with listening() as address:
        assert told in reason(address, install(tmp_path, body, mode), tmp_path, monkeypatch)


@pytest.mark.usefixtures("no_proxy")
def test_a_tunnel_program_that_keeps_silent_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.share.TUNNEL_SECONDS", 1.0)
    with listening() as address:
        told = reason(address, install(tmp_path, "time.sleep(600)"), tmp_path, monkeypatch)
    assert told == "the tunnel program gave no link and did not say why"


@pytest.mark.usefixtures("no_proxy")
def test_a_tunnel_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{processes.free_port()}"
    assert reason(address, install(tmp_path, GIVES_A_LINK), tmp_path, monkeypatch) == (
        f"the tunnel server {address} refuses the connection. A firewall may block it, or nothing listens there"
    )


@pytest.mark.usefixtures("no_proxy")
def test_a_tunnel_server_whose_name_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = reason("tunnel.invalid:7000", install(tmp_path, GIVES_A_LINK), tmp_path, monkeypatch)
    assert told.startswith(
        "the tunnel server tunnel.invalid:7000 cannot be reached, because its name is not known here."
    )


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (True, "the tunnel program is not on this machine and could not be fetched: cdn-media.huggingface.co through "),
        (False, "api.gradio.app through "),
    ],
)
def test_a_dead_proxy_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, told: str
) -> None:
    port = processes.free_port()
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        if name.lower() == "https_proxy":
            monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{port}")
    with listening() as address:
        said = reason(address if own else None, tmp_path / "no program", tmp_path, monkeypatch)
    assert said.startswith(f"{told}the proxy 127.0.0.1:{port} refuses the connection.")
    assert "secret" not in said


def test_a_machine_that_gradio_has_no_tunnel_program_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunneling, "BINARY_URL", tunneling.BINARY_URL.replace("amd64", "s390x"))
    assert reason(None, tmp_path / "no program", tmp_path, monkeypatch).startswith("there is no tunnel program for ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--share-server", "tunnel.example"], "'tunnel.example' is no address of a tunnel server"),
        (["--share-server", "tunnel.example:0"], "'tunnel.example:0' is no address of a tunnel server"),
        (["--share-server", "a:1", "--share-server-protocol", "ftp"], "begins with http or https, not with 'ftp'"),
        (["--share-server", "a:1", "--share-server-certificate", "/no/file"], "certificate /no/file is not there"),
        (["--share-server-protocol", "https"], "needs a tunnel server"),
        (["--trusted-proxies", "*"], "'*' is no proxy's address or network"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    command = [sys.executable, "-m", "osteo", "ui", "--share", f"--server-port={processes.free_port()}", *arguments]
    running = processes.start(command, tmp_path / "output.txt", cwd=ROOT)
    assert running.process.wait(timeout=60) == 1
    (line,) = running.output().splitlines()
    assert sentence in line


def test_gradio_s_link_says_when_it_ends_at_the_latest() -> None:
    made = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    tunnel = tunneling.Tunnel("tunnel.example", 7000, "127.0.0.1", 7860, "token", None)
    link = PublicLink("https://abc.gradio.live", made + LIFETIME, tunnel)
    assert link.sentences() == (
        "Public link: https://abc.gradio.live",
        "It lasts a week at most, until 9 January 2026, 03:04 UTC, may end sooner, and ends with this page.",
    )


def test_a_week_is_what_gradio_promises() -> None:
    blocks = (Path(tunneling.__file__).parent / "blocks.py").read_text(encoding="utf-8")
    assert "will last for up to 1 week" in blocks
    assert timedelta(weeks=1) == LIFETIME


def test_a_tunnel_server_is_taken_by_its_address_protocol_and_certificate(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.touch()
    server = tunnel_server("[::1]:7000", "https", str(certificate))
    assert server is not None
    assert (server.host, server.port, server.protocol, server.certificate) == (
        "[::1]", 7000, "https", str(certificate)
    )  # fmt: skip
