"""`osteo rollout promote` killed at each of its steps, and run again: the same end, and answers throughout."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from export.registry import publish_folder
from serving.bench_models import SIZE
from serving.client import FractureClient
from serving.errors import ServingError
from serving.following import STABLE
from serving.rollout import Rollout, first_config, stage
from serving.rollout_back import rollback
from serving.rollout_config import LABELS, PREVIOUS, entry_of, parse
from serving.rollout_files import RolloutInterrupted
from serving.rollout_server import ModelServer
from serving.rollout_status import status
from tests.model_server import ROOT, serve
from tests.serving.rolled import reload

STEPS = [
    ("journal.json", 1, "before"),  # nothing is written down yet
    ("journal.json", 1, "after"),  # the plan stands
    ("models.config", 1, "before"),
    ("models.config", 1, "after"),  # the file asks for the new version, the server was not told
    ("journal.json", 3, "before"),  # it is loaded
    ("journal.json", 3, "after"),
    ("models.config", 2, "before"),
    ("models.config", 2, "after"),  # the file has the new labels, the server was not told
    ("journal.json", 5, "before"),  # the label has moved
    ("journal.json", 6, "before"),  # all is done and logged, but for the journal's end
    ("journal.json", 6, "after"),  # only the lock is left
]
"""What the command is about to put in its place, or has just put there, when it is killed."""
POLL_SECONDS = 1


@pytest.fixture(scope="module")
def rollout(bench_versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    """A server that polls its config file, with two published versions."""
    folder = tmp_path_factory.mktemp("killed")
    base, config = folder / "versions", folder / "state" / "models.config"
    for version in (1, 2):
        publish_folder(bench_versions / str(version), base)
    settings = Rollout("", str(config), "fracture", "tester", base=str(base), seconds=60)
    first_config(settings, 1)
    flags = (f"--model_config_file={config}", f"--model_config_file_poll_wait_seconds={POLL_SECONDS}")
    more = ("--allow_version_labels_for_unavailable_models=true", "--max_num_load_retries=0")
    with serve(base, folder / "server.log", *flags, *more) as server:
        yield Rollout(server.target, str(config), "fracture", "tester", base=str(base), seconds=60)


def start_anew(rollout: Rollout) -> None:
    """Bring back version 1 alone, with no history."""
    shutil.rmtree(f"{rollout.config}.rollout", ignore_errors=True)
    Path(rollout.config).unlink()
    first_config(rollout, 1)
    reload(rollout)
    with ModelServer(rollout.server, rollout.model) as server:
        server.wait_gone([2], 60)


def served(rollout: Rollout) -> tuple[dict[str, int], list[int]]:
    with ModelServer(rollout.server, rollout.model) as server:
        return server.labels(LABELS), server.available()


def in_file(rollout: Rollout) -> dict[str, int]:
    text = Path(rollout.config).read_text()
    return dict(entry_of(parse(text, rollout.config), rollout.model, rollout.config).labels)


@contextmanager
def answers(rollout: Rollout) -> Iterator[list[str]]:
    """Ask without pause for the length of the block; the list holds every failure and every unexpected version."""
    faults: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        image = np.full((1, SIZE, SIZE, 1), 100, np.uint8)
        with FractureClient(rollout.server) as client:
            while not stop.wait(0.02):
                try:
                    told = client.predict(image)[0]
                except ServingError as error:
                    faults.append(str(error))
                    continue
                if (told.version, told.label) not in ((1, STABLE), (2, STABLE)):
                    faults.append(f"version {told.version} answered to {told.label}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield faults
    finally:
        stop.set()
        thread.join(timeout=60)


def promote(rollout: Rollout, *trap: str) -> subprocess.CompletedProcess[str]:
    words = ["rollout", "promote", "2", "--unchecked", "--config", rollout.config, "--server", rollout.server]
    module = ["-m", "tests.serving.killed", *trap, "--"] if trap else ["-m", "osteo"]
    return subprocess.run(
        [sys.executable, *module, *words], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "nth", "moment"), STEPS, ids=["-".join(map(str, step)) for step in STEPS])
def test_promote_killed_and_run_again_ends_the_same(rollout: Rollout, name: str, nth: int, moment: str) -> None:
    start_anew(rollout)
    with answers(rollout) as faults:
        killed = promote(rollout, name, str(nth), moment)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        deadline = time.monotonic() + 30
        while in_file(rollout) != served(rollout)[0]:
            assert time.monotonic() < deadline, (in_file(rollout), served(rollout))
            time.sleep(0.2)
        again = promote(rollout)
        assert (again.returncode, again.stderr) == (0, "")
    assert faults == []
    assert served(rollout) == ({STABLE: 2, PREVIOUS: 1}, [1, 2])
    assert in_file(rollout) == {STABLE: 2, PREVIOUS: 1}
    log = Path(f"{rollout.config}.rollout/log.jsonl").read_text().splitlines()
    assert [(json.loads(line)["did"], json.loads(line)["outcome"]) for line in log] == [("promote 2", "done")]
    assert not Path(f"{rollout.config}.rollout/lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", [1, 2], ids=["loaded", "labels moved"])
def test_a_killed_promote_is_undone_by_rolling_back_and_blocks_other_commands(rollout: Rollout, place: int) -> None:
    start_anew(rollout)
    assert promote(rollout, "models.config", str(place), "after").returncode == -signal.SIGKILL
    with pytest.raises(RolloutInterrupted, match=r"`promote 2` by .* was interrupted before it could"):
        stage(rollout, 2)
    assert any("was interrupted" in note for note in status(rollout).notes)
    rollback(rollout)
    assert served(rollout)[0] == in_file(rollout) == {STABLE: 1}
    stage(rollout, 2)
    assert served(rollout) == ({STABLE: 1}, [1, 2])
