"""Tracking: figures reach TensorBoard and MLflow once each, and neither can stop a training."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from training.tracking import TENSORBOARD, MlflowRun, TensorBoardFiles, flat, tracking

PARAMS = {"name": "tiny", "model": {"dense": (8, 4)}, "start": ""}


def _history(count: int) -> list[dict[str, float]]:
    return [{"epoch": n, "loss": 1 / n, "val_loss": 2 / n, "val_auc": 1 - 0.5 / n} for n in range(1, count + 1)]


@pytest.fixture(autouse=True)
def _no_server_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


def _client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


def _runs(folder: Path) -> list[Any]:
    client = _client(folder)
    runs = client.search_runs([client.get_experiment_by_name("osteo").experiment_id])
    return list(runs)


def _steps_in_mlflow(folder: Path, run_id: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in _client(folder).get_metric_history(run_id, "val_loss")]


def _steps_in_tensorboard(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [event.step for event in EventAccumulator(str(folder)).Reload().Tensors("val_auc")]


def test_a_run_is_told_with_its_recipe_figures_and_files(tmp_path: Path) -> None:
    curves = tmp_path / "curves.png"
    curves.write_bytes(b"png")
    with tracking(tmp_path / "runs" / "a", PARAMS, Console(), [curves]) as tracked:
        for count in range(3):
            tracked.write(_history(count))
    (run,) = _runs(tmp_path / "runs")
    assert run.info.run_name == "a"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"name": "tiny", "model.dense.0": "8", "model.dense.1": "4"}
    assert run.data.metrics == {"loss": 0.5, "val_loss": 1.0, "val_auc": 0.75}
    assert _steps_in_mlflow(tmp_path / "runs", run.info.run_id) == [(1, 2.0), (2, 1.0)]
    assert [file.path for file in _client(tmp_path / "runs").list_artifacts(run.info.run_id)] == ["curves.png"]
    assert _steps_in_tensorboard(tmp_path / "runs" / "a" / TENSORBOARD) == [1, 2]


def test_a_run_that_goes_on_writes_no_epoch_twice_and_what_is_missing(tmp_path: Path) -> None:
    run = tmp_path / "a"
    # as after a kill: nothing is closed
    for tracker in (MlflowRun(run, PARAMS, ""), TensorBoardFiles(run / TENSORBOARD)):
        tracker.write(_history(2))
    with tracking(run, PARAMS, Console(), []) as tracked:
        tracked.write(_history(4))
    (only,) = _runs(tmp_path)
    assert [step for step, _ in _steps_in_mlflow(tmp_path, only.info.run_id)] == [1, 2, 3, 4]
    assert _steps_in_tensorboard(run / TENSORBOARD) == [1, 2, 3, 4]
    assert only.info.status == "FINISHED"


def test_a_run_that_somebody_deleted_begins_anew(tmp_path: Path) -> None:
    MlflowRun(tmp_path / "a", PARAMS, "").write(_history(1))
    (first,) = _runs(tmp_path)
    _client(tmp_path).delete_run(first.info.run_id)
    MlflowRun(tmp_path / "a", PARAMS, "").write(_history(2))
    (second,) = _runs(tmp_path)
    assert second.info.run_id != first.info.run_id
    assert len(_steps_in_mlflow(tmp_path, second.info.run_id)) == 2


def test_the_run_of_a_job_is_written_to_and_left_to_the_job_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = _client(tmp_path)
    job = client.create_run(client.create_experiment("osteo", tmp_path.as_uri())).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", job)
    with tracking(tmp_path / "runs" / "a", PARAMS, Console(), []) as tracked:
        tracked.write(_history(2))
    (run,) = _runs(tmp_path)
    assert run.info.run_id == job
    assert run.info.status == "RUNNING"
    assert run.data.params["model.dense.0"] == "8"


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_a_run_that_ends_badly_says_so(error: type[BaseException], status: str, tmp_path: Path) -> None:
    with pytest.raises(error), tracking(tmp_path / "a", PARAMS, Console(), []) as tracked:  # noqa: PT012
        tracked.write(_history(1))
        raise error
    assert [run.info.status for run in _runs(tmp_path)] == [status]


def test_a_server_that_is_down_is_told_once_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://reader:secret@127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = io.StringIO()
    with tracking(tmp_path / "a", PARAMS, Console(file=said), []) as tracked:
        for count in range(3):
            tracked.write(_history(count))
    assert said.getvalue().count("\n") == 1
    assert said.getvalue().startswith("MLflow at 127.0.0.1 could not be written to")
    assert "secret" not in said.getvalue()
    assert _steps_in_tensorboard(tmp_path / "a" / TENSORBOARD) == [1, 2]


def test_a_tracker_that_works_again_catches_up(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.mkdir()
    said = io.StringIO()
    with tracking(tmp_path / "a", PARAMS, Console(file=said), []) as tracked:
        tracked.write(_history(1))
        database.rmdir()
        tracked.write(_history(2))
    assert "its local files could not be written to" in said.getvalue()
    (run,) = _runs(tmp_path)
    assert len(_steps_in_mlflow(tmp_path, run.info.run_id)) == 2


def test_switched_off_it_writes_nothing(tmp_path: Path) -> None:
    with tracking(tmp_path / "a", PARAMS, Console(), [], on=False) as tracked:
        tracked.write(_history(1))
    assert list(tmp_path.iterdir()) == []


def test_a_tree_of_values_is_flattened_by_dotted_names() -> None:
    tree = {"a": {"b": 1, "c": [True, {"d": None}]}}
    assert flat(tree) == {"a.b": "1", "a.c.0": "True", "a.c.1.d": "None"}
