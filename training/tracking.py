"""Tracking: a run's recipe, figures and results in TensorBoard's files and in MLflow. It can never stop a training.

Without further ado MLflow writes to ``mlflow.db`` and ``mlartifacts`` beside the run's folder. Where
``MLFLOW_TRACKING_URI`` names a server, as in an Azure ML job, it goes there; ``MLFLOW_EXPERIMENT_NAME`` and
``MLFLOW_RUN_ID`` are honoured too.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from rich.console import Console

Epoch = dict[str, float]
Ending = Literal["FINISHED", "FAILED", "KILLED"]
TENSORBOARD: Final = "tensorboard"
_NOTE: Final = "mlflow.json"
"""In the run's folder: which MLflow run it is."""
_FIGURE: Final = "val_loss"
"""Every epoch has it: where it is written, the epoch is."""
_BATCH: Final = 100
"""Parameters an MLflow server takes in one request."""


class Tracker(Protocol):
    """Where figures go."""

    def write(self, history: Sequence[Epoch]) -> None:
        """Write the epochs of ``history`` that are not there yet."""

    def close(self, ending: Ending, artifacts: Sequence[Path]) -> None:
        """Keep the files ``artifacts`` where files are kept, and say how the run ended."""


class Tracking:
    """All trackers of a run. One that fails is told once and tried again after each epoch; it then catches up."""

    def __init__(self, openers: Mapping[str, Callable[[], Tracker]], console: Console) -> None:
        self._openers, self._console = openers, console
        self._open: dict[str, Tracker] = {}
        self._told: set[str] = set()
        self._history: Sequence[Epoch] = ()

    def write(self, history: Sequence[Epoch]) -> None:
        """Write the epochs of ``history`` that are not written yet."""
        self._history = history
        for name in self._openers:
            self._try(name, lambda tracker: tracker.write(history))

    def close(self, ending: Ending, artifacts: Sequence[Path] = ()) -> None:
        """Keep ``artifacts`` and say how the run ended, with all its epochs."""

        def finish(tracker: Tracker) -> None:
            tracker.write(self._history)
            tracker.close(ending, artifacts)

        for name in self._openers if ending == "FINISHED" else tuple(self._open):
            self._try(name, finish)

    def _try(self, name: str, act: Callable[[Tracker], None]) -> None:
        try:
            if name not in self._open:
                self._open[name] = self._openers[name]()
            act(self._open[name])
        except Exception as error:  # whatever a tracker's library or server throws, the training matters more
            if name not in self._told:
                self._told.add(name)
                self._console.print(
                    f"{name} could not be written to ({type(error).__name__}); training goes on, and what is missing "
                    "there is written when it works again. --no-tracking does without.",
                    soft_wrap=True,
                )


@contextmanager
def tracking(
    run: Path, params: Mapping[str, Any], console: Console, artifacts: Sequence[Path], *, on: bool = True
) -> Iterator[Tracking]:
    """Give the trackers of the folder ``run``; close them as the block ends, with ``artifacts`` where it ends well."""
    openers: dict[str, Callable[[], Tracker]] = {}
    if on:
        openers["TensorBoard"] = lambda: TensorBoardFiles(run / TENSORBOARD)
        server = os.environ.get("MLFLOW_TRACKING_URI", "")
        address = urlsplit(server).hostname or "its local files"  # not the whole: it may hold a password
        openers[f"MLflow at {address}"] = lambda: MlflowRun(run, params, server)
    trackers = Tracking(openers, console)
    try:
        yield trackers
    except KeyboardInterrupt:
        trackers.close("KILLED")
        raise
    except BaseException:
        trackers.close("FAILED")
        raise
    trackers.close("FINISHED", artifacts)


class TensorBoardFiles:
    """Event files in ``folder``, a scalar an epoch and figure."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._summary = tf.summary
        self._written = _epochs_in(folder)
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, history: Sequence[Epoch]) -> None:
        """Write the epochs of ``history`` that the files do not hold."""
        for entry in history:
            epoch = int(entry["epoch"])
            if epoch not in self._written:
                with self._writer.as_default(step=epoch):
                    for key, value in _figures(entry).items():
                        self._summary.scalar(key, value)
                self._writer.flush()
                self._written.add(epoch)

    def close(self, ending: Ending, artifacts: Sequence[Path]) -> None:  # noqa: ARG002
        """Close the file."""
        self._writer.close()


def _epochs_in(folder: Path) -> set[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not folder.is_dir():
        return set()
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {event.step for event in events.Tensors(_FIGURE)} if _FIGURE in events.Tags()["tensors"] else set()


class MlflowRun:
    """A run in MLflow: the one that the folder ``run`` began with where it is still there, else a new one."""

    def __init__(self, run: Path, params: Mapping[str, Any], server: str) -> None:
        # nothing of a run leaves the machine unasked, and a server that is down must not hold a training up for minutes
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
        for noisy in ("alembic", "mlflow", "urllib3"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        from mlflow import MlflowClient

        self._uri = server or f"sqlite:///{(run.parent / 'mlflow.db').resolve()}"
        self._client: Any = MlflowClient(tracking_uri=self._uri)
        self._belongs_to_a_job = "MLFLOW_RUN_ID" in os.environ
        self._id = os.environ.get("MLFLOW_RUN_ID") or self._former(run) or self._begin(run, local=not server)
        self._log_params(params)
        self._written = {metric.step for metric in self._client.get_metric_history(self._id, _FIGURE)}

    def write(self, history: Sequence[Epoch]) -> None:
        """Write the epochs of ``history`` that the run does not hold."""
        from mlflow.entities import Metric

        for entry in history:
            epoch, now = int(entry["epoch"]), int(time.time() * 1000)
            if epoch not in self._written:
                metrics = [Metric(key, value, now, epoch) for key, value in _figures(entry).items()]
                self._client.log_batch(self._id, metrics=metrics)
                self._written.add(epoch)

    def close(self, ending: Ending, artifacts: Sequence[Path]) -> None:
        """Keep ``artifacts``; end the run, unless it is a job's, which the job ends itself."""
        for path in artifacts:
            self._client.log_artifact(self._id, str(path))
        if not self._belongs_to_a_job:
            self._client.set_terminated(self._id, ending)

    def _former(self, run: Path) -> str | None:
        from mlflow.exceptions import MlflowException

        note = run / _NOTE
        if not note.is_file():
            return None
        kept = json.loads(note.read_text(encoding="utf-8"))
        if kept["tracking_uri"] != self._uri:
            return None
        try:
            self._client.update_run(kept["run_id"], status="RUNNING")
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # somebody deleted it
                return None
            raise
        return str(kept["run_id"])

    def _begin(self, run: Path, *, local: bool) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "osteo")
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if not experiment:
            found = self._client.get_experiment_by_name(name)
            place = (run.parent / "mlartifacts").resolve().as_uri() if local else None
            experiment = found.experiment_id if found else self._client.create_experiment(name, place)
        run_id = str(self._client.create_run(experiment, run_name=run.name).info.run_id)
        run.mkdir(parents=True, exist_ok=True)
        note = {"tracking_uri": self._uri, "run_id": run_id}
        (run / _NOTE).write_text(json.dumps(note), encoding="utf-8")
        return run_id

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        known = self._client.get_run(self._id).data.params
        fresh = [Param(key, value) for key, value in flat(params).items() if value and key not in known]
        for start in range(0, len(fresh), _BATCH):
            self._client.log_batch(self._id, params=fresh[start : start + _BATCH])


def flat(tree: Any, prefix: str = "") -> dict[str, str]:
    """Return nested mappings and lists as texts by dotted name: ``{"stages.0.epochs": "2"}``."""
    if isinstance(tree, Mapping):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {prefix: str(tree)}
    parts = [flat(value, f"{prefix}.{key}" if prefix else key) for key, value in items]
    return {name: value for part in parts for name, value in part.items()}


def _figures(entry: Epoch) -> dict[str, float]:
    return {key: float(value) for key, value in entry.items() if key != "epoch"}
