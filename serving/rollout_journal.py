"""What a rollout command is about to do, written before it does it; and the log of what was done.

The journal is replaced whole before each push, so a command that was killed is gone on with where it was.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from serving.rollout_files import RolloutError, append_line, read_text, replace_text

PENDING: Final = "pending"
DONE: Final = "done"
UNDONE: Final = "undone"


@dataclass(frozen=True)
class Push:
    """One step: bring the config file's entry, or the canary's share, to a state and wait until it is true.

    ``entry`` is the model's whole entry; ``available`` must be loaded and ``gone`` unloaded afterwards; ``percent``
    is the canary's share; ``retire`` is the version to move out of the registry at ``base``; ``settle`` are seconds in
    which clients notice. What is None is left alone.
    """

    says: str
    entry: str | None = None
    available: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    percent: float | None = None
    retire: int | None = None
    base: str = ""
    settle: float = 0.0


@dataclass(frozen=True)
class Operation:
    """One command: ``pushes`` in order, of which ``done`` are finished.

    ``before`` is the model's entry when it began; ``config`` the whole config file as it was last written;
    ``origin`` and ``target`` the stable versions from and to which it leads, for the log.
    """

    id: str
    verb: str
    model: str
    version: int | None
    percent: float | None
    by: str
    when: str
    why: str
    origin: int | None
    target: int | None
    before: str
    pushes: tuple[Push, ...]
    undo: bool = True
    done: int = 0
    state: str = PENDING
    config: str = ""

    @property
    def left(self) -> str:
        """The model's entry as the command left it, or found it where it was undone or is not finished."""
        pushed = [push.entry for push in self.pushes if push.entry is not None]
        return pushed[-1] if self.state == DONE and pushed else self.before

    @property
    def command(self) -> str:
        """The command as an operator would type it."""
        words = [self.verb, *([str(self.version)] if self.version is not None else [])]
        return " ".join(words + ([f"--percent {self.percent:g}"] if self.percent is not None else []))


class Journal:
    """The folder of one config file's rollout, ``<config file>.rollout/``: journal, log, lock, route and checks."""

    def __init__(self, config: str) -> None:
        self.folder = f"{config}.rollout"
        self.lock = f"{self.folder}/lock"
        self._file = f"{self.folder}/journal.json"
        self._log = f"{self.folder}/log.jsonl"

    def load(self) -> Operation | None:
        """Return the last command, finished or not; None before the first. Raises ``RolloutError``."""
        text = read_text(self._file)
        if text is None:
            return None
        try:
            raw = json.loads(text)
            pushes = tuple(
                Push(**{**push, "available": tuple(push["available"]), "gone": tuple(push["gone"])})
                for push in raw["pushes"]
            )
            return Operation(**{**raw, "pushes": pushes})
        except (ValueError, TypeError, KeyError) as error:
            raise RolloutError(f"{self._file} is not a journal of this program. Move it away to start anew.") from error

    def save(self, operation: Operation) -> Operation:
        """Write the command as it stands now, and return it."""
        replace_text(self._file, json.dumps(asdict(operation), indent=1) + "\n")
        return operation

    def finish(self, operation: Operation, state: str, error: str = "") -> Operation:
        """Log the end of a command and write it down."""
        self.note(operation, state, error)
        return self.save(replace(operation, state=state))

    def note(self, operation: Operation, state: str, error: str = "") -> None:
        """Log the end of a command once, also when it was killed between log and journal."""
        last = list(self.log())[-1:]
        if not last or last[0].get("id") != operation.id:
            append_line(self._log, json.dumps(_line(operation, state, error), ensure_ascii=False))

    def log(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of the log, the oldest first; a line that was cut off by a crash is passed over."""
        for line in (read_text(self._log) or "").splitlines():
            with contextlib.suppress(ValueError):
                yield dict(json.loads(line))


def _line(operation: Operation, state: str, error: str) -> dict[str, Any]:
    line: dict[str, Any] = {
        "when": operation.when,
        "who": operation.by,
        "did": operation.command,
        "model": operation.model,
        "from": operation.origin,
        "to": operation.target,
        "why": operation.why,
        "outcome": state,
        "id": operation.id,
    }
    return line | ({"error": error} if error else {})
