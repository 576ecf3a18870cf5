"""CPU and memory of real processes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import numpy as np

from serving.bench.process import descendants, forget_peak, usage

MEGABYTE = 1 << 20


def test_work_shows_as_cpu_seconds() -> None:
    before = usage(os.getpid()).cpu_seconds
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    assert usage(os.getpid()).cpu_seconds - before >= 0.2


def test_the_peak_remembers_memory_that_was_given_back() -> None:
    forget_peak()
    before = usage(os.getpid())
    np.ones(200 * MEGABYTE, np.uint8)
    after = usage(os.getpid())
    assert after.peak_mb - before.memory_mb >= 190
    assert after.memory_mb - before.memory_mb < 100


def test_children_of_children_are_counted() -> None:
    inner = f"{sys.executable} -c 'print(1, flush=True); input()'"
    command = ["sh", "-c", f"exec 3<&0; {inner} <&3 & wait"]  # a shell gives what runs beside it no input of its own
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        assert len(descendants(shell.pid)) >= 1
        assert usage(shell.pid).memory_mb > 3
        shell.communicate()


def test_a_process_that_is_gone_has_no_figures() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert math.isnan(usage(gone.pid).cpu_seconds)
