"""One reader among ten others: the place in the queue is told, and the page goes on answering its own user."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser

from tests.e2e.page_process import PageProcess, flat_picture, view

pytestmark = pytest.mark.browser

OTHERS = 10
NOTE_QUEUE = """
  const place = /queue: (\\d+\\/\\d+)/.exec(document.querySelector("#progress").innerText);
  if (place) window.told.add(place[1]);
"""


def test_who_comes_after_ten_others_is_told_the_place_in_the_queue_and_is_read(
    chromium: Browser, page: PageProcess, artifacts_dir: Path, tmp_path: Path
) -> None:
    slow = flat_picture(tmp_path, "slow")
    client = Client(page.url, verbose=False)
    with view(chromium, page.url) as tab:
        tab.note("new Set()", NOTE_QUEUE)
        others = [client.submit([handle_file(str(slow))], api_name="/read") for _ in range(OTHERS)]
        while not any(job.status().rank for job in others):  # until some of them wait
            time.sleep(0.05)
        tab.drop(flat_picture(tmp_path, "fracture"))
        tab.page.wait_for_function("() => window.told.size")
        tab.keep(artifacts_dir, "queue")
        asked = time.monotonic()
        tab.page.click("#tabs button[role=tab] >> text=Worklist")
        tab.page.wait_for_selector("#worklist-upload")
        tab.page.click("#tabs button[role=tab] >> text=Reader")
        assert time.monotonic() - asked < 2
        assert not all(job.done() for job in others)
        tab.wait_for_finding("fracture.png")
        tab.wait_until_idle()
        places = [int(place.split("/")[0]) for place in tab.page.evaluate("[...window.told]")]
        assert places == sorted(places, reverse=True)
    assert [job.result(timeout=60)[0]["file"] for job in others] == ["slow.png"] * OTHERS
    client.close()
