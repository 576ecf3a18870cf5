"""The page judged by axe-core, which knows the rules of WCAG: nothing is held against any state of the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.e2e.page_process import SIZES, PageProcess, View, flat_picture, view

pytestmark = pytest.mark.browser


def faults(tab: View) -> list[str]:
    """Return what axe-core holds against the page as it is, each with the first place of it."""
    found = Axe().run(tab.page).response["violations"]
    return [f"{fault['impact']}: {fault['help']}, {fault['nodes'][0]['target']}" for fault in found]


def empty(tab: View, folder: Path) -> None:
    tab.page.wait_for_selector("#server .up")
    tab.page.wait_for_selector(".loading", state="detached")


def one_view(tab: View, folder: Path) -> None:
    tab.drop(flat_picture(folder, "fracture"))
    tab.page.wait_for_selector("#takeaway", timeout=20_000)


def a_study(tab: View, folder: Path) -> None:
    (folder / "letter.jpg").write_text("Dear colleague")
    tab.drop(flat_picture(folder, "suspicion"), flat_picture(folder, "novel"), folder / "letter.jpg")
    tab.page.wait_for_selector("#study .card", timeout=20_000)


def side_by_side(tab: View, folder: Path) -> None:
    tab.drop(flat_picture(folder, "fracture"), flat_picture(folder, "clear"))
    tab.page.click("#beside", timeout=20_000)
    tab.page.wait_for_selector(".several")


def a_failure(tab: View, folder: Path) -> None:
    (folder / "letter.jpg").write_text("Dear colleague")
    tab.drop(folder / "letter.jpg")
    tab.wait_for_finding("letter.jpg")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", [empty, one_view, a_study, side_by_side, a_failure])
def test_axe_finds_no_fault_with_the_reader(
    chromium: Browser, page: PageProcess, tmp_path: Path, state: Callable[[View, Path], None], size: str
) -> None:
    with view(chromium, page.url, size) as tab:
        state(tab, tmp_path)
        assert faults(tab) == []


def test_axe_would_find_a_picture_without_words(chromium: Browser, page: PageProcess) -> None:
    with view(chromium, page.url) as tab:
        tab.page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\">')")
        assert any("alternative text" in fault for fault in faults(tab))
