"""The viewer in a real browser: zoom, move, window, the original's own pixels, views side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests.contract_model import LEVELS
from tests.e2e.page_process import SIZES, PageProcess, View, bounding_box, flat_picture, page_process, view
from tests.model_server import ModelServer
from tests.radiograph import files

pytestmark = pytest.mark.browser

FRAME = ".marked .frame"
Box = dict[str, float]


def middle(tab: View) -> tuple[float, float]:
    """Return the middle of the marked picture's frame (CSS px)."""
    box = bounding_box(tab, FRAME)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixel(tab: View) -> int:
    """Return the grey value that the middle of the drawn picture has on the screen."""
    level: int = tab.page.wait_for_function(
        "(c => !c.hidden && c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0] + 1)"
        "(document.querySelector('.marked canvas'))"
    ).json_value()
    return level - 1


def drawn_size(tab: View) -> tuple[int, int]:
    """Return the size of the pixels that are drawn, once they are."""
    tab.page.wait_for_selector(".marked canvas:not([hidden])", timeout=20_000)
    width, height = tab.page.eval_on_selector(".marked canvas", "c => [c.width, c.height]")
    return width, height


def slide(tab: View, name: str, value: int) -> None:
    """Set a slider as a hand would."""
    tab.page.fill(f"#viewer input[name={name}]", str(value))


def wheel(tab: View) -> None:
    tab.page.mouse.move(*middle(tab))
    tab.page.mouse.wheel(0, -300)


def press_plus(tab: View) -> None:
    tab.page.focus(FRAME)
    tab.page.keyboard.press("+")


@pytest.mark.parametrize(
    "zoom", [wheel, press_plus, lambda tab: tab.page.get_by_role("button", name="Zoom in").click()]
)
def test_the_picture_is_zoomed_by_wheel_key_and_button_with_its_layers_and_the_original(
    chromium: Browser, page: PageProcess, tmp_path: Path, zoom: Callable[[View], None]
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        before = bounding_box(tab, "img.radiograph")
        zoom(tab)
        after = bounding_box(tab, "img.radiograph")
        assert after["width"] > 1.1 * before["width"]
        assert after["width"] / after["height"] == pytest.approx(before["width"] / before["height"], rel=0.01)
        assert bounding_box(tab, "img.heat") == after
        assert bounding_box(tab, "img.copy")["width"] == pytest.approx(after["width"], abs=0.5)
        tab.page.get_by_role("button", name="Fit to the window").click()
        assert bounding_box(tab, "img.radiograph")["width"] == pytest.approx(before["width"], abs=0.5)


def test_the_point_under_the_pointer_stays_and_dragging_moves_the_picture_with_the_hand(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        x, y = middle(tab)
        tab.page.mouse.move(x, y)
        for _ in range(5):
            tab.page.mouse.wheel(0, -120)
        large = bounding_box(tab, "img.radiograph")
        assert large["x"] + large["width"] / 2 == pytest.approx(x, abs=2)
        tab.page.mouse.down()
        tab.page.mouse.move(x + 40, y + 25, steps=4)
        tab.page.mouse.up()
        moved = bounding_box(tab, "img.radiograph")
        assert (moved["x"] - large["x"], moved["y"] - large["y"]) == pytest.approx((40, 25), abs=1)
        tab.page.keyboard.press("ArrowRight")
        assert bounding_box(tab, "img.radiograph")["x"] < moved["x"]
        for _ in range(60):
            tab.page.keyboard.press("ArrowLeft")
        frame = bounding_box(tab, FRAME)
        assert bounding_box(tab, "img.radiograph")["x"] == pytest.approx(frame["x"], abs=1)


@pytest.mark.parametrize(
    ("brightness", "contrast", "invert", "expected"),
    [(20, 0, False, 176), (-20, 0, False, 74), (0, 50, False, 122), (0, -50, False, 126), (20, 50, False, 224),
     (0, 0, True, 130), (-20, 0, True, 181)],
)  # fmt: skip
def test_brightness_contrast_and_inversion_set_the_grey_values_exactly(
    chromium: Browser, page: PageProcess, tmp_path: Path, brightness: int, contrast: int, invert: bool, expected: int
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "suspicion"))
        tab.wait_for_finding("suspicion.png")
        slide(tab, "brightness", brightness)
        slide(tab, "contrast", contrast)
        tab.page.set_checked("#viewer input[name=invert]", invert)
        expect(tab.page.locator("input[name=brightness] + .now")).to_have_text(str(brightness))
        assert LEVELS["suspicion"] == 125
        tab.page.wait_for_timeout(100)
        assert pixel(tab) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("with_shift", [True, False])
def test_dragging_sets_the_window_with_shift_or_as_the_chosen_tool_and_reset_takes_all_back(
    chromium: Browser, page: PageProcess, tmp_path: Path, with_shift: bool
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "suspicion"))
        tab.wait_for_finding("suspicion.png")
        x, y = middle(tab)
        if with_shift:
            tab.page.keyboard.down("Shift")
        else:
            tab.page.check("#viewer input[value=window]")
        tab.page.mouse.move(x, y)
        tab.page.mouse.down()
        tab.page.mouse.move(x + 20, y - 40, steps=4)
        tab.page.mouse.up()
        tab.page.keyboard.up("Shift")
        values = [tab.text(f"input[name={name}] + .now") for name in ("brightness", "contrast")]
        assert values == ["20", "10"]
        assert pixel(tab) > 170
        tab.page.focus(FRAME)
        tab.page.keyboard.press("i")
        assert tab.page.is_checked("#viewer input[name=invert]")
        tab.page.keyboard.press("r")
        assert not tab.page.is_checked("#viewer input[name=invert]")
        assert tab.text("input[name=brightness] + .now") == "0"
        expect(tab.page.locator(".marked canvas")).to_be_hidden()


@pytest.mark.parametrize("size", SIZES)
def test_zooming_in_brings_every_pixel_of_the_original(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (2500, 8))).save(tmp_path / "large.png")
    with view(chromium, page.url, size) as tab:
        tab.drop(tmp_path / "large.png")
        tab.wait_for_finding("large.png")
        assert tab.page.eval_on_selector("img.radiograph", "e => e.naturalWidth") == 1280
        tab.page.get_by_role("button", name="1:1").click()
        assert drawn_size(tab) == (2000, 2500)
        assert "Zoom 100 %" in tab.text(".marked .zoom")
        row = tab.page.eval_on_selector(
            ".marked canvas",
            "c => [...c.getContext('2d').getImageData(500, 9, 250, 1).data].filter((_, i) => i % 4 == 0)",
        )
        assert row == list(range(250))
        expect(tab.page.locator("#viewer .told")).to_have_text("")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.keep(artifacts_dir, "pixels")


def test_pixels_that_come_late_never_fall_on_another_picture(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        Image.new("L", (2000, 2500), 60).save(tmp_path / "large.png")
        tab.drop(tmp_path / "large.png")
        tab.wait_for_finding("large.png")
        tab.page.evaluate("document.addEventListener('osteo-pixels', event => { window.late = event.detail; })")
        tab.page.get_by_role("button", name="1:1").click()
        assert drawn_size(tab) == (2000, 2500)
        tab.drop(flat_picture(tmp_path, "suspicion"))
        tab.wait_for_finding("suspicion.png")
        tab.page.evaluate("document.dispatchEvent(new CustomEvent('osteo-pixels', { detail: window.late }))")
        tab.page.wait_for_timeout(500)
        tab.page.check("#viewer input[name=invert]")
        assert pixel(tab) == 255 - LEVELS["suspicion"]
        assert drawn_size(tab) == (400, 400)


@pytest.mark.parametrize(
    ("broken", "breaks"),
    [("**/gradio_api/queue/join*", lambda route: None), ("**/pixels.bin", lambda route: route.abort())],
    ids=["no answer", "no file"],
)
def test_pixels_that_do_not_come_are_fetched_again_when_asked(
    chromium: Browser,
    page: PageProcess,
    artifacts_dir: Path,
    tmp_path: Path,
    broken: str,
    breaks: Callable[[Route], None],
) -> None:
    Image.new("L", (2000, 2500), 60).save(tmp_path / "large.png")
    with view(chromium, page.url) as tab:
        tab.drop(tmp_path / "large.png")
        tab.wait_for_finding("large.png")
        tab.wait_until_idle()
        # the viewer's patience, cut short
        tab.page.evaluate(
            "(real => { setTimeout = (act, ms, ...rest) => real(act, ms === 20000 ? 2000 : ms, ...rest); })(setTimeout)"
        )
        breaking = [True]  # unrouting would let what is held back through, and its late answer takes the button away
        tab.page.route(broken, lambda route: breaks(route) if breaking else route.continue_())
        tab.page.get_by_role("button", name="1:1").click()
        told = tab.page.locator("#viewer .told")
        expect(told).to_contain_text("could not be fetched", timeout=20_000)
        tab.keep(artifacts_dir, "pixels-failed")
        breaking.clear()
        tab.page.get_by_role("button", name="Fetch again").click()
        assert drawn_size(tab) == (2000, 2500)
        expect(told).to_have_text("")
        expect(tab.page.get_by_role("button", name="Fetch again")).to_be_hidden()
        assert all("ERR_FAILED" in error for error in tab.errors)  # the browser's own words on what was cut off
        tab.errors.clear()


def test_a_deep_file_shows_in_another_window_what_eight_bits_had_lost(
    chromium: Browser, page: PageProcess, tmp_path: Path
) -> None:
    deep = np.full((400, 400), 1000, np.uint16)
    deep[:200] = 1400
    deep[190:210, 190:210] = 1900  # above what is shown white at first
    deep[199:201, 199:201] = 2500
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with view(chromium, page.url) as tab:
        tab.drop(tmp_path / "deep.png")
        tab.wait_for_finding("deep.png")
        slide(tab, "contrast", -100)
        slide(tab, "brightness", -100)
        tab.page.wait_for_function("document.querySelector('.told').textContent === ''")
        levels = tab.page.wait_for_function(
            "(c => { const at = x => c.getContext('2d').getImageData(x, 200, 1, 1).data[0];"
            " return at(200) > at(192) && [at(192), at(200)]; })(document.querySelector('.marked canvas'))"
        ).json_value()
        assert 0 < levels[0] < levels[1]


def test_a_region_has_its_score_on_the_picture_and_a_button_that_shows_it_large(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path
) -> None:
    with view(chromium, page.url) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.wait_for_finding("fracture.png")
        score = tab.text(".marked .score").split(" · ")[1]
        button = tab.page.get_by_role("button", name=f"Region 1, solid outline, score {score}")
        button.press("Enter")
        line, frame = bounding_box(tab, ".outline .line"), bounding_box(tab, FRAME)
        assert line["x"] + line["width"] / 2 == pytest.approx(frame["x"] + frame["width"] / 2, abs=4)
        assert max(line["width"] / frame["width"], line["height"] / frame["height"]) == pytest.approx(0.5, abs=0.03)
        tab.keep(artifacts_dir, "zoomed")
        tab.keep_narrow(artifacts_dir, "zoomed")


@pytest.mark.parametrize("size", SIZES)
def test_the_views_of_a_study_are_shown_side_by_side_each_with_its_finding(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path, size: str
) -> None:
    with view(chromium, page.url, size) as tab:
        tab.drop(flat_picture(tmp_path, "fracture"), flat_picture(tmp_path, "suspicion"))
        tab.page.get_by_role("button", name="Views of the study side by side").click()
        captions = tab.page.locator(".several figcaption")
        expect(captions).to_have_count(2)
        expect(captions.nth(0)).to_contain_text("fracture.png: Fracture, 86 %")
        expect(captions.nth(1)).to_contain_text("suspicion.png: Suspicion of fracture, 49 %")
        tops = tab.page.eval_on_selector_all(".several .frame", "all => all.map(e => e.getBoundingClientRect().top)")
        assert (tops[0] == tops[1]) == (size == "desktop")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.keep(artifacts_dir, "side-by-side")
        tab.page.click("#results button[data-index='1']")
        expect(tab.page.locator("#viewer figure")).to_have_count(2)
        expect(tab.page.locator(".original")).to_be_visible()


def test_what_has_been_deleted_meanwhile_is_said_in_a_sentence(
    chromium: Browser, model_server: ModelServer, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    path = tmp_path / "large.dcm"
    path.write_bytes(files.dicom(files.with_attributes(StudyInstanceUID="1.2.3")))
    settings = {"server": model_server.target, "keep_uploads": 4}
    with (
        page_process(tmp_path / "page.log", {"TMPDIR": str(kept)}, **settings) as process,
        view(chromium, process.url) as tab,
    ):
        tab.drop(path)
        tab.wait_for_finding("large.dcm")
        tab.wait_until_idle()
        with tab.page.expect_download(timeout=30_000):
            tab.page.get_by_role("button", name="PDF report").click()
        assert list(kept.rglob("fracture-reading-*.pdf"))
        give_up = time.monotonic() + 60
        while [*kept.rglob("large.dcm"), *kept.rglob("fracture-reading-*")] and time.monotonic() < give_up:
            time.sleep(0.2)
        assert [*kept.rglob("large.dcm"), *kept.rglob("fracture-reading-*")] == []
        slide(tab, "contrast", 10)
        expect(tab.page.locator("#viewer .told")).to_contain_text("The original is no longer held here", timeout=20_000)
        tab.page.get_by_role("button", name="DICOM answer").click()
        expect(tab.page.locator("#takeaway-said")).to_contain_text("Give the files again", timeout=20_000)
