"""Carrying out a rollout command push by push, and undoing it where a version fails to load.

A push is written to the config file first and told to the server afterwards. A server that polls the file takes the
same text by itself, so the two agree again even where the command is killed in between; the journal says what is left.
A label is written only once its version is known to take requests, for a server refuses any other.
"""

from __future__ import annotations

import time
from dataclasses import replace

from export.registry import retire
from export.versions import VersionError
from serving.errors import ServerUnavailable, ServingError
from serving.rollout_config import LABELS, Entry, entry_from, entry_of, parse, with_entry
from serving.rollout_files import RolloutError, RolloutInterrupted, read_text, replace_text
from serving.rollout_journal import DONE, UNDONE, Journal, Operation, Push
from serving.rollout_server import ModelServer
from serving.route import ROUTE, route_text

LABEL_SECONDS = 30.0


def carry_out(operation: Operation, server: ModelServer, path: str, journal: Journal, seconds: float) -> Operation:
    """Do what is left of ``operation`` and return it finished; each wait lasts at most ``seconds``.

    Raises ``RolloutError`` where a version cannot be loaded, after everything is as it was again, and
    ``RolloutInterrupted`` where the server or the disk was lost on the way: the same command then goes on.
    """
    operation = journal.save(operation)
    try:
        for place in range(operation.done, len(operation.pushes)):
            operation = _push(operation, operation.pushes[place], server, path, journal, seconds)
            operation = journal.save(replace(operation, done=place + 1))
    except (ServerUnavailable, VersionError) as error:
        raise RolloutInterrupted(f"{error} `{operation.command}` was not finished: run it again to go on.") from error
    except (RolloutError, ServingError) as error:
        if not operation.undo:
            journal.finish(operation, UNDONE, str(error))
            raise RolloutError(f"`{operation.command}` was not finished: {error}") from error
        undo(operation, server, path, journal, seconds, str(error))
        raise RolloutError(f"Everything is as it was before `{operation.command}`, for {error}") from error
    return journal.finish(operation, DONE)


def undo(operation: Operation, server: ModelServer, path: str, journal: Journal, seconds: float, why: str) -> None:
    """Bring back the entry that was there before ``operation``; raise ``RolloutInterrupted`` where that fails too."""
    before = entry_from(operation.before)
    back = Push("bring back what was there", entry=before.text, available=tuple(before.labels.values()))
    try:
        operation = _push(operation, back, server, path, journal, seconds)
    except (RolloutError, ServingError) as error:
        raise RolloutInterrupted(
            f"`{operation.command}` failed ({why}) and could not be undone yet: {error} "
            "Run it again, or `osteo rollout rollback`."
        ) from error
    journal.finish(operation, UNDONE, why)


def _push(
    operation: Operation, push: Push, server: ModelServer, path: str, journal: Journal, seconds: float
) -> Operation:
    if push.percent is not None:
        replace_text(f"{journal.folder}/{ROUTE}", route_text(push.percent))
    if push.entry is not None:
        operation = _push_entry(operation, push, entry_from(push.entry), server, path, journal, seconds)
    if push.settle:
        time.sleep(push.settle)
    if push.retire is not None:
        retire(push.base, push.retire, server.labels(LABELS))
    return operation


def _push_entry(
    operation: Operation, push: Push, entry: Entry, server: ModelServer, path: str, journal: Journal, seconds: float
) -> Operation:
    before = server.versions()
    # the versions of new labels were asked for by an earlier push, and a restarted server may still be loading them
    server.wait_available(entry.labels.values(), before, seconds)
    text = with_entry(_current(operation, path), path, entry)
    operation = journal.save(replace(operation, config=text))
    if read_text(path) != text:
        replace_text(path, text)
    server.reload(parse(text, path), seconds)
    server.wait_available(push.available, before, seconds)
    server.wait_gone(push.gone, seconds)
    _wait_labels(server, entry)
    return operation


def _current(operation: Operation, path: str) -> str:
    """Return the config file as it is, or as it was last written where it has been broken by hand since."""
    text = read_text(path)
    try:
        entry_of(parse(text or "", path), operation.model, path)
    except RolloutError:
        return operation.config
    return text or ""


def _wait_labels(server: ModelServer, entry: Entry) -> None:
    """Return once the server's labels are those of ``entry`` and no other that a rollout sets."""
    give_up = time.monotonic() + LABEL_SECONDS
    names = {*LABELS, *entry.labels}
    while (served := server.labels(names)) != dict(entry.labels):
        if time.monotonic() > give_up:
            raise RolloutError(f"the server's labels are {served} and not {dict(entry.labels)}")
        time.sleep(0.1)
