"""The tab with ready code: every example is run as it is shown."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from playwright.sync_api import Browser

from export.contract import FINDINGS, OUTPUTS
from tests.e2e.page_process import SIZES, PageProcess, flat_picture, page_process, view
from tests.model_server import ModelServer
from ui.snippets import FUNCTIONS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_with_rest(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """The page that knows where the REST API of its server is."""
    folder = tmp_path_factory.mktemp("code")
    rest = f"127.0.0.1:{model_server.rest_port}"
    with page_process(folder / "page.log", server=model_server.target, rest=rest) as process:
        yield process


@pytest.fixture(scope="module")
def shown(chromium: Browser, page_with_rest: PageProcess, artifacts_dir: Path) -> dict[str, str]:
    """The examples as the page shows them, by name."""
    for size in SIZES:
        with view(chromium, page_with_rest.url, size) as tab:
            tab.page.click("#tabs button[role=tab] >> text=Code")
            tab.page.wait_for_selector("#code .snippet")
            tab.keep(artifacts_dir, "code")
            assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            found: dict[str, str] = tab.page.evaluate(
                "Object.fromEntries([...document.querySelectorAll('#code .snippet')]"
                ".map(e => [e.dataset.name, e.querySelector('code').textContent]))"
            )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``radiograph.jpg`` in it, which the test model calls a fracture."""
    flat_picture(tmp_path, "fracture", "radiograph.jpg")
    return tmp_path


def test_the_curl_example_gives_every_output(shown: dict[str, str], folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("There is no curl here to run the page's example with.")
    run = subprocess.run(["sh", "-c", shown["curl"]], cwd=folder, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert all(f'"{output}"' in run.stdout for output in OUTPUTS)


@pytest.mark.parametrize("name", ["grpc", "rest", "read"])
def test_a_python_example_prints_finding_and_probability(shown: dict[str, str], folder: Path, name: str) -> None:
    run = subprocess.run([sys.executable, "-c", shown[name]], cwd=folder, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    printed = re.search(rf"^({'|'.join(FINDINGS)}) (\d\.?\d*)", run.stdout, flags=re.MULTILINE)
    assert printed, run.stdout
    assert printed[1] == "fracture"
    assert float(printed[2]) == pytest.approx(220 / 255, abs=0.01)


def test_the_worklist_example_writes_a_csv(shown: dict[str, str], folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", shown["worklist"]], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stderr
    assert "1 of 1" in run.stdout
    with (folder / "worklist.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["finding"]) == ("radiograph.jpg", "fracture")


def test_every_function_of_the_page_is_named_and_told(chromium: Browser, page_with_rest: PageProcess) -> None:
    client = Client(page_with_rest.url, verbose=False)
    named = client.view_api(return_format="dict")["named_endpoints"]
    client.close()
    assert set(named) == set(FUNCTIONS)
    with view(chromium, page_with_rest.url) as tab:
        tab.page.click("#tabs button[role=tab] >> text=Code")
        tab.page.wait_for_selector("#code dl")
        assert [name for name in FUNCTIONS if name in tab.text("#code dl")] == list(FUNCTIONS)


def test_code_is_copied_by_its_button(chromium: Browser, page_with_rest: PageProcess) -> None:
    with view(chromium, page_with_rest.url) as tab:
        tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=page_with_rest.url)
        tab.page.click("#tabs button[role=tab] >> text=Code")
        tab.page.click("#code .snippet button >> nth=0")
        tab.page.wait_for_selector("#code >> text=Copied")
        assert "curl" in tab.page.evaluate("navigator.clipboard.readText()")
