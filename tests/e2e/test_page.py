"""The page in a real browser: every state of it, on a desk and in a hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser

from tests.contract_model import LEVELS
from tests.e2e.page_process import SIZES, PageProcess, bounding_box, flat_picture, view

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", SIZES)
def test_the_empty_page_says_what_it_is_and_which_model_answers(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, size: str
) -> None:
    with view(chromium, page.url, size) as tab:
        tab.page.wait_for_selector("#server .up")
        assert "Research software. Not a medical device." in tab.text("#head")
        assert "Model fracture, version 1, ready" in tab.text("#server")
        assert "No radiograph yet" in tab.text("#viewer")
        tab.keep(artifacts_dir, "empty")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kind", "words", "probability", "outline"),
    [
        ("clear", "No fracture seen", "7.8 %", None),
        ("suspicion", "Suspicion of fracture", "49 %", "0.1px, 7px"),
        ("fracture", "Fracture", "86 %", "none"),
    ],
)
def test_a_finding_is_shown_in_words_numbers_and_outlines(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path,
    size: str, kind: str, words: str, probability: str, outline: str | None,
) -> None:  # fmt: skip
    with view(chromium, page.url, size) as tab:
        tab.drop(flat_picture(tmp_path, kind))
        tab.wait_for_finding(f"{kind}.png")
        tab.wait_until_idle()
        card = tab.text("#card")
        assert tab.text("#card h2") == words
        assert tab.text("#card .value") == f"{probability} probability"
        assert "suspicion from 30 % fracture from 70 %" in card
        assert "fracture, version 1" in card
        assert tab.page.is_visible("img.heat")
        assert tab.page.is_visible("img.copy")
        dashes = tab.page.eval_on_selector_all(
            ".outline .line", "all => all.map(e => getComputedStyle(e).strokeDasharray)"
        )
        assert dashes == ([] if outline is None else [outline])
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.keep(artifacts_dir, kind)


def test_the_heat_map_lies_on_the_radiograph(chromium: Browser, page: PageProcess, tmp_path: Path) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        assert bounding_box(tab, "img.heat") == bounding_box(tab, "img.radiograph")
        stack, line = bounding_box(tab, ".marked .stack"), bounding_box(tab, ".outline .line")
        centre = (line["x"] + line["width"] / 2 - stack["x"], line["y"] + line["height"] / 2 - stack["y"])
        assert centre[0] / stack["width"] == pytest.approx(0.35, abs=0.05)
        assert centre[1] / stack["height"] == pytest.approx(0.60, abs=0.05)


def test_outside_the_scope_no_finding_is_given(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "novel"))
        tab.wait_for_finding("novel.png")
        card = tab.text("#card")
        assert tab.text("#card h2") == "No finding given"
        assert "does not look like the limb radiographs" in card
        assert "probability" not in card
        assert tab.page.query_selector("img.heat") is None
        assert tab.page.locator(".tools legend:visible").all_inner_texts() == ["Zoom", "Window", "Drag"]
        tab.keep(artifacts_dir, "novel")


@pytest.mark.parametrize("size", SIZES)
def test_several_files_each_get_a_result_and_one_bad_file_stops_none(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear colleague")
    (tmp_path / "empty.jpg").touch()
    files = [flat_picture(tmp_path, "fracture"), letter, tmp_path / "empty.jpg", flat_picture(tmp_path, "clear")]
    with view(chromium, page.url, size) as tab:
        tab.drop(*files)
        tab.page.wait_for_selector("#results tbody tr:nth-child(4)")
        tab.wait_until_idle()
        rows = tab.page.eval_on_selector_all(
            "#results tbody tr", "all => all.map(e => e.innerText.split(/\\s*\\t\\s*/))"
        )
        assert [row[:2] for row in rows] == [
            ["fracture.png", "Fracture"],
            ["letter.jpg", "Not read"],
            ["empty.jpg", "Not read"],
            ["clear.png", "No fracture seen"],
        ]
        tab.page.focus("#results button[data-index='3']")
        tab.page.keyboard.press("Enter")
        tab.wait_for_finding("clear.png")
        assert tab.page.get_attribute("#results button[data-index='3']", "aria-current") == "true"
        tab.page.click("#results button[data-index='1']")
        tab.wait_for_finding("letter.jpg")
        assert "text file" in tab.text("#card")
        tab.keep(artifacts_dir, "several")


def test_a_synthetic_example_is_read_like_any_file(chromium: Browser, page: PageProcess, artifacts_dir: Path) -> None:
    with view(chromium, page.url) as tab:
        assert "Synthetic examples" in tab.text("#examples")
        tab.page.click("#examples button >> nth=2")
        tab.wait_for_finding("synthetic-12bit.dcm")
        assert tab.page.is_visible("img.radiograph")
        tab.keep(artifacts_dir, "example")


def test_layers_and_original_can_be_turned_off_and_stay_off(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        for name, part in (("heat", "img.heat"), ("outline", ".outline"), ("beside", ".original")):
            assert tab.page.is_visible(part)
            tab.page.uncheck(f"#viewer input[name={name}]")
            assert not tab.page.is_visible(part)
        tab.drop(flat_picture(tmp_path, "suspicion"))
        tab.wait_for_finding("suspicion.png")
        assert not tab.page.is_visible("img.heat")
        assert tab.page.is_visible("img.radiograph")


def test_reading_is_announced_while_it_lasts(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "slow"))
        tab.page.wait_for_selector("#progress .progress")
        assert "Reading slow.png" in tab.text("#progress")
        tab.keep(artifacts_dir, "loading")
        tab.wait_for_finding("slow.png")
        tab.wait_until_idle()


def test_the_name_of_a_file_is_never_markup(chromium: Browser, page: PageProcess, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>${alert(2)}{{value}}`.png"
    with view(chromium, page.url) as tab:
        tab.page.on("dialog", lambda dialog: tab.errors.append(dialog.message))
        tab.drop(flat_picture(tmp_path, "fracture", name), flat_picture(tmp_path, "clear", "plain.png"))
        tab.page.wait_for_selector("#results tbody tr:nth-child(2)")
        tab.wait_until_idle()
        assert tab.page.query_selector("#card img, #results img") is None
        assert tab.page.eval_on_selector_all("#card .file, #results button", "all => all.length") == 3


def test_everything_can_be_reached_by_keyboard(chromium: Browser, page: PageProcess) -> None:
    with view(chromium, page.url) as tab:
        reached = []
        for _ in range(12):
            tab.page.keyboard.press("Tab")
            reached.append(
                tab.page.evaluate(
                    "(e => e.getAttribute('aria-label') || e.innerText.trim() || e.type)(document.activeElement)"
                )
            )
        for wanted in ("Fractured", "Intact", "12-bit DICOM"):
            assert wanted in reached
        assert any("upload" in name.lower() for name in reached)


def test_a_program_gets_the_results_of_the_command_line(page: PageProcess, tmp_path: Path) -> None:
    client = Client(page.url, verbose=False)
    files = [handle_file(str(flat_picture(tmp_path, kind))) for kind in ("fracture", "novel")]
    fracture, novel = client.predict(files, api_name="/read")
    assert fracture["finding"] == "fracture"
    assert fracture["probability"] == pytest.approx(LEVELS["fracture"] / 255, abs=1e-4)
    assert (fracture["outside_scope"], novel["outside_scope"]) == (False, True)
    client.close()
