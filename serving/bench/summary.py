"""What all benchmarks share: percentiles, taking turns, the machine they ran on, and how figures are shown.

Arms that are compared take turns in short rounds, and what is compared is the median of the rounds: other work on the
machine, or a processor that slows down, then weighs on all of them alike.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[2]
PERCENTILES: Final = (50, 90, 99)
START_SECONDS: Final = 300.0
"""How long a server may take to come up; long enough beside a training."""


class BenchError(Exception):
    """A benchmark cannot run; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Summary:
    """Times of ``n`` calls in milliseconds: the median, the 90th and the 99th percentile; NaN where n is 0."""

    n: int
    p50: float
    p90: float
    p99: float

    def figures(self) -> dict[str, float | int | None]:
        """Return plain values for JSON, which knows no NaN."""
        named = {"p50_ms": self.p50, "p90_ms": self.p90, "p99_ms": self.p99}
        return {"n": self.n, **{name: rounded(value) for name, value in named.items()}}


def summarise(seconds: Sequence[float]) -> Summary:
    """Return the percentiles of ``seconds`` in milliseconds."""
    if not len(seconds):
        return Summary(0, *(float("nan"),) * len(PERCENTILES))
    p50, p90, p99 = (float(value) * 1e3 for value in np.percentile(seconds, PERCENTILES))
    return Summary(len(seconds), p50, p90, p99)


def rounded(value: float, digits: int = 4) -> float | None:
    """Return ``value`` with so many significant digits, or None where it is no number."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None


def ratio(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the median of ``first`` through that of ``second``, rounded; None where one is empty or zero."""
    if not first or not second or not statistics.median(second):
        return None
    return rounded(statistics.median(first) / statistics.median(second), 3)


def times(call: Callable[[], object], seconds: float, least: int = 1) -> list[float]:
    """Return how long each call took in seconds, calling for ``seconds`` and at least ``least`` times."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return taken


@dataclass
class Taken:
    """How long calls took, in seconds: by the clock, and in CPU time of all threads of this process.

    On a machine that others use too the clock also counts their turns; CPU time does not.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, call: Callable[[], object], seconds: float) -> None:
        """Call for ``seconds``, and at least once."""
        end = time.perf_counter() + seconds
        while not self.wall or time.perf_counter() < end:
            started, used = time.perf_counter(), time.process_time()
            call()
            self.cpu.append(time.process_time() - used)
            self.wall.append(time.perf_counter() - started)

    def extend(self, more: Taken) -> None:
        """Count the calls of ``more`` too."""
        self.wall.extend(more.wall)
        self.cpu.extend(more.cpu)

    def figures(self) -> dict[str, float | int | None]:
        """Return the percentiles and the median of the CPU time in milliseconds, for JSON."""
        return {**summarise(self.wall).figures(), "cpu_ms": rounded(statistics.median(self.cpu) * 1e3)}


def take_turns(arms: Sequence[Callable[[], object]], rounds: int, name: str) -> None:
    """Call every arm ``rounds`` times, there and back again in turn, with a progress bar on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(name, total=len(arms) * rounds)
        for number in range(rounds):
            for arm in arms if number % 2 == 0 else reversed(arms):
                arm()
                progress.advance(task)


def say(sentence: str) -> None:
    """Print a sentence on stderr, so that stdout is the tables and the line of JSON."""
    Console(stderr=True).print(sentence, soft_wrap=True, highlight=False)


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, cores of this process, memory in GiB, load, system, commit."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": commit(),
    }


def commit() -> str:
    """Return the commit of this code, with ``+`` where the work tree differs from it; "unknown" outside of git."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return told.stdout.strip() or "unknown"


def _cpu_model() -> str:
    """Return the processor's name with its family, model and notable units, which virtual machines leave out."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if unit in facts.get("flags", "").split()]
    number = f"family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else ""
    told = [facts.get("model name", platform.machine()), number, " ".join(units)]
    return ", ".join(part for part in told if part)


def show(table: Table) -> None:
    """Print a table on stdout; where that is no terminal, as wide as it needs to be."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def finish(bench: str, figures: Mapping[str, Any]) -> None:
    """Print the figures of ``bench`` with the machine's description as one line of JSON."""
    print(json.dumps({"bench": bench, **figures, "machine": machine()}), flush=True)
