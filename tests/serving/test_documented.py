"""What docs/serving.md says of the server's flags and of the conformance cases."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from serving.embedded.options import ServerOptions
from tests.serving.server_process import ROOT

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_number_of_conformance_cases_is_the_documented_one() -> None:
    files = sorted(str(path) for path in (ROOT / "tests" / "serving").glob("test_*conformance*.py"))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=240).stdout
    cases = sum("::" in line for line in listed.splitlines())
    assert f"{cases} cases run against any server" in PAGE


IGNORED = [flag.name for flag in dataclasses.fields(ServerOptions) if flag.metadata["ignored"]]


@pytest.mark.parametrize("flag", IGNORED)
def test_every_flag_without_meaning_is_listed(flag: str) -> None:
    named = re.findall(r"--(\w+\*?)", PAGE)
    assert any(flag == name or (name.endswith("*") and flag.startswith(name[:-1])) for name in named)
