"""Going back in one command: also from a killed command, a broken version, or a config file somebody edited by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from export import registry
from serving.following import CANARY, STABLE
from serving.rollout import SETTLE, Rollout, end_of_canary
from serving.rollout_config import LABELS, PREVIOUS, Entry, changed, entry_from, entry_of, parse
from serving.rollout_files import RolloutError, check_writable, read_text
from serving.rollout_journal import PENDING, UNDONE, Journal, Operation, Push
from serving.rollout_lock import locked
from serving.rollout_server import ModelServer
from serving.rollout_steps import carry_out

Labels = Mapping[str, int]


def rollback(rollout: Rollout, to: int | None = None) -> str:
    """Undo the last move and return a sentence on what is stable now.

    In this order: a command that was interrupted is undone; what was changed by hand is brought back; a canary is
    ended; the label stable goes to the version before. ``to`` names a version instead. Raises ``RolloutError``.
    """
    check_writable(rollout.config)
    journal = Journal(rollout.config)
    with ModelServer(rollout.server, rollout.model) as server:
        server.versions()
        with locked(journal.lock, "rollback", rollout.by):
            last = journal.load()
            if last is not None and last.state == PENDING and (last.verb, last.version) == ("rollback", to):
                done = carry_out(last, server, rollout.config, journal, rollout.seconds)
            else:
                planned = _plan(rollout, server, last, to)
                if last is not None and last.state == PENDING:
                    journal.note(last, UNDONE, "rolled back before it was finished")
                done = carry_out(planned, server, rollout.config, journal, rollout.seconds)
    left = entry_from(done.left)
    told = f"Version {left.labels[STABLE]} is {STABLE}"
    if done.origin == left.labels[STABLE] and PREVIOUS in left.labels:
        return f"{told}, as it was. Run it again to go back to version {left.labels[PREVIOUS]}."
    others = [version for version in left.versions or () if version not in left.labels.values()]
    return told + (f". Still loaded without a label: version {', '.join(map(str, others))}." if others else ".")


def _plan(rollout: Rollout, server: ModelServer, last: Operation | None, to: int | None) -> Operation:
    entry, intact = _entry(rollout, last)
    served = server.labels({*LABELS, *entry.labels})
    available = set(server.available())
    base = rollout.base or entry.base_path
    goal = _goal(entry, intact, served, available, last, to)
    target = goal[STABLE]
    if target not in available:
        registry.verify(base, target)
    held = {label: version for label, version in served.items() if version in available}
    if intact and to is None and goal == {k: v for k, v in served.items() if k != CANARY} and CANARY in served:
        pushes = end_of_canary(changed(entry, available, held))
    else:
        pushes = _moves(entry, {*available, *goal.values()}, held, goal)
    return Operation(
        id=uuid.uuid4().hex,
        verb="rollback",
        model=rollout.model,
        version=to,
        percent=None,
        by=rollout.by,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=rollout.why,
        origin=served.get(STABLE),
        target=target,
        before=entry.text,
        pushes=tuple(pushes),
        undo=False,
        config=last.config if last is not None else "",
    )


def _entry(rollout: Rollout, last: Operation | None) -> tuple[Entry, bool]:
    """Return the model's entry and whether it came from the file; else it is the one that was last written."""
    try:
        return entry_of(parse(read_text(rollout.config) or "", rollout.config), rollout.model, rollout.config), True
    except RolloutError:
        if last is None or not last.config:
            raise
        return entry_of(parse(last.config, rollout.config), rollout.model, rollout.config), False


def _goal(
    entry: Entry, intact: bool, served: Labels, available: Iterable[int], last: Operation | None, to: int | None
) -> dict[str, int]:
    """Return the labels to go back to. Raises ``RolloutError`` where nothing is known to go back to."""
    if to is not None:
        return {STABLE: to}
    left = entry_from(last.left).labels if last is not None else {}
    if last is not None and last.state == PENDING:
        return dict(left) if STABLE in left else {STABLE: last.origin or max(available)}
    by_hand = not intact or dict(entry.labels) != dict(served) or (STABLE in left and dict(left) != dict(served))
    if by_hand and STABLE in left:
        return dict(left)
    if CANARY in served and STABLE in served:
        return {label: version for label, version in served.items() if label != CANARY}
    if PREVIOUS in served and served[PREVIOUS] != served.get(STABLE):
        return {STABLE: served[PREVIOUS]}
    stable = f"Version {served[STABLE]} is stable, and no" if STABLE in served else "No"
    raise RolloutError(f"{stable} version before it is known. Name one: osteo rollout rollback --to VERSION")


def _moves(entry: Entry, versions: Iterable[int], held: Labels, goal: Labels) -> list[Push]:
    """Return the two safe pushes: load what the labels need, then move them; the share of a canary goes in between."""
    wanted = set(versions)
    pushes = [
        Push("load what it needs", entry=changed(entry, wanted, held).text, available=tuple(sorted(goal.values())))
    ]
    if CANARY not in goal:
        pushes.append(Push("send no studies to a canary", percent=0.0, settle=SETTLE if CANARY in held else 0.0))
    move = f"move the label {STABLE} to version {goal[STABLE]}"
    return [*pushes, Push(move, entry=changed(entry, wanted, goal).text, available=(goal[STABLE],))]
