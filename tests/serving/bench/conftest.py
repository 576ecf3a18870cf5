"""A folder of versions with one tiny version that keeps the served contract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

QUIET = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="session")
def tiny_base(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of version 1 of a model that takes 32 px."""
    base = tmp_path_factory.mktemp("tiny") / "fracture"
    command = [sys.executable, "-m", "serving.bench_models", str(base), "1"]
    subprocess.run(command, cwd=project_root, check=True, capture_output=True, env={**os.environ, **QUIET}, timeout=200)
    return base
