"""CPU and memory of a process and its children, as Linux tells them in /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")
_CPU_FIELDS: Final = slice(11, 13)
"""utime and stime in /proc/PID/stat, counted from the field after the command's name (proc(5))."""


@dataclass(frozen=True)
class Usage:
    """CPU seconds used so far; memory in MB: now, and at its highest. NaN where the system does not tell."""

    cpu_seconds: float
    memory_mb: float
    peak_mb: float


def usage(pid: int) -> Usage:
    """Return what the process ``pid`` and all that descend from it have used, added up."""
    parts = [_of_one(number) for number in (pid, *descendants(pid))]
    return Usage(
        sum(part.cpu_seconds for part in parts),
        sum(part.memory_mb for part in parts),
        sum(part.peak_mb for part in parts),
    )


def descendants(pid: int) -> list[int]:
    """Return the process numbers of the children of ``pid``, of theirs, and so on."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in file.read_text(encoding="ascii").split()]
        except OSError:  # the thread ended meanwhile
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def forget_peak() -> None:
    """Let this process' highest memory be counted from now on (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _of_one(pid: int) -> Usage:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return Usage(float("nan"), float("nan"), float("nan"))
    fields = stat.rpartition(")")[2].split()
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)

    def megabytes(name: str) -> float:
        return int(lines[name].split()[0]) / 1024 if name in lines else 0.0  # a process that ended has no memory

    return Usage(sum(int(ticks) for ticks in fields[_CPU_FIELDS]) / _TICK, megabytes("VmRSS"), megabytes("VmHWM"))
