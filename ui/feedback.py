"""What readers say of findings: kept as JSON lines, without pixels, file names or header values.

<folder>/feedback.jsonl      one line an opinion; of several on one reading the last one counts
<folder>/pictures/<id>.png   only where the reader consented, as shown on the page, without metadata
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from export import contract
from ui.reading import Reading

LINES: Final = "feedback.jsonl"
PICTURES: Final = "pictures"
LONGEST_NOTE: Final = 2_000
"""Characters of a note; more are cut off."""
MOST_BYTES: Final = 64 * 2**20
LEAST_ROOM: Final = 256 * 2**20
"""Bytes that must be free on the disk: a page that anybody may write to must not fill it."""
PAGE: Final = "page"
PROGRAM: Final = "program"

_SALT: Final = secrets.token_bytes(16)
"""Of this process: the id of a reading tells nothing of the file, and cannot be found again from it."""


class FeedbackError(Exception):
    """An opinion cannot be kept, or opinions cannot be read; the message is a sentence."""


@dataclass(frozen=True)
class Feedback:
    """One opinion on one reading: what was answered by which version, and whether the reader agrees."""

    time: str
    reading: str
    agrees: bool
    note: str
    via: str
    finding: str
    probability: float
    thresholds: tuple[float, ...]
    novelty: float
    model: str
    version: int
    label: str | None = None
    picture: str | None = None

    def to_json(self) -> str:
        """Return the opinion as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the opinion in a line; raise ``FeedbackError`` where it is none."""
        try:
            raw = json.loads(line)
            known = {field.name for field in fields(cls)}
            found = cls(**{key: value for key, value in raw.items() if key in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise FeedbackError("This line is no feedback.") from error
        known_kinds = isinstance(found.agrees, bool) and isinstance(found.version, int)
        if not known_kinds or found.finding not in contract.FINDINGS:
            raise FeedbackError("This line is no feedback.")
        return found


def of_reading(reading: Reading, visit: str, *, agrees: bool, note: str) -> Feedback:
    """Return an opinion on what the page shows; within a ``visit`` the same reading has the same id."""
    source = reading.source
    key = f"{visit}|{source.path}|{source.place}|{source.frame}|{reading.prediction.version}"
    return _feedback(reading.to_dict(), key, agrees=agrees, note=note, via=PAGE)


def of_result(result: object, *, agrees: bool, note: str) -> Feedback:
    """Return an opinion on a result as ``/read`` gives it to programs; raise ``FeedbackError`` where it is none."""
    wrong = FeedbackError("Give one result as /read returned it, with a finding that is not outside the scope.")
    if not isinstance(result, Mapping) or result.get("outside_scope"):
        raise wrong
    try:
        key = json.dumps(result, sort_keys=True)
        found = _feedback(result, key, agrees=agrees, note=note, via=PROGRAM)
    except (KeyError, TypeError, ValueError) as error:
        raise wrong from error
    numbers = (found.probability, found.novelty, *found.thresholds)
    if (
        found.finding not in contract.FINDINGS
        or not 0 <= found.probability <= 1
        or not all(map(math.isfinite, numbers))
    ):
        raise wrong
    return found


def keep(folder: Path, feedback: Feedback, picture: bytes | None = None) -> None:
    """Add an opinion to those in ``folder``, with the ``picture`` (a PNG file) of a reader who consented.

    A picture kept before is deleted where the reader no longer consents. Raises ``FeedbackError``.
    """
    place = folder / PICTURES / f"{feedback.reading}.png"
    kept = {**asdict(feedback), "picture": f"{PICTURES}/{place.name}" if picture else None}
    line = (json.dumps(kept, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(folder).free < LEAST_ROOM:
            raise FeedbackError("There is no room left for feedback on the page's disk. Tell whoever runs this page.")
        with _opened(folder / LINES) as file:
            if file.tell() + len(line) > MOST_BYTES:
                raise FeedbackError("The feedback file is full. Tell whoever runs this page to put it away.")
            if picture:
                place.write_bytes(picture)
            else:
                place.unlink(missing_ok=True)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FeedbackError(
            f"The feedback could not be kept ({error.strerror}). Tell whoever runs this page."
        ) from error


def load(folder: Path) -> tuple[list[Feedback], int]:
    """Return the opinions in ``folder``, the last on each reading, and how many lines are damaged.

    Raises ``FeedbackError`` where there are none.
    """
    found: dict[str, Feedback] = {}
    damaged = 0
    try:
        lines = (folder / LINES).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise FeedbackError(
            f"{folder} holds no feedback yet. A page keeps it there when it is started with --feedback {folder}."
        ) from error
    for line in lines:
        try:
            feedback = Feedback.from_json(line)
        except FeedbackError:
            damaged += 1
        else:
            found[feedback.reading] = feedback
    return list(found.values()), damaged


@dataclass(frozen=True)
class Agreement:
    """How often readers agree with a version, with Wilson's 95 % interval; ``finding`` is "all" or one finding."""

    model: str
    version: int
    finding: str
    n: int
    agreed: int
    share: float
    low: float
    high: float


def agreement(opinions: Iterable[Feedback]) -> tuple[Agreement, ...]:
    """Return agreement by model and version, of all findings and of each, the newest version first."""
    counts: dict[tuple[str, int, str], list[int]] = {}
    for opinion in opinions:
        for finding in ("all", opinion.finding):
            count = counts.setdefault((opinion.model, opinion.version, finding), [0, 0])
            count[0] += 1
            count[1] += opinion.agrees
    order = ("all", *reversed(contract.FINDINGS))
    keys = sorted(counts, key=lambda key: (key[0], -key[1], order.index(key[2])))
    return tuple(_agreement(*key, *counts[key]) for key in keys)


def _agreement(model: str, version: int, finding: str, n: int, agreed: int) -> Agreement:
    from scipy.stats import binomtest  # takes a second to import, which the page need not wait for

    interval = binomtest(agreed, n).proportion_ci(method="wilson")
    return Agreement(model, version, finding, n, agreed, agreed / n, float(interval.low), float(interval.high))


def _feedback(result: Mapping[Any, Any], key: str, *, agrees: bool, note: str, via: str) -> Feedback:
    return Feedback(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        reading=hashlib.sha256(_SALT + key.encode("utf-8", "replace")).hexdigest()[:24],
        agrees=bool(agrees),
        note=" ".join(str(note or "").split())[:LONGEST_NOTE],
        via=via,
        finding=str(result["finding"]),
        probability=float(result["probability"]),
        thresholds=tuple(float(threshold) for threshold in result["thresholds"])[:2],
        novelty=float(result["novelty"]),
        model=str(result["model"])[:100],
        version=int(result["version"]),
        label=None if result.get("label") is None else str(result["label"])[:100],
    )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file at its end for one writer at a time, also beside other processes: a line is there whole or not."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, os.SEEK_END)
        yield file
