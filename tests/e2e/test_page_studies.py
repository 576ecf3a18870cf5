"""The page on several views and archives given together: one study, its finding with the reason, what to mind."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser, expect

from export import contract
from tests.e2e.page_process import SIZES, PageProcess, flat_picture, page_process, view, write_card
from tests.model_server import ModelServer
from tests.radiograph import files
from ui.session import MOST_VIEWS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def carded(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """The page with a card of the test model: 80 of 100 with a probability from 70 % were fractured."""
    folder = tmp_path_factory.mktemp("carded")
    card = write_card(folder / "card.json", contract.CalibrationBin(0.7, 1.0, contract.Metric(0.8, 0.71, 0.87, 100)))
    with page_process(folder / "page.log", server=model_server.target, card=str(card)) as process:
        yield process


@pytest.mark.parametrize("size", SIZES)
def test_views_and_an_archive_given_together_are_one_study(
    chromium: Browser, carded: PageProcess, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as packed:
        packed.write(flat_picture(tmp_path, "fracture"), "lateral.png")
        packed.writestr("letter.txt", "Dear colleague")
        packed.writestr("__MACOSX/x", b"x")
    with view(chromium, carded.url, size) as tab:
        tab.drop(flat_picture(tmp_path, "clear"), tmp_path / "more.zip")
        tab.page.wait_for_selector("#study .card")
        said = tab.text("#study")
        assert tab.text("#study h2") == "Fracture"
        assert "more.zip/lateral.png has the strongest finding of 2 views: fracture, probability 86 %." in said
        assert "1 of 2 views shows a fracture or a suspicion of one. Not part of it: 1 file could not be read." in said
        assert "1 file was left out of the archive" in tab.text("#study [aria-label=Remarks]")
        tab.page.click("#results button >> text=lateral.png")
        tab.wait_for_finding("more.zip/lateral.png")
        assert "Of 100 such radiographs in the test set (probability from 70 %), 80 were" in tab.text("#card .meaning")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.keep(artifacts_dir, "study")


def test_files_of_different_patients_are_read_apart(
    chromium: Browser, carded: PageProcess, artifacts_dir: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / "first.dcm", tmp_path / "second.dcm"]
    for number, path in enumerate(paths):
        change = files.with_attributes(StudyInstanceUID=f"1.2.{number}", PatientID=f"P{number}", PatientName="Secret")
        path.write_bytes(files.dicom(change))
    with view(chromium, carded.url) as tab:
        tab.drop(*paths)
        tab.page.wait_for_selector("[aria-label='Study 2 of 2']")
        assert "The files come from 2 different patients." in tab.text("#study [aria-label=Remarks]")
        assert "first.dcm" in tab.text("[aria-label='Study 1 of 2'] .file")
        assert "Secret" not in tab.page.content()
        tab.keep(artifacts_dir, "patients")
        tab.drop(flat_picture(tmp_path, "clear"))
        tab.wait_for_finding("clear.png")
        tab.wait_until_idle()
        assert tab.page.query_selector("#study .card") is None


def test_more_views_than_a_session_keeps_are_named_and_not_read(
    chromium: Browser, carded: PageProcess, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        for number in range(MOST_VIEWS + 3):
            packed.writestr(f"{number:03}.png", b"no picture")
    with view(chromium, carded.url) as tab:
        tab.drop(tmp_path / "many.zip")
        tab.page.wait_for_selector("#study [aria-label=Remarks]", timeout=120_000)
        assert f"Only the first {MOST_VIEWS} of {MOST_VIEWS + 3} views were read." in tab.text("#study")


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_several_frames_is_asked_about_and_another_frame_can_follow(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    (tmp_path / "frames.dcm").write_bytes(files.multi_frame(12))
    with view(chromium, page.url, size) as tab:
        tab.drop(tmp_path / "frames.dcm")
        expect(tab.page.locator("#frames")).to_contain_text(
            "This file holds 12 frames. Which one is to be read?", timeout=20_000
        )
        assert tab.text("#card h2") == "Not read"
        tab.keep(artifacts_dir, "frames")
        for number in (9, 2):
            tab.page.get_by_label("number input for Frame").fill(str(number))
            expect(tab.page.get_by_alt_text(f"Frame {number} of 12")).to_be_visible(timeout=20_000)
            tab.page.get_by_role("button", name="Read this frame").click()
            tab.wait_for_finding(f"frames.dcm, frame {number}")
            expect(tab.page.locator("#frames")).to_contain_text(
                f"Frame {number} was read. Another one?", timeout=20_000
            )
        assert tab.page.is_visible("img.radiograph")
        tab.keep(artifacts_dir, "frame-read")
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        tab.wait_until_idle()
        expect(tab.page.locator("#frames")).to_be_hidden()


def test_a_program_is_asked_for_the_frame_and_gets_what_it_names(page: PageProcess, tmp_path: Path) -> None:
    (tmp_path / "frames.dcm").write_bytes(files.multi_frame(3))
    client = Client(page.url, verbose=False)
    given = [handle_file(str(tmp_path / "frames.dcm"))]
    (asked,) = client.predict(given, api_name="/read")
    assert (asked["code"], asked["frames"]) == ("frame_needed", 3)
    (read,) = client.predict(given, frame=2, api_name="/read")
    assert (read["file"], "finding" in read) == ("frames.dcm, frame 2", True)
    (report,) = client.predict(given, kind="json", frame=2, api_name="/report")
    (told,) = json.loads(Path(report).read_text())["views"]
    assert told["file"] == "frames.dcm, frame 2"
    client.close()
