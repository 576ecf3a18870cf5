"""The record of a check, which promoting asks for: it holds only for the files that were checked."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from export import registry
from export.manifest import MANIFEST
from serving.rollout_files import RolloutError, read_text, replace_text


def folder_of(state: str, version: int) -> str:
    """Return the folder of a version's check inside the folder of the rollout."""
    return f"{state}/check-{version}"


def identity(base: str, version: int) -> str:
    """Return the SHA-256 of a version's manifest, or of its graph where it has no manifest."""
    for path in (MANIFEST, *registry.GRAPHS):
        try:
            return hashlib.sha256(registry.read_file(base, version, path)).hexdigest()
        except FileNotFoundError:
            continue
    return ""


def record_check(state: str, base: str, version: int, passed: bool, figures: dict[str, Any]) -> None:
    """Write the outcome of a check."""
    record = {"version": version, "passed": passed, "identity": identity(base, version), **figures}
    replace_text(f"{folder_of(state, version)}/report.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def require_checked(state: str, base: str, version: int) -> None:
    """Raise ``RolloutError`` unless this very version has passed its check."""
    text = read_text(f"{folder_of(state, version)}/report.json")
    record = json.loads(text) if text else {}
    if not record:
        raise RolloutError(f"Version {version} has not been checked: osteo rollout check {version} (or --unchecked).")
    if not record.get("passed"):
        raise RolloutError(f"Version {version} did not pass its check; see {folder_of(state, version)}/report.md.")
    if record.get("identity") != identity(base, version):
        raise RolloutError(f"Version {version} is not what was checked: run osteo rollout check {version} again.")
