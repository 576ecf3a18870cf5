"""Debian's tools for DICOM and PDF, which know nothing of this project: dcmtk, dicom3tools and poppler-utils."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def run(tool: str, *arguments: str | Path) -> str:
    """Return what a tool printed, errors included; fail where it is not installed or ends with an error."""
    done = _done(tool, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def faults(path: Path) -> list[str]:
    """Return what dciodvfy holds against a DICOM object."""
    # Its exit code is 1 for an error and for nothing else; warnings concern what the standard only advises.
    return [line for line in _done("dciodvfy", path).stdout.splitlines() if line.startswith("Error")]


def _done(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which(tool):
        pytest.fail(f"{tool} is not installed: apt install dcmtk dicom3tools poppler-utils", pytrace=False)
    return subprocess.run(
        [tool, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=60,
    )
