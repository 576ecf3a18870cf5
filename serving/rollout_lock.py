"""One rollout command at a time: a lock file that a dead process cannot hold."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from serving.rollout_files import RolloutLocked, create_text, local, read_text, remove

OLD: Final = 3600.0
"""Seconds after which a lock of another machine, whose processes cannot be seen from here, counts as left behind."""


@contextlib.contextmanager
def locked(path: str, verb: str, by: str) -> Iterator[None]:
    """Hold the lock file at ``path`` for the length of the block.

    A lock is left behind, and taken over, where its process on this host has ended (its number may have been given to
    another, so the start time counts too), or where it is an hour old and of another host. Raises ``RolloutLocked``.
    """
    mine = json.dumps(
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "by": by,
            "verb": verb,
            "time": time.time(),
        }
    )
    with _guard(path):
        if not create_text(path, mine):
            held = read_text(path)
            if held is not None and not _left_behind(held):
                raise RolloutLocked(_whose(held, path))
            remove(path)
            if not create_text(path, mine):
                raise RolloutLocked(_whose(read_text(path) or "", path))
    try:
        yield
    finally:
        if read_text(path) == mine:
            remove(path)


@contextlib.contextmanager
def _guard(path: str) -> Iterator[None]:
    """Let one process of this machine at a time look at a lock; the system lets go where the process ends."""
    file = local(path)
    if file is None:
        yield
        return
    create_text(f"{path}.guard", "")
    with Path(f"{file}.guard").open("r") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _left_behind(text: str) -> bool:
    lock = _read(text)
    if lock is None:
        return True
    if lock["host"] == socket.gethostname():
        return _started(int(lock["pid"])) != str(lock["started"])
    return time.time() - float(lock["time"]) > OLD


def _read(text: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, TypeError):
        lock = json.loads(text)
        if {"host", "pid", "started", "by", "verb", "time"} <= set(lock):
            return dict(lock)
    return None


def _whose(text: str, path: str) -> str:
    lock = _read(text) or {"verb": "A command", "by": "someone", "host": "?", "pid": "?"}
    return (
        f"`{lock['verb']}` is being run by {lock['by']} (process {lock['pid']} on {lock['host']}). Wait until it has "
        f"ended; should it be certain that nothing runs, delete {path}."
    )


def _started(pid: int) -> str:
    """Return when a process of this machine started, in clock ticks (proc(5), stat, field 22); "" where it ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if Path("/proc/self").exists() else _answers(pid)
    return stat.rpartition(")")[2].split()[19]


def _answers(pid: int) -> str:
    """Return "alive" for a process that is there, on systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"
