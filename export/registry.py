"""The model folder as a registry: what is published, whether it is still what was published, and what is retired.

``base`` is a local folder or a path of object storage that fsspec can read (``gs://``, ``s3://``, ``memory://`` …).
On object storage there is no rename: a version's graph file is written after its other files and the manifest last, and
a folder without a manifest that is being written is not served by a server that is told its versions by number.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec

from export import contract
from export.manifest import MANIFEST, ManifestError, differences, found, recorded, write_manifest
from export.versions import RETIRED, VersionError, publish

GRAPHS: Final = ("saved_model.pb", "saved_model.pbtxt")
VERIFIED: Final = "verified"
UNVERIFIED: Final = "unverified"
CHANGED: Final = "changed"


@dataclass(frozen=True)
class Listed:
    """One version of the registry: ``state`` is verified, unverified (published without manifest) or changed.

    ``card`` is None where the version has no model card of ours; ``says`` tells what is wrong with a changed one.
    """

    version: int
    state: str
    card: contract.ModelCard | None
    says: str = ""


def numbers(base: str | Path) -> list[int]:
    """Return the version numbers under ``base``, lowest first. Raises ``VersionError`` where it cannot be read."""
    with _spoken(base) as (fs, root):
        return _numbers(fs, root)


def listing(base: str | Path) -> tuple[Listed, ...]:
    """Return every version under ``base`` with its state and card, lowest first; every file of it is read."""
    entries = []
    for number in numbers(base):
        state, says = UNVERIFIED, ""
        try:
            state = VERIFIED if verify(base, number) else UNVERIFIED
        except VersionError as error:
            state, says = CHANGED, str(error)
        entries.append(Listed(number, state, card(base, number), says))
    return tuple(entries)


def card(base: str | Path, version: int) -> contract.ModelCard | None:
    """Return the model card of a version, None where it has none that this program knows."""
    with contextlib.suppress(FileNotFoundError, contract.CardError, UnicodeDecodeError):
        return contract.ModelCard.from_json(read_file(base, version, str(contract.CARD_PATH)).decode("utf-8"))
    return None


def read_file(base: str | Path, version: int, path: str) -> bytes:
    """Return a file of a version; raise ``FileNotFoundError`` where it is not there."""
    with _spoken(base) as (fs, root):
        content: bytes = fs.cat_file(f"{root}/{version}/{path}")
        return content


def verify(base: str | Path, version: int) -> bool:
    """Return whether a version is what its manifest records; False where it was published without a manifest.

    Raises ``VersionError`` where it is not there, holds no SavedModel, or a file was changed, added or is missing; the
    message names the files.
    """
    with _spoken(base) as (fs, root):
        folder = f"{root}/{version}"
        if version not in _numbers(fs, root):
            raise VersionError(f"{base} holds no version {version}. `osteo versions list` tells which there are.")
        try:
            wanted = recorded(fs, folder)
        except ManifestError as error:
            raise VersionError(f"Version {version} in {base} is refused: {error}. Publish it again.") from error
        present = found(fs, folder) if wanted is not None else {}
        names = [path for path in GRAPHS if path in present or fs.exists(f"{folder}/{path}")]
        if not names and not (wanted and wanted.keys() & set(GRAPHS)):
            raise VersionError(
                f"Version {version} in {base} holds no SavedModel (no {GRAPHS[0]}), so there is nothing to serve. "
                "Publish one with `osteo export`."
            )
        if wanted is None:
            return False
        phrases = differences(wanted, present)
    if phrases:
        named = ", ".join(phrases[:5]) + (f" and {len(phrases) - 5} more" if len(phrases) > 5 else "")
        raise VersionError(
            f"Version {version} in {base} is not what was published: {named}. Publish it again under a new number."
        )
    return True


def publish_folder(folder: Path, base: str | Path, *, version: int | None = None) -> str:
    """Copy a SavedModel's folder into ``base`` as the next version (or ``version``) and return its path.

    A manifest that comes with the folder must hold, and is renewed. Raises ``VersionError``.
    """
    if not any((folder / name).is_file() for name in GRAPHS):
        raise VersionError(f"{folder} holds no SavedModel (no {GRAPHS[0]}). Name the folder that holds it.")
    local, source = fsspec.core.url_to_fs(str(folder.resolve()))
    try:
        wanted = recorded(local, source)
    except ManifestError as error:
        raise VersionError(f"{folder} is refused: {error}.") from error
    phrases = [] if wanted is None else differences(wanted, found(local, source))
    if phrases:
        raise VersionError(f"{folder} is not what its manifest records: {', '.join(phrases[:5])}.")
    with _spoken(base) as (fs, root):
        if _is_local(fs):
            return str(publish(Path(root), lambda partial: _copy_tree(folder, partial), version=version))
        return _upload(folder, fs, root, version)


def retire(base: str | Path, version: int, labels: Mapping[str, int]) -> None:
    """Move a version out of the numbered folders, beside them; ``labels`` are all that point to versions now.

    Nothing happens where it is retired already. Raises ``VersionError`` for a labelled or unknown version.
    """
    named = sorted(label for label, number in labels.items() if number == version)
    if named:
        raise VersionError(f"Version {version} bears the label {named[0]!r} and is in use: it cannot be retired.")
    with _spoken(base) as (fs, root):
        if version not in _numbers(fs, root):
            if version in _numbers(fs, f"{root}/{RETIRED}"):
                return
            raise VersionError(f"{base} holds no version {version}, so there is nothing to retire.")
        source, target = f"{root}/{version}", f"{root}/{RETIRED}/{version}"
        if _is_local(fs):
            Path(target).parent.mkdir(exist_ok=True)
            Path(source).rename(target)
        else:
            fs.copy(f"{source}/", f"{target}/", recursive=True)
            fs.rm(source, recursive=True)


@contextlib.contextmanager
def _spoken(base: str | Path) -> Iterator[tuple[Any, str]]:
    """Give the file system and root of ``base``; what goes wrong with them is a sentence."""
    try:
        fs, root = fsspec.core.url_to_fs(str(base))
        if not _is_local(fs):
            fs.invalidate_cache()
        yield fs, root.rstrip("/")
    except (FileNotFoundError, VersionError):
        raise
    except ImportError as error:
        raise VersionError(f"{base} needs a package that is not installed: {error}.") from error
    except (OSError, ValueError) as error:
        raise VersionError(f"{base} cannot be read or written ({getattr(error, 'strerror', '') or error}).") from error


def _is_local(fs: Any) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _numbers(fs: Any, root: str) -> list[int]:
    try:
        children = fs.ls(root, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = {str(child).rstrip("/").rpartition("/")[2] for child in children}
    return sorted(int(name) for name in names if name.isdecimal())


def _copy_tree(folder: Path, target: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def _upload(folder: Path, fs: Any, root: str, version: int | None) -> str:
    """Copy to object storage: other files, the graph, the manifest last; the number is taken by creating the first."""
    with tempfile.TemporaryDirectory() as scratch:
        partial = Path(scratch)
        _copy_tree(folder, partial)
        write_manifest(partial)
        number = _take(fs, root, version)
        paths = [path.relative_to(partial).as_posix() for path in sorted(partial.rglob("*")) if path.is_file()]
        for path in sorted(paths, key=lambda path: (path == MANIFEST, path in GRAPHS)):
            fs.pipe_file(f"{root}/{number}/{path}", (partial / path).read_bytes())
    return f"{fs.unstrip_protocol(root)}/{number}"


def _take(fs: Any, root: str, version: int | None) -> int:
    """Return the number that is now ours: a marker of its name was created, which can happen but once."""
    taken = {number for place in ("", f"/{RETIRED}", "/.taken") for number in _numbers(fs, root + place)}
    number = version if version is not None else max(taken, default=0) + 1
    while True:
        if number in taken:
            raise VersionError(f"{root}/{number} exists or was retired, and a published version is never overwritten.")
        try:
            fs.pipe_file(f"{root}/.taken/{number}", b"", mode="create")
        except FileExistsError:
            if version is not None:
                raise VersionError(
                    f"{root}/{number} is being published by someone else; nothing was changed."
                ) from None
            number += 1
        else:
            return number
