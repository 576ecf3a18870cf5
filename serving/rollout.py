"""Rolling versions out and back on a running server, a command a step; none of them drops a request.

Each command takes the lock, looks at config file, server and registry, writes down what it is about to do, does it and
logs it. Doing one twice changes nothing; one that was killed goes on when it is given again.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from export import registry
from export.versions import RETIRED, VersionError
from serving.answer import VersionStatus
from serving.following import CANARY, STABLE
from serving.rollout_checked import require_checked
from serving.rollout_config import (
    LABELS,
    PREVIOUS,
    Entry,
    changed,
    entry_from,
    entry_of,
    first_entry,
    parse,
    with_entry,
)
from serving.rollout_files import RolloutError, RolloutInterrupted, check_writable, create_text, read_text
from serving.rollout_journal import PENDING, Journal, Operation, Push
from serving.rollout_lock import locked
from serving.rollout_server import ModelServer
from serving.rollout_steps import carry_out
from serving.route import LOOK_EVERY

SETTLE: float = 2 * LOOK_EVERY
"""Seconds in which every client has noticed a label or a share that is new or gone."""


@dataclass(frozen=True)
class Rollout:
    """What a command works on: ``server`` is its gRPC address, ``config`` the path of the file it reads.

    ``base`` is the registry as this machine sees it, by default the base path in the config file; ``by`` and ``why``
    go into the log; ``seconds`` bounds each wait for a version to load or unload.
    """

    server: str
    config: str
    model: str
    by: str
    base: str | None = None
    why: str = ""
    seconds: float = 600.0


@dataclass(frozen=True)
class Situation:
    """What a command found when it began."""

    rollout: Rollout
    server: ModelServer
    journal: Journal
    entry: Entry
    stable: int
    statuses: dict[int, VersionStatus]

    @property
    def base(self) -> str:
        """The registry."""
        return self.rollout.base or self.entry.base_path

    @property
    def labelled(self) -> Entry:
        """The entry with the stable version named by number and label, also before the first rollout."""
        versions = self.entry.versions if self.entry.versions is not None else ()
        return changed(self.entry, {*versions, self.stable}, {STABLE: self.stable, **self.entry.labels})

    def run(
        self, verb: str, version: int | None, pushes: list[Push], *, target: int, percent: float | None = None
    ) -> None:
        """Journal and carry out ``pushes``; the first rollout of a model gives its stable version the label before."""
        if self.labelled != self.entry:
            label = f"give version {self.stable} the label {STABLE}"
            pushes = [Push(label, entry=self.labelled.text, available=(self.stable,), settle=SETTLE), *pushes]
        rollout = self.rollout
        operation = Operation(
            id=uuid.uuid4().hex,
            verb=verb,
            model=rollout.model,
            version=version,
            percent=percent,
            by=rollout.by,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            why=rollout.why,
            origin=self.stable,
            target=target,
            before=self.entry.text,
            pushes=tuple(pushes),
        )
        carry_out(operation, self.server, rollout.config, self.journal, rollout.seconds)


def first_config(rollout: Rollout, version: int | None = None) -> str:
    """Write the first config file, with one version of the registry, and return a sentence; never overwrite one.

    Raises ``RolloutError`` or ``VersionError``.
    """
    if rollout.base is None:
        raise RolloutError("Name the folder of the versions, as the server sees it, with --base.")
    found = registry.numbers(rollout.base)
    if not found:
        raise VersionError(f"{rollout.base} holds no version yet. Make one: osteo export")
    chosen = version if version is not None else found[-1]
    registry.verify(rollout.base, chosen)
    text = with_entry("", rollout.config, first_entry(rollout.model, rollout.base, chosen))
    if not create_text(rollout.config, text):
        raise RolloutError(f"{rollout.config} is there already and was left as it is.")
    return f"{rollout.config} serves version {chosen} of {rollout.base} as stable."


def stage(rollout: Rollout, version: int, *, older: bool = False) -> str:
    """Load a version beside the stable one and return a sentence once it takes requests."""
    unverified = ""
    with _begun(rollout, "stage", version) as now:
        if now is not None:
            unverified = "" if _may_follow(now, version, older) else " (unverified: published without a manifest)"
            now.run("stage", version, _loading(now, version), target=now.stable)
    return f"Version {version}{unverified} is loaded. Next: osteo rollout check {version}"


def canary(rollout: Rollout, version: int, percent: float, *, unchecked: bool = False) -> str:
    """Give ``percent`` of the studies to a version and return a sentence; 0 ends the canary."""
    if not 0 <= percent <= 100:
        raise RolloutError(f"A canary's share is 0 to 100 percent, not {percent:g}.")
    with _begun(rollout, "canary", version, percent) as now:
        if now is not None:
            now.run(
                "canary", version, _canary_pushes(now, version, percent, unchecked), target=now.stable, percent=percent
            )
    if not percent:
        return f"The canary is over: every study goes to the label {STABLE}."
    return f"{percent:g} % of the studies go to version {version}. Next: osteo rollout promote {version}"


def promote(rollout: Rollout, version: int, *, older: bool = False, unchecked: bool = False) -> str:
    """Move the label stable to a version, keep the one before it loaded, and return a sentence."""
    with _begun(rollout, "promote", version) as now:
        if now is not None:
            if now.stable == version and now.entry.labels.get(STABLE) == version:
                return f"Version {version} is {STABLE} already."
            _may_follow(now, version, older)
            if not unchecked:
                require_checked(now.journal.folder, now.base, version)
            now.run("promote", version, _promote_pushes(now, version), target=version)
    return f"Version {version} is {STABLE}. The one before it stays loaded: osteo rollout rollback goes back at once."


def retire(rollout: Rollout, version: int) -> str:
    """Unload a version that bears no label, move it out of the registry and return a sentence."""
    with _begun(rollout, "retire", version) as now:
        if now is not None:
            labels = {**now.labelled.labels, **now.server.labels(LABELS)}
            named = sorted(label for label, number in labels.items() if number == version)
            if named:
                raise RolloutError(
                    f"Version {version} bears the label {named[0]!r}: it is in use and cannot be retired."
                )
            if version in registry.numbers(now.base) or version in (now.entry.versions or ()):
                left = changed(now.labelled, set(now.labelled.versions or ()) - {version}, now.labelled.labels)
                unload = Push(f"unload version {version}", entry=left.text, gone=(version,))
                away = Push(f"move version {version} out of the registry", retire=version, base=now.base)
                now.run("retire", version, [unload, away], target=now.stable)
            else:
                registry.retire(now.base, version, labels)
    return f"Version {version} is retired; its files stay in {RETIRED}/{version} of the registry."


@contextlib.contextmanager
def _begun(rollout: Rollout, verb: str, version: int, percent: float | None = None) -> Iterator[Situation | None]:
    """Lock and give the situation; finish a killed command of the same words instead and give None."""
    check_writable(rollout.config)
    journal = Journal(rollout.config)
    if read_text(rollout.config) is None:
        raise RolloutError(
            f"{rollout.config} is not there. `osteo rollout init` writes a first one; start the server with it."
        )
    with ModelServer(rollout.server, rollout.model) as server:
        server.versions()
        with locked(journal.lock, verb, rollout.by):
            last = journal.load()
            if last is not None and last.state == PENDING:
                if (last.verb, last.version, last.percent) != (verb, version, percent):
                    raise RolloutInterrupted(
                        f"`{last.command}` by {last.by} was interrupted before it could {last.pushes[last.done].says}. "
                        "Run it again to finish it, or undo it with `osteo rollout rollback`."
                        if last.done < len(last.pushes)
                        else f"`{last.command}` by {last.by} is not logged yet. Run it again to finish it."
                    )
                carry_out(last, server, rollout.config, journal, rollout.seconds)
                yield None
                return
            yield _look(rollout, server, journal, last)


def _look(rollout: Rollout, server: ModelServer, journal: Journal, last: Operation | None) -> Situation:
    text = read_text(rollout.config) or ""
    entry = entry_of(parse(text, rollout.config), rollout.model, rollout.config)
    served = server.labels({*LABELS, *entry.labels})
    if served != dict(entry.labels):
        raise RolloutError(
            f"{rollout.config} has the labels {_said(entry.labels)}, the server has {_said(served)}: the file was "
            "edited by hand, or the server reads another one. `osteo rollout rollback` brings the two together again."
        )
    if last is not None and STABLE in entry_from(last.left).labels and STABLE not in served:
        raise RolloutError(
            f"{rollout.config} no longer has the label {STABLE}, which earlier rollouts set. Put it back, or run "
            "`osteo rollout rollback --to VERSION`."
        )
    available = server.available()
    if STABLE not in served and not available:
        raise RolloutError(f"The server at {rollout.server} has no version of {rollout.model!r} that takes requests.")
    return Situation(rollout, server, journal, entry, served.get(STABLE) or available[-1], server.versions())


def _said(labels: object) -> str:
    pairs = dict(labels) if isinstance(labels, dict) else {}
    return ", ".join(f"{label}={version}" for label, version in sorted(pairs.items())) or "none"


def _may_follow(now: Situation, version: int, older: bool) -> bool:
    """Return whether a version was verified; raise where it was changed, or is lower than the live one unsaid."""
    verified = registry.verify(now.base, version)
    if version < now.stable and not older:
        raise RolloutError(
            f"Version {version} is lower than the live version {now.stable}. `osteo rollout rollback` goes back; "
            "to take an older version on purpose, add --older."
        )
    return verified


def _loading(now: Situation, version: int) -> list[Push]:
    """Return the push that loads a version beside the stable one, none where it takes requests already."""
    takes = version in now.statuses and now.statuses[version].state == "AVAILABLE"
    if takes and version in (now.entry.versions or ()):
        return []
    entry = changed(now.labelled, {*(now.labelled.versions or ()), version}, now.labelled.labels)
    return [Push(f"load version {version}", entry=entry.text, available=(now.stable, version))]


def _canary_pushes(now: Situation, version: int, percent: float, unchecked: bool) -> list[Push]:
    if not percent:
        return end_of_canary(now.labelled)
    if version == now.stable:
        raise RolloutError(f"Version {version} is {STABLE} already and cannot be its own canary.")
    registry.verify(now.base, version)
    if not unchecked:
        require_checked(now.journal.folder, now.base, version)
    entry = now.labelled
    labelled = changed(entry, {*(entry.versions or ()), version}, {**entry.labels, CANARY: version})
    label = f"give version {version} the label {CANARY}"
    return [
        *_loading(now, version),
        Push(label, entry=labelled.text, available=(now.stable, version)),
        Push(f"send {percent:g} % of the studies to it", percent=percent),
    ]


def end_of_canary(entry: Entry) -> list[Push]:
    """Return the pushes that end a canary: first no study goes there any more, then the label goes."""
    labels = {label: version for label, version in entry.labels.items() if label != CANARY}
    return [
        Push("send no more studies to the canary", percent=0.0, settle=SETTLE if CANARY in entry.labels else 0.0),
        Push(f"take away the label {CANARY}", entry=changed(entry, entry.versions or (), labels).text),
    ]


def _promote_pushes(now: Situation, version: int) -> list[Push]:
    """Load, then move the label, then unload what was kept for a rollback before: in this order, each waited for."""
    entry = now.labelled
    pushes = _loading(now, version)
    versions = {*(entry.versions or ()), version}
    ended = entry.labels.get(CANARY) == version
    labels = {label: number for label, number in entry.labels.items() if not (ended and label == CANARY)}
    moved = {**labels, STABLE: version, PREVIOUS: now.stable}
    if ended:
        pushes += [Push("send no more studies to the canary", percent=0.0)]
    label = f"move the label {STABLE} to version {version}"
    pushes += [Push(label, entry=changed(entry, versions, moved).text, available=(now.stable, version))]
    outdated = entry.labels.get(PREVIOUS)
    if outdated is not None and outdated not in moved.values():
        left = changed(entry, versions - {outdated}, moved)
        pushes += [Push(f"unload version {outdated}", entry=left.text, gone=(outdated,))]
    return pushes
