"""Which clients meet a canary: a share of the studies, the same ones each time, told to clients by one small file."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Final

BUCKETS: Final = 10_000
"""A share is kept to a hundredth of a percent."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the route file."""
ROUTE: Final = "route.json"
"""The route file's name in the folder of a rollout, ``<config file>.rollout/``."""


def bucket(study: str) -> int:
    """Return the bucket 0..9999 of a study id: always the same for the same id, and spread evenly (SHA-256)."""
    return int.from_bytes(hashlib.sha256(f"osteo-canary:{study}".encode()).digest()[:8]) % BUCKETS


def to_canary(study: str, percent: float) -> bool:
    """Return whether a study goes to the canary at a share of ``percent`` 0..100; a larger share keeps who went."""
    return bucket(study) < round(percent * BUCKETS / 100)


def route_text(percent: float) -> str:
    """Return the content of a route file."""
    return json.dumps({"canary_percent": percent}) + "\n"


class Route:
    """The share of the canary as the file at ``path`` says now; none while the file is not there or not readable."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._percent = 0.0

    @property
    def percent(self) -> float:
        """The share in percent, 0..100, at most a second old."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_EVERY:
                self._looked = time.monotonic()
                self._percent = self._read()
            return self._percent

    def is_canary(self, study: str) -> bool:
        """Return whether this study goes to the canary now."""
        return to_canary(study, self.percent)

    def _read(self) -> float:
        try:
            return min(max(float(json.loads(self._path.read_text(encoding="utf-8"))["canary_percent"]), 0.0), 100.0)
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0
