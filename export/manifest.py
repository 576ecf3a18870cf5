"""The manifest of a version: every file of its folder with size and SHA-256, so that a change after publishing shows.

It stands in ``assets.extra/``, which TensorFlow Serving leaves alone but for warm-up records.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import fsspec

MANIFEST: Final = "assets.extra/manifest.json"
FORMAT: Final = "osteo-manifest-1"
_CHUNK: Final = 1 << 20

Entries = dict[str, tuple[int, str]]
"""Path inside the version folder to size in bytes and SHA-256 in hexadecimal."""


class ManifestError(Exception):
    """A manifest cannot be read; the message says why."""


def write_manifest(folder: Path) -> None:
    """Write the manifest of every file now in ``folder``, which must be complete."""
    fs, root = fsspec.core.url_to_fs(str(folder))
    files = [
        {"path": path, "bytes": size, "sha256": digest} for path, (size, digest) in sorted(found(fs, root).items())
    ]
    target = folder / MANIFEST
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n", encoding="utf-8")


def found(fs: Any, root: str) -> Entries:
    """Return every file under ``root`` on the fsspec file system ``fs``, but for the manifest itself."""
    start = len(root.rstrip("/")) + 1
    paths = (str(path) for path in fs.find(root, withdirs=False))
    return {path[start:]: _digest(fs, path) for path in paths if path[start:] != MANIFEST}


def recorded(fs: Any, root: str) -> Entries | None:
    """Return what the manifest under ``root`` records, None where there is none; raise ``ManifestError``."""
    try:
        text = fs.cat_file(f"{root.rstrip('/')}/{MANIFEST}")
    except FileNotFoundError:
        return None
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ManifestError(f"its manifest has the format {raw['format']!r}, not {FORMAT!r}")
        return {str(entry["path"]): (int(entry["bytes"]), str(entry["sha256"])) for entry in raw["files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"its manifest {MANIFEST} cannot be read") from error


def differences(wanted: Entries, present: Entries) -> list[str]:
    """Return a phrase for each file that is missing, was changed or was added since ``wanted`` was recorded."""
    phrases = [f"{path} is missing" for path in sorted(wanted.keys() - present.keys())]
    phrases += [
        f"{path} was changed" for path in sorted(wanted.keys() & present.keys()) if wanted[path] != present[path]
    ]
    return phrases + [f"{path} was added" for path in sorted(present.keys() - wanted.keys())]


def _digest(fs: Any, path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with fs.open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
