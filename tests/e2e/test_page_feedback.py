"""Feedback in the reader: kept without the picture unless the reader consents, and not asked where nothing is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser

from tests.e2e.page_process import SIZES, PageProcess, flat_picture, page_process, view
from tests.model_server import ModelServer
from ui.feedback import LINES, PICTURES

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Asking:
    """A page that keeps feedback in ``folder``."""

    url: str
    folder: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return what has been kept so far."""
        path = self.folder / LINES
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def asking(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("asking")
    keeps = folder / "feedback"
    with page_process(folder / "page.log", server=model_server.target, feedback=str(keeps)) as process:
        yield Asking(process.url, keeps)


@pytest.mark.parametrize("size", SIZES)
def test_a_reader_disagrees_with_a_note_then_consents_to_the_picture(
    chromium: Browser, asking: Asking, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    before = len(asking.lines())
    with view(chromium, asking.url, size) as tab:
        assert not tab.page.is_visible("#feedback")
        tab.drop(flat_picture(tmp_path, "fracture", f"secret-{size}.png"))
        tab.page.wait_for_selector("#feedback", state="visible")
        tab.page.fill("#feedback-note textarea", "A growth plate.")
        tab.page.click("#disagree")
        tab.page.wait_for_selector("#feedback-said >> text=without the picture")
        (first,) = asking.lines()[before:]
        assert (first["agrees"], first["note"], first["finding"]) == (False, "A growth plate.", "fracture")
        assert first["picture"] is None
        assert "secret" not in json.dumps(first)
        tab.page.check("#feedback-consent input")
        tab.page.click("#agree")
        tab.page.wait_for_selector("#feedback-said >> text=with the picture")
        tab.keep(artifacts_dir, "feedback")
        second = asking.lines()[-1]
        assert (second["agrees"], second["reading"]) == (True, first["reading"])
        assert (asking.folder / second["picture"]).read_bytes().startswith(b"\x89PNG")
        tab.drop(flat_picture(tmp_path, "clear"))
        tab.wait_for_finding("clear.png")
        tab.page.wait_for_selector("#feedback", state="visible")
        assert tab.page.input_value("#feedback-note textarea") == ""
        assert not tab.page.is_checked("#feedback-consent input")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_nobody_is_asked_without_a_finding(chromium: Browser, asking: Asking, tmp_path: Path) -> None:
    with view(chromium, asking.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"), flat_picture(tmp_path, "novel"))
        tab.page.wait_for_selector("#feedback", state="visible")
        tab.page.click("#results button >> text=novel.png")
        tab.wait_for_finding("novel.png")
        tab.page.wait_for_selector("#feedback", state="hidden")


def test_a_program_agrees_with_a_result_and_keeps_no_picture(asking: Asking, tmp_path: Path) -> None:
    client = Client(asking.url, verbose=False)
    (result,) = client.predict([handle_file(str(flat_picture(tmp_path, "fracture")))], api_name="/read")
    kept = client.predict(result, True, "", api_name="/feedback")
    assert (kept["kept"], kept["version"]) == (True, 1)
    line = asking.lines()[-1]
    assert (line["reading"], line["via"], line["picture"]) == (kept["reading"], "program", None)
    assert not (asking.folder / PICTURES / f"{kept['reading']}.png").exists()
    with pytest.raises(AppError, match="as /read returned it"):
        client.predict({"finding": "healthy"}, True, "", api_name="/feedback")
    client.close()


def test_a_page_without_a_folder_asks_nobody_and_says_so_to_programs(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    client = Client(page.url, verbose=False)
    with pytest.raises(AppError, match="keeps no feedback"):
        client.predict({}, True, "", api_name="/feedback")
    client.close()
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        tab.wait_until_idle()
        assert not tab.page.is_visible("#feedback")
