"""The page as a service: without its server, shared, and after it has been closed."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from tests import processes
from tests.e2e.page_process import PageProcess, flat_picture, page_process, view
from tests.model_server import ModelServer, publish, serve

pytestmark = pytest.mark.browser

USER = "reader"
KEEP_UPLOADS = 4
"""Seconds for which the shared page keeps uploads."""
MAX_FILE_SIZE = 100_000


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port that would be the way out for a program that minds proxies, and what came to it."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                came.append(connection.recv(200).decode(errors="replace"))
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], came


@dataclass(frozen=True)
class SharedPage:
    """A page started with ``share=True`` on a machine that cannot make a public link."""

    process: PageProcess
    password: str
    folder: Path


@pytest.fixture(scope="module")
def shared(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedPage]:
    folder = tmp_path_factory.mktemp("shared")
    # A dead proxy stands for a machine without a way out, so that the test is the same everywhere.
    way_out = f"http://127.0.0.1:{processes.free_port()}"
    env = {"TMPDIR": str(folder), "HTTPS_PROXY": way_out, "HTTP_PROXY": way_out, "https_proxy": way_out}
    limits = {"keep_uploads": KEEP_UPLOADS, "max_file_size": MAX_FILE_SIZE}
    with page_process(folder / "page.log", env, share=True, server=model_server.target, **limits) as process:
        process.running.wait_until(lambda output: "Password" in output, seconds=90)
        match = re.search(rf"User: {USER}  Password: (\S+)", process.running.output())
        assert match
        yield SharedPage(process, match[1], folder)


def test_a_shared_page_makes_up_a_password_and_says_why_there_is_no_link(shared: SharedPage) -> None:
    output = shared.process.running.output()
    assert len(shared.password) >= 16
    assert output.count(shared.password) == 1
    assert "No public link could be made" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("user", "password", "allowed"),
    [(USER, None, True), (USER, "guess", False), ("someone", None, False), (USER, "", False)],
)
def test_a_shared_page_lets_nobody_in_without_the_password(
    shared: SharedPage, user: str, password: str | None, allowed: bool
) -> None:
    with httpx.Client(base_url=shared.process.url, trust_env=False) as browser:
        assert browser.get("/config").status_code == 401
        form = {"username": user, "password": shared.password if password is None else password}
        assert (browser.post("/login", data=form).status_code == 200) == allowed
        assert (browser.get("/config").status_code == 200) == allowed


@pytest.mark.parametrize(("size", "status"), [(MAX_FILE_SIZE // 2, 200), (MAX_FILE_SIZE * 2, 413)])
def test_a_file_above_the_limit_is_not_taken(shared: SharedPage, size: int, status: int) -> None:
    with httpx.Client(base_url=shared.process.url, trust_env=False) as browser:
        browser.post("/login", data={"username": USER, "password": shared.password})
        answer = browser.post("/gradio_api/upload", files={"files": ("large.png", b"x" * size)})
    assert answer.status_code == status


def test_the_login_is_a_page_and_uploads_are_deleted_after_their_time(
    chromium: Browser, shared: SharedPage, artifacts_dir: Path, tmp_path: Path
) -> None:
    with view(chromium, shared.process.url, opened=False) as tab:
        tab.page.wait_for_selector("input[type=password]")
        tab.keep(artifacts_dir, "login")
        # Not let in yet, the browser is told so for the page's own data.
        tab.errors.clear()
        tab.page.fill("input >> nth=0", USER)
        tab.page.fill("input[type=password]", shared.password)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("#viewer .empty")
        tab.drop(flat_picture(tmp_path, "clear", "private.png"))
        tab.wait_for_finding("private.png")
        assert list(shared.folder.glob("osteo-page-*/**/private.png"))
        give_up = time.monotonic() + 30
        while list(shared.folder.rglob("private*")) and time.monotonic() < give_up:
            time.sleep(0.2)
        assert list(shared.folder.rglob("private*")) == []


def test_the_page_starts_without_its_server_and_finds_it_by_itself(
    chromium: Browser, contract_models: Path, artifacts_dir: Path, tmp_path: Path
) -> None:
    port = processes.free_port()
    publish(contract_models / "small", tmp_path / "fracture" / "1")
    with listener() as (way_out, came_out):
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), f"http://127.0.0.1:{way_out}")
        env = {**proxies, "NO_PROXY": "", "TMPDIR": str(tmp_path)}
        with (
            page_process(tmp_path / "page.log", env, server=f"127.0.0.1:{port}") as process,
            view(chromium, process.url) as tab,
        ):
            tab.page.wait_for_selector("#server .down")
            assert f"No model server answers at 127.0.0.1:{port}" in tab.text("#server")
            tab.drop(flat_picture(tmp_path, "fracture"))
            tab.wait_for_finding("fracture.png")
            assert "osteo serve" in tab.text("#card")
            tab.page.wait_for_selector("#again", state="visible")
            tab.keep(artifacts_dir, "no-server")
            with serve(tmp_path / "fracture", tmp_path / "server.log", grpc_port=port):
                tab.page.click("#again")
                tab.page.wait_for_selector("#card .fracture")
                tab.page.wait_for_selector("#server .up")
                tab.page.wait_for_selector("#again", state="hidden")
        assert came_out == []
        assert list(tmp_path.glob("osteo-page-*")) == []


def test_the_page_process_does_not_load_tensorflow(page: PageProcess) -> None:
    maps = Path(f"/proc/{page.running.process.pid}/maps").read_text()
    assert "grpc" in maps
    assert "tensorflow" not in maps
