"""The worklist in a real browser: sixty files of which six are bad, sorted, filtered, opened, saved, cancelled."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser

from radiograph.phantom import phantom
from tests.conftest import Stack
from tests.e2e.page_process import SIZES, PageProcess, View, flat_picture, page_process, view
from tests.model_server import publish, serve
from ui.worklist import COLUMNS

pytestmark = pytest.mark.browser

FILES, BAD = 60, 6


def bad_files(folder: Path) -> list[Path]:
    """Write six files that nobody can read: text, nothing, cut short, too small, a folder's list, another archive."""
    whole = flat_picture(folder, "clear", "bad-source.png").read_bytes()
    contents = [b"Dear colleague", b"", whole[: len(whole) // 2], b"\xff\xd8\xff\xe0", b"DICM", b"%PDF-1.4 letter"]
    for number, content in enumerate(contents):
        (folder / f"bad-{number}.jpg").write_bytes(content)
    return [folder / f"bad-{number}.jpg" for number in range(len(contents))]


@pytest.fixture(scope="module")
def drawn_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Fifty-four phantoms, the last six of them in an archive, and six bad files among them."""
    folder = tmp_path_factory.mktemp("drawn")
    paths = [folder / f"drawn-{number:02}.png" for number in range(FILES - BAD)]
    for number, path in enumerate(paths):
        phantom(seed=number, fractured=number % 3 == 0, size=(300, 400)).write_png(path)
    with zipfile.ZipFile(folder / "more.zip", "w") as packed:
        for path in paths[-6:]:
            packed.write(path, path.name)
    return [*paths[:20], *bad_files(folder), *paths[20:-6], folder / "more.zip"]


@pytest.fixture(scope="module")
def real_files(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Fifty-two radiographs of FracAtlas, two DICOM files, six bad ones."""
    folder = tmp_path_factory.mktemp("real")
    images = sorted((shared_data / "fracatlas" / "images").iterdir())[:: 3900 // (FILES - BAD - 2)]
    dicom = [shared_data / "dicom" / name for name in ("RG3_UNC.dcm", "RG1_J2KI.dcm")]
    paths = [*images[: FILES - BAD - 2], *dicom]
    for number, bad in enumerate(bad_files(folder)):
        paths.insert(9 * number, bad)
    return paths


# What the list told while it ran is noted as it is told: phantoms are read faster than a browser can be asked for it.
NOTE_PROGRESS = """
  const progress = document.querySelector("#worklist-progress");
  window.told.bar ||= Boolean(progress?.querySelector("[role=progressbar]"));
  window.told.left ||= /left/.test(progress?.innerText ?? "");
"""


def drop(tab: View, *files: Path) -> None:
    tab.page.click("#tabs button[role=tab] >> text=Worklist")
    tab.note("{bar: false, left: false}", NOTE_PROGRESS)
    tab.page.set_input_files("#worklist-upload input[type=file]", files)


def finished(tab: View, seconds: float = 180) -> str:
    tab.page.wait_for_selector("#worklist-summary .list-summary", timeout=1000 * seconds)
    return tab.text("#worklist-summary")


def read_on(tab: View, summary: str) -> None:
    """Press Read on, and return once the list says ``summary``."""
    tab.page.click("#worklist-proceed")
    wait_for_summary(tab, summary)


def wait_for_summary(tab: View, summary: str) -> None:
    """Return once the list has ended and says ``summary``."""
    tab.page.wait_for_function(
        "text => document.querySelector('#worklist-summary .list-summary')?.innerText.trim() === text",
        arg=summary,
        timeout=180_000,
    )


def rows(tab: View) -> list[list[str]]:
    """Return file, finding and probability of each row that is shown."""
    told: list[list[str]] = tab.page.eval_on_selector_all(
        "#worklist-table tbody tr",
        "all => all.map(e => [e.querySelector('button').innerText, "
        "e.querySelector('.with-icon').innerText.trim(), e.querySelector('.number').innerText])",
    )
    return told


def figures(told: list[list[str]]) -> list[float]:
    """Return the probabilities of rows as numbers, without those that have none."""
    return [
        float(row[2].removeprefix("under ").removeprefix("over ").removesuffix(" %")) for row in told if row[2] != "–"
    ]


def saved(tab: View) -> list[dict[str, str]]:
    with tab.page.expect_download() as download:
        tab.page.click("#worklist-csv")
    assert download.value.suggested_filename == "worklist.csv"
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))


@pytest.mark.parametrize("size", SIZES)
def test_sixty_files_are_read_sorted_filtered_and_opened(
    chromium: Browser, page: PageProcess, drawn_files: list[Path], artifacts_dir: Path, size: str
) -> None:
    with view(chromium, page.url, size) as tab:
        drop(tab, *drawn_files)
        tab.page.wait_for_selector("#worklist-table tbody tr")
        tab.keep(artifacts_dir, "worklist-running")
        assert f"{FILES} files in the list." in finished(tab)
        assert tab.page.evaluate("window.told.bar")
        tab.keep(artifacts_dir, "worklist")
        shown = rows(tab)
        assert len(shown) == 50
        assert figures(shown) == sorted(figures(shown), reverse=True)
        assert tab.page.get_attribute("th[aria-sort]", "aria-sort") == "descending"
        assert tab.page.locator("#worklist-table .thumb img").count() >= 50 - BAD
        tab.page.click("#worklist-table .pager >> text=Next")
        tab.page.wait_for_selector("text=Page 2 of 2")
        assert len(rows(tab)) == FILES - 50
        assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.page.click("#worklist-table .chips >> text=Not read")
        tab.page.wait_for_function("n => document.querySelectorAll('#worklist-table tbody tr').length === n", arg=BAD)
        assert {row[0] for row in rows(tab)} == {f"bad-{number}.jpg" for number in range(BAD)}
        assert all(tab.page.locator("#worklist-table .why").all_inner_texts())
        tab.keep(artifacts_dir, "worklist-bad")
        tab.page.click("#worklist-table .chips >> text=All")
        tab.page.wait_for_function("() => document.querySelectorAll('#worklist-table tbody tr').length === 50")
        tab.page.focus("#worklist-table th button >> nth=0")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("th[aria-sort=ascending]")
        names = [row[0] for row in rows(tab)]
        assert names == sorted(names)
        tab.page.click("#worklist-table button >> text=drawn-07.png")
        tab.wait_for_finding("drawn-07.png")
        assert tab.page.is_visible("img.radiograph")
        tab.wait_until_idle()
        tab.page.click("#tabs button[role=tab] >> text=Worklist")
        assert [row[0] for row in rows(tab)] == names


def test_sixty_real_files_with_the_shipped_model(
    chromium: Browser, stack: Stack, real_files: list[Path], artifacts_dir: Path
) -> None:
    with view(chromium, stack.page) as tab:
        drop(tab, *real_files)
        assert f"{FILES} files in the list." in finished(tab)
        assert tab.page.evaluate("window.told") == {"bar": True, "left": True}
        tab.keep(artifacts_dir, "worklist-real")
        told = saved(tab)
        assert [row["file"] for row in told] == [path.name for path in real_files]
        assert {row["file"] for row in told if row["error"]} == {f"bad-{number}.jpg" for number in range(BAD)}
        assert all(float(row["probability"]) <= 1 for row in told if row["probability"])
        tab.page.click("#worklist-table tbody button >> nth=0")
        top = max((row for row in told if row["probability"]), key=lambda row: float(row["probability"]))
        tab.wait_for_finding(top["file"])
        tab.wait_until_idle()
        tab.keep(artifacts_dir, "worklist-opened")


def test_a_list_is_cancelled_read_on_extended_and_cleared(
    chromium: Browser, page: PageProcess, drawn_files: list[Path], artifacts_dir: Path, tmp_path: Path
) -> None:
    slow = [flat_picture(tmp_path, "slow", f"slow-{number}.png") for number in range(8)]
    with view(chromium, page.url) as tab:
        drop(tab, *drawn_files[:4], *slow, *drawn_files[4:8])
        tab.page.wait_for_selector("#worklist-table tbody tr")
        tab.page.click("#worklist-cancel")
        said = finished(tab)
        assert "Cancelled." in said
        assert "not read yet" in said
        tab.keep(artifacts_dir, "worklist-cancelled")
        tab.keep_narrow(artifacts_dir, "worklist-cancelled")
        read_on(tab, "16 files in the list.")
        tab.page.set_input_files("#worklist-upload input[type=file]", [flat_picture(tmp_path, "fracture")])
        tab.page.wait_for_selector("#worklist-table button >> text=fracture.png")
        wait_for_summary(tab, "17 files in the list.")
        tab.page.click("#worklist-clear")
        tab.page.wait_for_selector("#worklist-table .list-empty")
        tab.keep(artifacts_dir, "worklist-empty")


def test_a_server_that_goes_away_stops_the_list_which_is_read_on_when_it_is_back(
    chromium: Browser, contract_models: Path, drawn_files: list[Path], artifacts_dir: Path, tmp_path: Path
) -> None:
    publish(contract_models / "small", tmp_path / "fracture" / "1")
    with serve(tmp_path / "fracture", tmp_path / "server.log") as server:
        port = server.grpc_port
    with page_process(tmp_path / "page.log", server=server.target) as process, view(chromium, process.url) as tab:
        drop(tab, *drawn_files[:12])
        said = finished(tab)
        assert "The model server does not answer, so the other files wait." in said
        tab.keep(artifacts_dir, "worklist-no-server")
        tab.keep_narrow(artifacts_dir, "worklist-no-server")
        with serve(tmp_path / "fracture", tmp_path / "again.log", grpc_port=port):
            read_on(tab, "12 files in the list.")
            assert "Not read" not in tab.text("#worklist-table .chips")
            assert len(saved(tab)) == 12


def test_a_program_gets_progress_then_results_and_csv(page: PageProcess, drawn_files: list[Path]) -> None:
    client = Client(page.url, verbose=False)
    job = client.submit([handle_file(str(path)) for path in drawn_files[:24]], api_name="/worklist")
    *progress, last = list(job)
    assert progress[-1]["total"] == 24
    assert [entry["file"] for entry in last["results"]] == [path.name for path in drawn_files[:24]]
    assert [entry for entry in last["results"] if "error" in entry]
    assert last["csv"].splitlines()[0] == ",".join(COLUMNS)
    client.close()
