"""The page on a server with labels: it says which version answered, and sends the canary its share of the studies."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from serving.route import LOOK_EVERY, route_text
from tests.e2e.page_process import SIZES, flat_picture, page_process, view
from tests.model_server import publish, serve

pytestmark = pytest.mark.browser

LABELS = {"stable": 1, "canary": 2}
FLAGS = ("--allow_version_labels_for_unavailable_models=true", "--max_num_load_retries=0")


def labelled(base: Path) -> str:
    """Return a config that serves every version of ``base`` under ``LABELS``."""
    labels = " ".join(f'version_labels {{ key: "{label}" value: {version} }}' for label, version in LABELS.items())
    model = f'name: "fracture" base_path: "{base}" model_platform: "tensorflow" model_version_policy {{ all {{}} }}'
    return f"model_config_list {{ config {{ {model} {labels} }} }}"


def test_the_page_says_which_version_answered_by_its_label_and_minds_the_route(
    chromium: Browser, contract_models: Path, artifacts_dir: Path, tmp_path: Path
) -> None:
    base, route, config = tmp_path / "fracture", tmp_path / "route.json", tmp_path / "models.config"
    for version in LABELS.values():
        publish(contract_models / "small", base / str(version))
    config.write_text(labelled(base))
    route.write_text(route_text(100))
    with (
        serve(base, tmp_path / "server.log", f"--model_config_file={config}", *FLAGS) as server,
        page_process(tmp_path / "page.log", server=server.target, route=str(route)) as process,
    ):
        for size in SIZES:
            with view(chromium, process.url, size) as tab:
                tab.drop(flat_picture(tmp_path, "fracture"))
                tab.wait_for_finding("fracture.png")
                assert "fracture, version 2 (canary)" in tab.text("#card .facts")
                assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
                tab.keep(artifacts_dir, "canary")
        route.write_text(route_text(0))
        time.sleep(LOOK_EVERY)
        with view(chromium, process.url) as tab:
            tab.drop(flat_picture(tmp_path, "fracture"))
            tab.wait_for_finding("fracture.png")
            assert "fracture, version 1 (stable)" in tab.text("#card .facts")
