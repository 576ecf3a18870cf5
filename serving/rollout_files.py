"""The small text files of a rollout, replaced whole or not at all; local ones, and those on object storage by fsspec.

RolloutError             a step of a rollout cannot be done; the sentence says why and what was changed: nothing
 ├─ RolloutLocked        another operator is at work
 └─ RolloutInterrupted   an earlier command was cut off, or is cut off now, and can be run again
"""

# ruff: noqa: N818 – named for what happened, like the errors of the client

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec


class RolloutError(Exception):
    """Root of the tree; the message is a sentence for the operator."""


class RolloutLocked(RolloutError):
    """Another rollout command is running."""


class RolloutInterrupted(RolloutError):
    """A command did not come to its end; its journal tells where it was."""


def local(path: str) -> Path | None:
    """Return the local path that ``path`` names, None for object storage."""
    fs, plain = fsspec.core.url_to_fs(path)
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return Path(plain) if "file" in protocols else None


def read_text(path: str) -> str | None:
    """Return the text of a file, None where there is none. Raises ``RolloutError`` where it cannot be read."""
    with _spoken(path, "read") as (fs, plain):
        try:
            content: bytes = fs.cat_file(plain)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content.decode("utf-8", "replace")


def replace_text(path: str, text: str) -> None:
    """Write a file so that a reader, or a crash, finds the old text or the new one, never a part."""
    replace_bytes(path, text.encode())


def replace_bytes(path: str, content: bytes) -> None:
    """As ``replace_text``, for any file."""
    with _spoken(path, "written") as (fs, plain):
        target = local(path)
        if target is None:
            fs.pipe_file(plain, content)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            _write_through(partial, content)
            if target.exists():
                partial.chmod(target.stat().st_mode & 0o7777)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        _flush_names(target.parent)


def create_text(path: str, text: str) -> bool:
    """Write a file that must not be there yet; return False, with nothing changed, where it is."""
    with _spoken(path, "written") as (fs, plain):
        target = local(path)
        if target is None:
            try:
                fs.pipe_file(plain, text.encode(), mode="create")
            except FileExistsError:
                return False
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            _write_through(partial, text.encode())
            # a link, unlike a rename, fails where the name is taken, and the name never shows half a text
            target.hardlink_to(partial)
        except FileExistsError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        return True


def append_line(path: str, line: str) -> None:
    """Add a line to a file that is only ever added to."""
    with _spoken(path, "written") as (fs, plain):
        target = local(path)
        if target is None:
            # object storage has no append: the lock keeps a second writer away meanwhile
            before = fs.cat_file(plain) if fs.exists(plain) else b""
            fs.pipe_file(plain, before + line.encode() + b"\n")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab+") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
            # a line that a crash cut off is ended first
            file.write((b"" if file.read(1) in (b"\n", b"") else b"\n") + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def remove(path: str) -> None:
    """Delete a file that may be gone already."""
    with _spoken(path, "removed") as (fs, plain), contextlib.suppress(FileNotFoundError):
        fs.rm_file(plain)


def check_writable(path: str) -> None:
    """Raise ``RolloutError`` where a file that is there may not be written, also for one who may write everything."""
    target = local(path)
    if target is not None and target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise RolloutError(f"{path} is read-only. Allow this user to write it; nothing was changed.")


@contextlib.contextmanager
def _spoken(path: str, what: str) -> Iterator[tuple[Any, str]]:
    try:
        fs, plain = fsspec.core.url_to_fs(path)
        yield fs, plain
    except FileNotFoundError:
        raise
    except ImportError as error:
        raise RolloutError(f"{path} needs a package that is not installed: {error}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RolloutError(
            f"{path} cannot be {what} ({reason}). Is it the right place, and may you write there?"
        ) from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_names(folder: Path) -> None:
    """Bring a rename to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
