"""The tab of the models: versions as they come, cards with plots, and the choice of a version where it is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser

from export import contract
from tests.e2e.page_process import SIZES, PageProcess, View, flat_picture, page_process, view, write_card
from tests.e2e.test_page_versions import FLAGS, LABELS, labelled
from tests.model_server import ModelServer, publish, serve

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Growing:
    """A server, its page at ``url``, and an exported model to publish as the next version."""

    server: ModelServer
    url: str
    exported: Path


def bins() -> tuple[contract.CalibrationBin, ...]:
    rows = ((0.0, 0.3, 0.05, 0.02, 0.1, 200), (0.3, 0.7, 0.4, 0.3, 0.5, 90), (0.7, 1.0, 0.85, 0.75, 0.92, 80))
    return tuple(contract.CalibrationBin(low, high, contract.Metric(v, a, b, n)) for low, high, v, a, b, n in rows)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cards: version 1 without counts by probability, version 2 with them."""
    folder = tmp_path_factory.mktemp("cards")
    write_card(folder / "1" / contract.CARD_PATH)
    write_card(folder / "2" / contract.CARD_PATH, *bins())
    return folder


@pytest.fixture(scope="module")
def growing(contract_models: Path, cards: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    """A page where versions may be chosen, on a server that takes any version that is published."""
    folder = tmp_path_factory.mktemp("growing")
    base, config = folder / "fracture", folder / "models.config"
    publish(contract_models / "small", base / "1")
    config.write_text(labelled(base))
    with (
        serve(base, folder / "server.log", f"--model_config_file={config}", *FLAGS) as server,
        page_process(folder / "page.log", server=server.target, card=str(cards), choose_version=True) as process,
    ):
        yield Growing(server, process.url, contract_models / "small")


def open_models(tab: View) -> None:
    tab.page.click("#tabs button[role=tab] >> text=Models")
    tab.page.wait_for_selector("#models-table tbody tr")


def test_a_version_that_is_published_appears_by_itself_and_can_be_chosen(
    chromium: Browser, growing: Growing, artifacts_dir: Path, tmp_path: Path
) -> None:
    with view(chromium, growing.url) as tab:
        open_models(tab)
        assert tab.page.locator("#models-table tbody tr").count() == 1
        assert "Version 1 ready stable" in tab.text("#models-table tbody")
        publish(growing.exported, growing.server.base / str(LABELS["canary"]))
        tab.page.wait_for_selector("#models-table >> text=Version 2")
        tab.page.wait_for_selector("#models-table tr:has-text('Version 2'):has-text('ready')")
        assert "canary" in tab.text("#models-table tbody")
        assert "Model fracture, version 1, ready" in tab.text("#server")
        tab.page.click("#models-choice label >> text=Version 2 (canary)")
        tab.page.wait_for_selector("#server >> text=version 2, your choice, ready")
        tab.keep(artifacts_dir, "models-chosen")
        tab.page.click("#tabs button[role=tab] >> text=Reader")
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        assert "fracture, version 2" in tab.text("#card .facts")


@pytest.mark.parametrize("size", SIZES)
def test_a_card_is_shown_with_thresholds_figures_and_plots(
    chromium: Browser, growing: Growing, artifacts_dir: Path, size: str
) -> None:
    if not (growing.server.base / "2").exists():
        publish(growing.exported, growing.server.base / "2")
    with view(chromium, growing.url, size) as tab:
        open_models(tab)
        tab.page.click("#models-table button >> text=Version 1")
        tab.page.wait_for_selector("#models-details h2 >> text=Version 1")
        assert "no reliability plot" in tab.text("#models-details")
        tab.page.focus("#models-table button >> text=Version 2")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("#models-details h2 >> text=Version 2")
        # the table was drawn anew since, and the keyboard is where it was
        tab.page.wait_for_function("document.activeElement.matches('#models-table .chosen button')")
        said = tab.text("#models-details")
        assert "Suspicion from 30 %" in said
        assert "ROC AUC" in said
        labels = tab.page.eval_on_selector_all("#models-details svg", "all => all.map(e => e.ariaLabel)")
        assert [label.split(".")[0] for label in labels] == [
            "Stated probability and share of fractured radiographs in the test set",
            "Sensitivity and false alarms in the test set",
        ]
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.keep(artifacts_dir, "models")


def test_a_program_gets_versions_and_cards_and_may_name_a_version(growing: Growing, tmp_path: Path) -> None:
    if not (growing.server.base / "2").exists():
        publish(growing.exported, growing.server.base / "2")
    client = Client(growing.url, verbose=False)
    told = client.predict(api_name="/models")
    first = next(version for version in told["versions"] if version["number"] == 1)
    assert (first["state"], first["labels"], first["card"]["input_size"]) == ("ready", ["stable"], 448)
    files = [handle_file(str(flat_picture(tmp_path, "fracture")))]
    assert [client.predict(files, version, api_name="/read")[0]["version"] for version in (0, 2)] == [1, 2]
    client.close()


def test_nobody_chooses_where_the_operator_does_not_allow_it(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    client = Client(page.url, verbose=False)
    (result,) = client.predict([handle_file(str(flat_picture(tmp_path, "clear")))], 99, api_name="/read")
    assert result["version"] == 1
    client.close()
    with view(chromium, page.url) as tab:
        open_models(tab)
        assert not tab.page.is_visible("#models-choice")
        assert "--card" in tab.text("#models-details")


def test_a_server_that_is_down_is_told_and_the_tab_recovers_by_itself(
    chromium: Browser, contract_models: Path, artifacts_dir: Path, tmp_path: Path
) -> None:
    publish(contract_models / "small", tmp_path / "fracture" / "1")
    with serve(tmp_path / "fracture", tmp_path / "server.log") as server:
        port = server.grpc_port
    with page_process(tmp_path / "page.log", server=server.target) as process, view(chromium, process.url) as tab:
        tab.page.click("#tabs button[role=tab] >> text=Models")
        tab.page.wait_for_selector("#models-table .fault")
        assert f"No model server answers at 127.0.0.1:{port}" in tab.text("#models-table")
        tab.keep(artifacts_dir, "models-no-server")
        with serve(tmp_path / "fracture", tmp_path / "again.log", grpc_port=port):
            tab.page.wait_for_selector("#models-table tbody tr")
