"""The model folder: numbered versions, each published whole with its manifest, and never changed.

``export.registry`` reads, verifies and retires what was published, on local folders and on object storage.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from export.manifest import write_manifest

RETIRED: Final = ".retired"
"""Folder beside the versions that holds those taken out of service; their numbers are never given again."""


class VersionError(Exception):
    """A version cannot be published, read or retired; the message says why and what to do. Nothing was changed."""


def versions(base: Path) -> list[int]:
    """Return the version numbers under ``base``, lowest first; other names are not versions."""
    if not base.is_dir():
        return []
    return sorted(int(child.name) for child in base.iterdir() if child.is_dir() and child.name.isdecimal())


def newest(base: Path) -> Path:
    """Return the folder of the highest version under ``base``; raise ``VersionError`` where there is none."""
    found = versions(base)
    if not found:
        raise VersionError(f"{base} holds no version yet. Make one: osteo export")
    return base / str(found[-1])


def publish(base: Path, build: Callable[[Path], None], *, version: int | None = None) -> Path:
    """Let ``build`` fill a folder beside the versions of ``base``, then rename it to the next number; return its path.

    A server that polls ``base`` sees the whole version or none, and with it the manifest of what ``build`` wrote.
    With ``version`` that number is taken. Raises ``VersionError`` where it exists or was retired already, or where
    ``base`` cannot be written.
    """
    if version is not None and (base / str(version)).exists():
        raise VersionError(f"{base / str(version)} exists already, and a published version is never overwritten.")
    if version is not None and version in versions(base / RETIRED):
        raise VersionError(f"Version {version} of {base} was retired, and its number is never given again.")
    try:
        base.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".publishing-", dir=base))
    except OSError as error:
        raise VersionError(
            f"{base} cannot be written ({error.strerror}). Choose another folder with --base."
        ) from error
    try:
        build(partial)
        write_manifest(partial)
        partial.chmod(0o755)
        _flush(partial)
        return _rename(partial, base, version)
    except OSError as error:
        raise VersionError(f"The version could not be written to {base}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rename(partial: Path, base: Path, version: int | None) -> Path:
    while True:
        number = version if version is not None else max([*versions(base), *versions(base / RETIRED)], default=0) + 1
        target = base / str(number)
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if version is not None:
                raise VersionError(f"{target} was published by someone else just now; nothing was changed.") from error
            continue  # another export took the number between the look and the rename
        return target


def _flush(folder: Path) -> None:
    """Bring every file to the disk before the rename makes it visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
