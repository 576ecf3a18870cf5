"""The page judged by axe-core, which knows the rules of WCAG: nothing is held against any state of any tab.

On a desk and in a hand, where nothing may be wider than the screen either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from export import contract
from tests.e2e.page_process import SIZES, PageProcess, View, flat_picture, page_process, view, write_card
from tests.model_server import ModelServer
from tests.radiograph import files

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def whole(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """The page with everything on: a card, a choice of version, feedback."""
    folder = tmp_path_factory.mktemp("whole")
    card = write_card(folder / "card.json", contract.CalibrationBin(0.0, 1.0, contract.Metric(0.4, 0.3, 0.5, 100)))
    with page_process(
        folder / "page.log",
        server=model_server.target,
        card=str(card),
        feedback=str(folder / "feedback"),
        choose_version=True,
    ) as process:
        yield process


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


def several_frames(tab: View, folder: Path) -> None:
    (folder / "frames.dcm").write_bytes(files.multi_frame(12))
    tab.drop(folder / "frames.dcm")
    tab.page.wait_for_selector("#frames-picture img", timeout=20_000)


def tab_of(tab: View, title: str) -> None:
    tab.page.click(f"#tabs button[role=tab] >> text={title}")


def empty_list(tab: View, folder: Path) -> None:
    tab_of(tab, "Worklist")
    tab.page.wait_for_selector(".list-empty")


def full_list(tab: View, folder: Path) -> None:
    tab_of(tab, "Worklist")
    (folder / "letter.jpg").write_text("Dear colleague")
    files = [flat_picture(folder, kind) for kind in ("fracture", "suspicion", "clear", "novel")]
    tab.page.set_input_files("#worklist-upload input[type=file]", [*files, folder / "letter.jpg"])
    tab.page.wait_for_selector("#worklist-summary .list-summary")


def models(tab: View, folder: Path) -> None:
    tab_of(tab, "Models")
    tab.page.wait_for_selector("#models-details svg")
    tab.page.click("#models-details summary")


def code(tab: View, folder: Path) -> None:
    tab_of(tab, "Code")
    tab.page.wait_for_selector("#code .snippet")


def feedback(tab: View, folder: Path) -> None:
    tab.drop(flat_picture(folder, "fracture"))
    tab.page.wait_for_selector("#feedback", state="visible")
    tab.page.click("#agree")
    tab.page.wait_for_selector("#feedback-said [role=status]")


READER = (empty, one_view, a_study, side_by_side, a_failure, several_frames, feedback)
TABS = (empty_list, full_list, models, code)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", [*READER, *TABS])
def test_axe_finds_no_fault_with_the_page(
    chromium: Browser, whole: PageProcess, tmp_path: Path, state: Callable[[View, Path], None], size: str
) -> None:
    with view(chromium, whole.url, size) as tab:
        state(tab, tmp_path)
        assert faults(tab) == []
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_axe_would_find_a_picture_without_words(chromium: Browser, whole: PageProcess) -> None:
    with view(chromium, whole.url) as tab:
        tab.page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\">')")
        assert any("alternative text" in fault for fault in faults(tab))
