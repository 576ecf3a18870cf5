"""The tabs beside the reader judged by axe-core, on a desk and in a hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from export import contract
from tests.e2e.page_process import SIZES, PageProcess, View, flat_picture, page_process, view, write_card
from tests.e2e.test_page_accessibility import faults
from tests.model_server import ModelServer

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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", [empty_list, full_list, models, code, feedback])
def test_axe_finds_no_fault_with_a_tab(
    chromium: Browser, whole: PageProcess, tmp_path: Path, state: Callable[[View, Path], None], size: str
) -> None:
    with view(chromium, whole.url, size) as tab:
        state(tab, tmp_path)
        assert faults(tab) == []
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
