"""Choices made faster than they are answered: what is shown is what was chosen last."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

from export import contract
from tests.e2e.page_process import PageProcess, View, flat_picture, page_process, view, write_card
from tests.model_server import publish, serve

pytestmark = pytest.mark.browser

ANSWERS = "**/gradio_api/run/**"


def click_while_held(tab: View, *buttons: str) -> None:
    """Click one after another while the first one's question does not get through; then let everything through."""
    held: list[Route] = []
    tab.page.route(ANSWERS, lambda route: route.fallback() if held else held.append(route))
    with tab.page.expect_request(ANSWERS):
        tab.page.click(buttons[0])
    for button in buttons[1:]:
        tab.page.click(button)
    held[0].fallback()


def test_the_reader_shows_the_finding_of_the_row_that_is_marked(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    kinds = ("suspicion", "clear", "fracture")
    with view(chromium, page.url) as tab:
        tab.drop(*[flat_picture(tmp_path, kind) for kind in kinds])
        tab.wait_for_finding("suspicion.png")
        tab.wait_until_idle()
        click_while_held(tab, "#results button >> nth=1", "#results button >> nth=0", "#results button >> nth=2")
        tab.wait_for_finding("fracture.png")
        assert tab.text("#results tr.chosen button") == "fracture.png"
        assert tab.text("#card h2") == "Fracture"


def drop_a_long_study(tab: View, folder: Path) -> None:
    """Give sixty views, and return while they are being read."""
    tab.drop(*[flat_picture(folder, "clear", f"first-{number:02}.png") for number in range(60)])
    tab.page.wait_for_selector("#results tbody tr:nth-child(5)")


def only_the_other_is_left(tab: View) -> bool:
    """Return, once all is read, whether the page shows one view and none of the long study."""
    tab.wait_until_idle()
    tab.page.wait_for_selector("#takeaway", state="visible")
    return tab.page.locator("#results tr").count() == 0 and not tab.text("#card .file").startswith("first-")


def test_what_is_dropped_while_a_study_is_read_takes_its_place(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        drop_a_long_study(tab, tmp_path)
        tab.drop(flat_picture(tmp_path, "fracture", "second.png"))
        tab.wait_for_finding("second.png")
        assert only_the_other_is_left(tab)
        assert tab.text("#card h2") == "Fracture"


def test_an_example_that_is_chosen_while_a_study_is_read_takes_its_place(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        drop_a_long_study(tab, tmp_path)
        tab.page.click("#examples button >> nth=0")
        tab.page.wait_for_function("!document.querySelector('#card .file')?.textContent.startsWith('first-')")
        assert only_the_other_is_left(tab)


def test_the_models_tab_shows_the_card_of_the_row_that_is_marked(
    chromium: Browser, contract_models: Path, tmp_path: Path
) -> None:
    base, cards = tmp_path / "fracture", tmp_path / "cards"
    for version in ("1", "2", "3"):
        publish(contract_models / "small", base / version)
        write_card(cards / version / contract.CARD_PATH)
    keep_all = tmp_path / "models.config"
    keep_all.write_text(
        f'model_config_list {{ config {{ name: "fracture" base_path: "{base}" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }\n'
    )
    with (
        serve(base, tmp_path / "server.log", f"--model_config_file={keep_all}") as server,
        page_process(tmp_path / "page.log", server=server.target, card=str(cards)) as process,
        view(chromium, process.url) as tab,
    ):
        tab.page.click("#tabs button[role=tab] >> text=Models")
        tab.page.wait_for_selector("#models-table tbody tr:nth-child(3)")
        tab.page.wait_for_selector("#models-details h2 >> text=Version 3")
        assert tab.text("#models-table tr.chosen button") == "Version 3"
        rows = "#models-table tbody button >> text=Version "
        click_while_held(tab, f"{rows}2", f"{rows}1")
        tab.page.wait_for_selector("#models-details h2 >> text=Version 1")
        assert tab.text("#models-table tr.chosen button") == "Version 1"


def test_the_list_keeps_the_last_of_two_filters(chromium: Browser, page: PageProcess, tmp_path: Path) -> None:
    with view(chromium, page.url) as tab:
        tab.page.click("#tabs button[role=tab] >> text=Worklist")
        files = [flat_picture(tmp_path, kind) for kind in ("suspicion", "clear", "fracture")]
        tab.page.set_input_files("#worklist-upload input[type=file]", [str(path) for path in files])
        tab.page.wait_for_selector("#worklist-csv")
        filters = "#worklist-table button[data-action=filter]"
        assert tab.page.locator(filters).count() > 2
        click_while_held(tab, f"{filters} >> nth=1", f"{filters} >> nth=-1")
        wanted = tab.page.get_attribute(f"{filters} >> nth=-1", "data-value")
        tab.page.wait_for_selector(f"{filters}[data-value='{wanted}'][aria-pressed=true]")
