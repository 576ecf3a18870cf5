"""Loads, hands out and unloads model versions, so that a model never stops answering while its versions change.

Follows TensorFlow Serving's core/aspired_versions_manager.cc with its availability_preserving_policy.cc: a new version
is loaded while the old one serves; the old one goes only when an aspired one is ready; a running request keeps its
version alive until it is done.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from types import TracebackType

from serving.embedded.servable import Servable
from serving.embedded.source import Aspired
from serving.embedded.status import Code, ServingError

log = logging.getLogger("serving.embedded")

TICK_SECONDS = 0.1


class State(IntEnum):
    """GetModelStatusResponse's ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """What is known of one version: its state, and the error that ended it, if one did."""

    version: int
    state: State
    error: ServingError | None


@dataclass(frozen=True)
class LoadPolicy:
    """How loads and unloads are done: tries after the first failure, the wait between them, how many at a time."""

    max_retries: int
    retry_seconds: float
    load_threads: int
    unload_threads: int


@dataclass
class _Version:
    """One version under management; every field is guarded by the manager's lock."""

    model: str
    version: int
    path: str
    state: State = State.START
    error: ServingError | None = None
    aspired: bool = True
    servable: Servable | None = None
    leases: int = 0
    dropped: threading.Event = field(default_factory=threading.Event)


class Lease:
    """A hold on one version for the length of one request: `with lease as servable:`."""

    __slots__ = ("_manager", "_version", "servable")

    def __init__(self, manager: "VersionManager", version: _Version, servable: Servable) -> None:
        self._manager = manager
        self._version = version
        self.servable = servable

    def __enter__(self) -> Servable:
        return self.servable

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.release(self._version)


class VersionManager:
    """Owns every loaded version. `load` turns (model, version, folder) into a warmed servable, or raises."""

    def __init__(self, load: Callable[[str, int, str], Servable], policy: LoadPolicy) -> None:
        self._load = load
        self._policy = policy
        self._changed = threading.Condition(threading.Lock())
        self._wanted: dict[str, Aspired] = {}
        self._managed: dict[str, dict[int, _Version]] = {}
        self._ended: dict[str, dict[int, VersionStatus]] = {}
        self._serving: dict[str, dict[int, _Version]] = {}
        self._load_slots = threading.Semaphore(max(1, policy.load_threads))
        self._unload_slots = threading.Semaphore(max(1, policy.unload_threads))
        self._stopping = False
        self._thread = threading.Thread(target=self._manage, name="version-manager", daemon=True)
        self._thread.start()

    def aspire(self, model: str, versions: Aspired) -> None:
        """Make `versions` the only ones wanted of `model`; what follows happens in the background."""
        with self._changed:
            self._wanted[model] = versions
            self._managed.setdefault(model, {})
            self._reconcile(model)
            self._changed.notify_all()

    def acquire(self, model: str, version: int | None) -> Lease:
        """Return a hold on the given or the newest serving version. Raises ServingError(NOT_FOUND)."""
        with self._changed:
            serving = self._serving.get(model)
            if serving:
                found = serving.get(max(serving) if version is None else version)
                if found is not None and found.servable is not None:
                    found.leases += 1
                    return Lease(self, found, found.servable)
        wanted = f"Latest({model})" if version is None else f"Specific({model}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")

    def release(self, version: _Version) -> None:
        """Give back what `acquire` gave; the last hold on a version that is to go lets it go."""
        with self._changed:
            version.leases -= 1
            if not version.leases and version.state is State.UNLOADING:
                self._changed.notify_all()

    def statuses(self, model: str) -> list[VersionStatus]:
        """Return every version of `model` ever managed, newest first; those gone are listed as END."""
        with self._changed:
            return self._statuses(model)

    def _statuses(self, model: str) -> list[VersionStatus]:
        known = dict(self._ended.get(model, {}))
        for version in self._managed.get(model, {}).values():
            known[version.version] = VersionStatus(version.version, version.state, version.error)
        return [known[number] for number in sorted(known, reverse=True)]

    def is_available(self, model: str, version: int) -> bool:
        """Return whether this very version takes requests now."""
        with self._changed:
            return version in self._serving.get(model, {})

    def wait_until_available(self, models: Iterable[str], timeout: float | None, give_up: Callable[[], bool]) -> None:
        """Return once each model has a version that serves.

        Raises ServingError(UNKNOWN) with every error if a model's versions have all failed, DEADLINE_EXCEEDED after
        `timeout` seconds, CANCELLED when `give_up` says so. Without a `timeout` the words are those of a start
        (load_servables_fast.cc), with one those of a reload (server_core.cc).
        """
        end = None if timeout is None else time.monotonic() + timeout
        waiting = list(models)
        with self._changed:
            while True:
                pending, failed = self._pending(waiting)
                if not pending and not failed:
                    return
                if not pending or give_up():
                    break
                if end is not None and time.monotonic() >= end:
                    text = f"Gave up waiting for models to become available: {', '.join(sorted(pending))}"
                    raise ServingError(Code.DEADLINE_EXCEEDED, text)
                self._changed.wait(TICK_SECONDS)
        if not failed:
            raise ServingError(Code.CANCELLED, "Gave up waiting for models to become available")
        causes = [
            f"{{name: {model} version: {status.version}}} due to error: {status.error}" for model, status in failed
        ]
        what = "servable(s)" if timeout is None else "model(s)"
        listed = ", ".join(causes if timeout is None else [f"{{{cause}}}" for cause in causes])
        raise ServingError(Code.UNKNOWN, f"{len(failed)} {what} did not become available: {{{listed}, }}")

    def _pending(self, models: list[str]) -> tuple[list[str], list[tuple[str, VersionStatus]]]:
        pending: list[str] = []
        failed: list[tuple[str, VersionStatus]] = []
        for model in models:
            if self._serving.get(model):
                continue
            managed = [version for version in self._managed.get(model, {}).values() if version.aspired]
            if managed and all(version.state is State.END for version in managed):
                failed += [(model, VersionStatus(v.version, v.state, v.error)) for v in managed]
            else:
                pending.append(model)
        return pending, failed

    def _manage(self) -> None:
        with self._changed:
            while not self._stopping:
                for model in list(self._managed):
                    self._reconcile(model)
                    self._act(self._managed[model])
                self._changed.wait()

    def _reconcile(self, model: str) -> None:
        """Mark what is wanted and add what is new; a version on its way out is added again once it is gone."""
        wanted, managed = self._wanted.get(model, {}), self._managed[model]
        for version in managed.values():
            version.aspired = version.version in wanted and version.state is not State.UNLOADING
            if not version.aspired:
                version.dropped.set()
            elif version.state is State.AVAILABLE:
                version.dropped.clear()
        for version in list(managed.values()):
            if not version.aspired and version.state in (State.START, State.END):
                self._forget(version)
        for number, path in wanted.items():
            if number not in managed:
                managed[number] = _Version(model, number, path)

    def _act(self, versions: dict[int, _Version]) -> None:
        """Start whatever the policy allows for one model now; called with the lock held."""
        aspired = [version for version in versions.values() if version.aspired]
        serving = any(version.state is State.AVAILABLE for version in aspired)
        for version in list(versions.values()):
            if not version.aspired and version.state is State.AVAILABLE and (serving or not aspired):
                self._start_unload(version)
        for version in sorted(aspired, key=lambda v: v.version, reverse=True):
            if version.state is State.START:
                version.state = State.LOADING
                self._spawn(self._load_version, version)

    def _start_unload(self, version: _Version) -> None:
        version.state = State.UNLOADING
        self._publish(version.model)
        self._spawn(self._unload_version, version)

    def _publish(self, model: str) -> None:
        """Set which versions take requests; called with the lock held."""
        managed = self._managed.get(model, {}).values()
        self._serving[model] = {v.version: v for v in managed if v.state is State.AVAILABLE}
        self._changed.notify_all()

    def _forget(self, version: _Version) -> None:
        ended = VersionStatus(version.version, State.END, version.error)
        self._ended.setdefault(version.model, {})[version.version] = ended
        del self._managed[version.model][version.version]
        self._changed.notify_all()

    @staticmethod
    def _spawn(work: Callable[[_Version], None], version: _Version) -> None:
        name = f"{work.__name__.strip('_')}-{version.model}-{version.version}"
        threading.Thread(target=work, args=(version,), name=name, daemon=True).start()

    def _load_version(self, version: _Version) -> None:
        started = time.monotonic()
        servable, error = self._load_with_retries(version)
        with self._changed:
            version.servable = servable
            # A copy, for the error's traceback holds on to all that was loaded until it failed.
            version.error = None if error is None else ServingError(error.code, error.message)
            version.state = State.AVAILABLE if servable else State.END
            self._publish(version.model)
            if error is not None and version.dropped.is_set():
                # It was given up, not refused: should it be wanted again by now, it is to be tried again.
                self._forget(version)
        seconds = time.monotonic() - started
        if error is None:
            log.info("loaded model=%s version=%d seconds=%.2f", version.model, version.version, seconds)

    def _load_with_retries(self, version: _Version) -> tuple[Servable | None, ServingError | None]:
        for attempt in range(self._policy.max_retries + 1):
            try:
                with self._load_slots:
                    return self._load(version.model, version.version, version.path), None
            except ServingError as error:
                failure = error
            except Exception as error:
                log.exception("load failed unexpectedly model=%s version=%d", version.model, version.version)
                failure = ServingError(Code.INTERNAL, f"Loading failed: {type(error).__name__}: {error}")
            log.error(
                "load failed model=%s version=%d attempt=%d error=%r",
                version.model,
                version.version,
                attempt + 1,
                str(failure),
            )
            if attempt < self._policy.max_retries and version.dropped.wait(max(0.0, self._policy.retry_seconds)):
                break
        return None, failure

    def _unload_version(self, version: _Version) -> None:
        with self._changed:
            while version.leases:
                self._changed.wait(1.0)
            servable, version.servable = version.servable, None
        with self._unload_slots:
            if servable is not None:
                servable.run.close()
            del servable
        with self._changed:
            self._forget(version)
        log.info("unloaded model=%s version=%d", version.model, version.version)

    def stop(self) -> None:
        """Stop managing; what is loaded stays loaded, for the process is about to end."""
        with self._changed:
            self._stopping = True
            for versions in self._managed.values():
                for version in versions.values():
                    version.dropped.set()
            self._changed.notify_all()
        self._thread.join(timeout=5)
