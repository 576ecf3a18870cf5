"""The page as a real process, and a browser's view of it that keeps account of errors and requests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from export import contract
from export.versions import newest
from tests import processes
from tests.contract_model import LEVELS, THRESHOLDS
from tests.model_server import ROOT

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}


@dataclass(frozen=True)
class PageProcess:
    """A running page at ``url``."""

    url: str
    running: processes.Running


@contextmanager
def page_process(log: Path, env: Mapping[str, str] | None = None, **settings: object) -> Iterator[PageProcess]:
    """Start the page with ``settings`` and wait until it prints its address."""
    settings.setdefault("port", processes.free_port())
    keywords = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    program = f"from ui.app import PageSettings, launch; launch(PageSettings({keywords}))"
    running = processes.start([sys.executable, "-c", program], log, cwd=ROOT, env=env)
    try:
        running.wait_until(lambda output: "Page: http" in output, seconds=180)
        yield PageProcess(f"http://127.0.0.1:{settings['port']}", running)
    finally:
        left = running.interrupt()
    assert left == []


def write_card(path: Path, *counted: contract.CalibrationBin) -> Path:
    """Write the shipped card with the test model's thresholds and ``counted`` radiographs by probability."""
    shipped = contract.read_card(newest(ROOT / "models" / contract.MODEL_NAME))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(replace(shipped, thresholds=THRESHOLDS, calibration=counted).to_json())
    return path


@dataclass
class View:
    """One browser tab on the page; ``errors`` and ``outside`` must stay empty."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def drop(self, *files: Path) -> None:
        """Give files to the drop zone."""
        self.page.set_input_files("#upload input[type=file]", files)

    def wait_for_finding(self, file: str) -> None:
        """Return once the finding of ``file`` is shown."""
        self.page.wait_for_function(
            "file => document.querySelector('#card .file')?.textContent === file", arg=file, timeout=20_000
        )

    def wait_until_idle(self) -> None:
        """Return once nothing is being read any more."""
        self.page.wait_for_selector("#progress .progress", state="detached", timeout=20_000)

    def text(self, selector: str) -> str:
        """Return the visible text of the first match, on one line."""
        return " ".join(self.page.inner_text(selector).split())

    def note(self, told: str, look: str) -> None:
        """Run the statements ``look`` at each change of the page: what passes too fast to be waited for, they note.

        They write into ``window.told``, which begins as ``told``.
        """
        every = "{childList: true, subtree: true, attributes: true, characterData: true}"
        watch = f"new MutationObserver(() => {{ {look} }}).observe(document.body, {every})"
        self.page.evaluate(f"() => {{ window.told = {told}; {watch}; }}")

    def keep(self, artifacts: Path, name: str) -> None:
        """Keep a screenshot of the whole page."""
        width = (self.page.viewport_size or {"width": 0})["width"]
        self.page.screenshot(path=artifacts / f"page-{name}-{width}.png", full_page=True)

    def keep_narrow(self, artifacts: Path, name: str) -> None:
        """Keep a screenshot as the page is on a phone, where nothing may stick out, and widen the window again."""
        before = self.page.viewport_size
        width, height = SIZES["phone"]
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")
        self.keep(artifacts, name)
        if before is not None:
            self.page.set_viewport_size(before)


@contextmanager
def view(browser: Browser, url: str, size: str = "desktop", *, opened: bool = True) -> Iterator[View]:
    """Open the page in a fresh browser context; afterwards assert a clean console and that no request left."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    tab = View(context.new_page())

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            tab.errors.append(message.text)

    def on_request(request: Request) -> None:
        if request.url.startswith("http") and urlsplit(request.url).hostname != "127.0.0.1":
            tab.outside.append(request.url)

    tab.page.on("console", on_console)
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    context.on("request", on_request)
    try:
        tab.page.goto(url)
        if opened:
            tab.page.wait_for_selector("#viewer .empty")
        yield tab
    finally:
        context.close()
    assert (tab.errors, tab.outside) == ([], [])


def flat_picture(folder: Path, kind: str, name: str | None = None) -> Path:
    """Write a flat PNG that the test model answers in the way ``kind`` says (``contract_model.LEVELS``)."""
    path = folder / (name or f"{kind}.png")
    Image.new("L", (400, 400), LEVELS[kind]).save(path)
    return path


def bounding_box(tab: View, selector: str) -> dict[str, float]:
    """Return left, top, width and height of the first match (CSS px)."""
    box: dict[str, float] = json.loads(
        tab.page.eval_on_selector(selector, "e => JSON.stringify(e.getBoundingClientRect())")
    )
    return box
