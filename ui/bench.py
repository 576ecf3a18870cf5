"""What the page costs beside the model's run: from drop to answer in a real browser, part by part, and at its start.

The model's run is what the server itself counts (its metric ``request_latency``), so that everything else weighs on
the page: upload, decoding, preparation, the call, drawing, sending, and the browser's own work.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import numpy as np
from PIL import Image
from rich.table import Table

from radiograph import prepare, read
from radiograph.phantom import phantom
from serving.bench.peer_processes import free_port
from serving.bench.process import usage
from serving.bench.summary import ROOT, BenchError, Taken, rounded, say, summarise
from serving.client import FractureClient
from serving.launch import RunningServer, starting_server, stop
from ui.markup import show
from ui.overlay import display_picture
from ui.pictures import alone
from ui.reading import Reading
from ui.sources import Source

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AIMS: Final = {"jpeg": 250.0, "dicom": 1000.0, "start": 5000.0}
"""Milliseconds: overhead p50 of a JPEG of 2,000 × 2,500 and of a DICOM file of 16 megapixels; start to first paint."""
SIZES: Final = {"jpeg": (2000, 2500), "dicom": (4000, 4000)}
NAMES: Final = {"jpeg": "JPEG, 2,000 × 2,500", "dicom": "DICOM, 4,000 × 4,000, 12 bit"}
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
SECONDS: Final = 120.0
"""How long anything may take; long enough beside a training."""

_METRICS: Final = "/monitoring/prometheus/metrics"
_LATENCY: Final = re.compile(
    r'^:tensorflow:serving:request_latency_sum\{[^}]*API="Predict"[^}]*\} (\S+)$', re.MULTILINE
)

# From the moment the browser hands a file over until its answer is there and its picture decoded.
_WATCH: Final = """name => { window.turn = new Promise(done => {
  document.querySelector('#upload input[type=file]').addEventListener('change', () => {
    const from = performance.now();
    const look = () => {
      const picture = document.querySelector('img.radiograph');
      const there = document.querySelector('#card .file')?.textContent === name && picture?.complete;
      if (there && picture.naturalWidth) done(performance.now() - from); else requestAnimationFrame(look);
    };
    look();
  }, { capture: true, once: true });
}) }"""
_PAINTED: Final = """() => { const [paint] = performance.getEntriesByName('first-contentful-paint');
  return paint && performance.timeOrigin + paint.startTime; }"""


@dataclass
class Turns:
    """One kind of file, dropped again and again: seconds in all and of the model's run, CPU seconds of the page."""

    total: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def overhead(self) -> list[float]:
        """Seconds of everything but the model's run."""
        return [total - model for total, model in zip(self.total, self.model, strict=True)]

    def figures(self, aim: float) -> dict[str, Any]:
        """Return the figures in milliseconds, with the aim for the median overhead."""
        return {
            "overhead": summarise(self.overhead).figures(),
            "total_p50_ms": rounded(statistics.median(self.total) * 1e3),
            "model_p50_ms": rounded(statistics.median(self.model) * 1e3),
            "page_cpu_ms": rounded(statistics.mean(self.cpu) * 1e3),
            "aim_ms": aim,
        }


@dataclass
class Starts:
    """The page started again and again: seconds to the first paint, to the page being there, CPU until then."""

    paint: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def figures(self, aim: float) -> dict[str, Any]:
        """Return the figures in milliseconds, with the aim for the median time to the first paint."""
        named = {"paint": self.paint, "ready": self.ready, "page_cpu": self.cpu}
        medians = {f"{name}_p50_ms": rounded(statistics.median(taken) * 1e3) for name, taken in named.items()}
        return {"n": len(self.paint), **medians, "aim_ms": aim}


def run(base: Path, runs: int, starts: int) -> dict[str, Any]:
    """Return the figures of ``runs`` drops of each file and ``starts`` starts, on the newest version in ``base``.

    Raises BenchError without a browser.
    """
    say("Drawing two radiographs …")
    with tempfile.TemporaryDirectory(prefix="osteo-bench-") as name, _browser() as browser:
        folder = Path(name)
        files = draw(folder)
        config = folder / "monitoring.config"
        config.write_text(f'prometheus_config {{ enable: true path: "{_METRICS}" }}', encoding="ascii")
        with starting_server(base, seconds=SECONDS, flags=[f"--monitoring_config_file={config}"]) as ready:
            server = ready()
            say("Starting the page …")
            started = _starts(browser, server, starts)
            say("Dropping files …")
            turns = _turns(browser, server, files, runs)
            say("Timing the parts …")
            parts = {kind: _parts(path, server) for kind, path in files.items()}
    return {
        "files": {kind: turn.figures(AIMS[kind]) for kind, turn in turns.items()},
        "parts": {kind: {part: taken.figures() for part, taken in found.items()} for kind, found in parts.items()},
        "start": started.figures(AIMS["start"]),
    }


def draw(folder: Path) -> dict[str, Path]:
    """Write a JPEG and a DICOM file of the sizes that the aims speak of; return them by kind."""
    small = phantom(seed=1, fractured=True, size=(1000, 1250), bits=12)
    grain = np.random.default_rng(1)
    found = {}
    for kind, size in SIZES.items():
        # Enlarged rather than drawn, which would take half a minute; the grain is a detector's.
        scaled = Image.fromarray(small.pixels.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        levels = np.asarray(scaled) + grain.normal(0.0, 20.0, (size[1], size[0]))
        large = replace(small, pixels=np.clip(np.rint(levels), 0, 4095).astype(np.uint16))
        found[kind] = folder / f"{kind}.{'jpg' if kind == 'jpeg' else 'dcm'}"
        if kind == "jpeg":
            large.write_jpeg(found[kind])
        else:
            found[kind].write_bytes(large.to_dicom())
    return found


def tables(figures: dict[str, Any]) -> list[Table]:
    """Return what was measured as tables for people."""
    return [_files_table(figures["files"]), _parts_table(figures["parts"]), _start_table(figures["start"])]


@contextmanager
def _browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise BenchError("This measures in a browser: install Playwright with `pip install '.[dev]'`.") from None
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--disable-gpu", *sandbox])
        except Error:
            raise BenchError("No browser could be started. Install one: `playwright install chromium`.") from None
        yield browser
        browser.close()


@contextmanager
def _page(server: RunningServer, port: int) -> Iterator[subprocess.Popen[bytes]]:
    words = ["ui", f"--server={server.target}", f"--server-port={port}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "osteo", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        stop(process)


def _opened(tab: Page, process: subprocess.Popen[bytes], url: str) -> None:
    """Go to the page as soon as it answers."""
    give_up = time.monotonic() + SECONDS
    with httpx.Client(trust_env=False) as client:
        while True:
            try:
                client.get(f"{url}/theme.css")
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > give_up:
                    raise BenchError("The page did not start. Start it by hand to see why: osteo ui") from None
                time.sleep(0.02)
    tab.goto(url, wait_until="commit", timeout=1e3 * SECONDS)


def _starts(browser: Browser, server: RunningServer, count: int) -> Starts:
    found = Starts()
    for _ in range(count):
        port = free_port()
        tab = browser.new_page()
        began = time.time()
        with _page(server, port) as process:
            _opened(tab, process, f"http://127.0.0.1:{port}")
            painted = tab.wait_for_function(_PAINTED, timeout=1e3 * SECONDS).json_value()
            tab.wait_for_selector("#viewer .empty", timeout=1e3 * SECONDS)
            found.ready.append(time.time() - began)
            found.paint.append(painted / 1e3 - began)
            found.cpu.append(usage(process.pid).cpu_seconds)
            tab.close()
    return found


def _turns(browser: Browser, server: RunningServer, files: dict[str, Path], runs: int) -> dict[str, Turns]:
    found = {kind: Turns() for kind in files}
    port = free_port()
    with _page(server, port) as process:
        tab = browser.new_page(viewport={"width": 1280, "height": 860})
        _opened(tab, process, f"http://127.0.0.1:{port}")
        tab.wait_for_selector("#server .up", timeout=1e3 * SECONDS)
        for number in range(-1, runs):
            for kind, path in files.items():
                turn = _turn(tab, process.pid, server, path, number)
                if number >= 0:  # the first ones only warm up
                    found[kind].total.append(turn[0])
                    found[kind].model.append(turn[1])
                    found[kind].cpu.append(turn[2])
    return found


def _turn(tab: Page, pid: int, server: RunningServer, path: Path, number: int) -> tuple[float, float, float]:
    """Drop one file; return the seconds until the answer, those of the model's run, and the page's CPU seconds."""
    dropped = path.with_name(f"{path.stem}-{number}{path.suffix}")
    # Gradio and the browser know a file again by its content, so each is another.
    dropped.write_bytes(path.read_bytes() + bytes([number % 256, 0]))
    tab.evaluate(_WATCH, dropped.name)
    ran, used = _model_seconds(server), usage(pid).cpu_seconds
    tab.set_input_files("#upload input[type=file]", dropped, timeout=1e3 * SECONDS)
    total = float(tab.evaluate("() => window.turn")) / 1e3
    tab.wait_for_selector("#progress .progress", state="detached", timeout=1e3 * SECONDS)
    tab.wait_for_selector("#takeaway", timeout=1e3 * SECONDS)
    dropped.unlink()
    return total, _model_seconds(server) - ran, usage(pid).cpu_seconds - used


def _model_seconds(server: RunningServer) -> float:
    """Return the seconds that the server has spent on predictions so far."""
    told = httpx.get(f"http://127.0.0.1:{server.rest_port}{_METRICS}", trust_env=False).text
    return sum(float(microseconds) for microseconds in _LATENCY.findall(told)) / 1e6


def _parts(path: Path, server: RunningServer, seconds: float = 1.0) -> dict[str, Taken]:
    """Return what each part of reading a file takes in this process, by the calls that the page makes."""
    data = path.read_bytes()
    radiograph = read(data)
    with FractureClient(server.target) as client:
        prepared = prepare(radiograph, client.info().input_size)
        (prediction,) = client.predict(prepared.image[None])
    reading = Reading(Source(path.name, path), radiograph, prepared.geometry, prediction, 0.0)
    small = reading.with_picture(display_picture(radiograph))
    shown = show(small, None, radiograph)
    parts = {
        "read the file": lambda: read(data),
        "prepare the model's input": lambda: prepare(replace(radiograph), prepared.image.shape[0]),
        "make the shown picture": lambda: display_picture(replace(radiograph)),
        "draw and encode the layers": lambda: show(small, None, radiograph),
        "set the page's HTML": lambda: alone(shown.view, 0),
    }
    found = {name: Taken() for name in parts}
    for name, part in parts.items():
        found[name].add(part, seconds)
    return found


def _files_table(files: dict[str, Any]) -> Table:
    table = Table(title="From drop to answer in a browser, ms")
    for column in ("file", "n", "in all p50", "model's run p50", "all but that p50", "p90", "aim", "CPU of the page"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for kind, told in files.items():
        over = told["overhead"]
        numbers = (told["total_p50_ms"], told["model_p50_ms"], over["p50_ms"], over["p90_ms"], told["aim_ms"])
        table.add_row(NAMES[kind], str(over["n"]), *map(_ms, (*numbers, told["page_cpu_ms"])))
    return table


def _parts_table(parts: dict[str, Any]) -> Table:
    table = Table(title="Of it, in the page's process, ms")
    table.add_column("part")
    for kind in parts:
        table.add_column(f"{kind}, p50", justify="right")
        table.add_column("CPU", justify="right")
    names: Sequence[str] = list(next(iter(parts.values())))
    for name in names:
        row = [_ms(parts[kind][name][key]) for kind in parts for key in ("p50_ms", "cpu_ms")]
        table.add_row(name, *row)
    return table


def _start_table(told: dict[str, Any]) -> Table:
    table = Table(title="From the start of the page's process, ms")
    for column in ("n", "first paint p50", "aim", "page there p50", "CPU of the page until then"):
        table.add_column(column, justify="right")
    numbers = (told["paint_p50_ms"], told["aim_ms"], told["ready_p50_ms"], told["page_cpu_p50_ms"])
    table.add_row(str(told["n"]), *map(_ms, numbers))
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
