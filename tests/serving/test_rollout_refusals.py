"""What a rollout refuses: one sentence, and config, labels and loaded versions as they were."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import ServingError
from serving.rollout import canary, first_config, promote, retire, stage
from serving.rollout_back import rollback
from serving.rollout_files import RolloutError, RolloutLocked
from serving.rollout_lock import locked
from serving.rollout_report import check
from tests import processes
from tests.model_server import ROOT
from tests.serving.rolled import Place


def empty_folder(place: Place) -> None:
    (place.base / "2").mkdir()


def truncated_variables(place: Place) -> None:
    """Half of the variables, published as if that were all."""
    broken = place.base.parent / "broken"
    subprocess.run(["cp", "-r", place.built / "2", broken], check=True)
    (data,) = (broken / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    place.publish(2, broken)


def changed_later(place: Place) -> None:
    (data,) = (place.publish(2) / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[:-1])


def live_is_higher(place: Place) -> None:
    place.publish(2)
    promote(place.rollout, 2, unchecked=True)


def read_only(place: Place) -> None:
    place.publish(2)
    place.config.chmod(0o444)


def published(place: Place) -> None:
    place.publish(2)


def nothing(place: Place) -> None:
    pass


def label_moved_by_hand(place: Place) -> None:
    place.publish(2)
    place.config.write_text(place.config.read_text().replace("value: 1", "value: 7"))


CASES: dict[str, tuple[Callable[[Place], None], Callable[[Place], object], str]] = {
    "no SavedModel": (empty_folder, lambda p: stage(p.rollout, 2), "holds no SavedModel"),
    "truncated variables": (truncated_variables, lambda p: stage(p.rollout, 2), "version 2 could not be loaded"),
    "promoted unstaged": (truncated_variables, lambda p: promote(p.rollout, 2, unchecked=True), "could not be loaded"),
    "changed": (changed_later, lambda p: stage(p.rollout, 2), r"variables\.data.* was changed"),
    "lower": (live_is_higher, lambda p: stage(p.rollout, 1), "lower than the live version 2"),
    "unknown version": (nothing, lambda p: stage(p.rollout, 8), "holds no version 8"),
    "unchecked": (published, lambda p: promote(p.rollout, 2), "has not been checked"),
    "unstaged check": (published, lambda p: check(p.rollout, 2), "Load it first"),
    "unknown model": (published, lambda p: stage(replace(p.rollout, model="nobody"), 2), "nobody"),
    "share": (published, lambda p: canary(p.rollout, 2, 101), "0 to 100 percent"),
    "own canary": (nothing, lambda p: canary(p.rollout, 1, 5), "its own canary"),
    "retire stable": (nothing, lambda p: retire(p.rollout, 1), "bears the label 'stable'"),
    "nothing before": (nothing, lambda p: rollback(p.rollout), "no version before it is known"),
    "read-only": (read_only, lambda p: stage(p.rollout, 2), "is read-only"),
    "no such config": (nothing, lambda p: stage(replace(p.rollout, config="/nowhere/c"), 1), "is not there"),
    "first config again": (nothing, lambda p: first_config(p.rollout), "was left as it is"),
    "by hand": (label_moved_by_hand, lambda p: stage(p.rollout, 2), "edited by hand"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_sentence_and_nothing_changes(place: Place, case: str) -> None:
    prepare, act, words = CASES[case]
    prepare(place)
    before = place.config.read_text(), place.served()
    with pytest.raises(Exception, match=words) as raised:
        act(place)
    assert type(raised.value).__module__.split(".")[0] in {"serving", "export"}
    assert "\n" not in str(raised.value)
    assert place.served() == before[1]
    assert entry_lines(place.config.read_text()) == entry_lines(before[0])


def entry_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_a_server_that_does_not_answer_changes_nothing(place: Place) -> None:
    before = place.config.read_text()
    nowhere = replace(place.rollout, server=f"127.0.0.1:{processes.free_port()}")
    with pytest.raises(ServingError, match="No model server answers"):
        stage(nowhere, 1)
    assert place.config.read_text() == before
    assert not (place.state / "journal.json").exists()


def test_a_lower_version_is_taken_when_that_is_said(place: Place) -> None:
    live_is_higher(place)
    stage(place.rollout, 1, older=True)
    promote(place.rollout, 1, older=True, unchecked=True)
    assert place.served()[0]["stable"] == 1


def lock_of(place: Place, **changes: object) -> None:
    own = {"host": socket.gethostname(), "pid": os.getpid(), "by": "another", "verb": "promote 2", "time": 0.0}
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    place.state.mkdir(parents=True, exist_ok=True)
    (place.state / "lock").write_text(json.dumps({**own, "started": start, **changes}))


def test_two_operators_do_not_work_at_once(place: Place) -> None:
    place.publish(2)
    lock_of(place)
    with pytest.raises(RolloutLocked, match="being run by another"):
        stage(place.rollout, 2)
    assert place.served()[1] == [1]


def test_of_many_at_once_one_gets_the_lock(tmp_path: Path) -> None:
    """Also where the lock of a dead process has to be taken over first."""
    path = tmp_path / "lock"
    own = {"host": socket.gethostname(), "pid": ended_process(), "started": "1", "by": "x", "verb": "x", "time": 0.0}
    path.write_text(json.dumps(own))
    together, release = threading.Barrier(8), threading.Event()

    def work(number: int) -> bool:
        together.wait()
        try:
            with locked(str(path), "stage", f"operator {number}"):
                release.wait(30)
                return True
        except RolloutLocked:
            return False
        finally:
            refused.release()

    refused = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(work, number) for number in range(8)]
        for _ in range(7):
            assert refused.acquire(timeout=30)
        release.set()
        assert sum(result.result() for result in results) == 1
    assert not path.exists()


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""], cwd=ROOT)
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    "changes",
    [{"pid": None}, {"started": "1"}, {"host": "elsewhere", "time": 1.0}],
    ids=["process ended", "number given again", "old and elsewhere"],
)
def test_a_lock_left_behind_is_taken_over(place: Place, changes: dict[str, object]) -> None:
    lock_of(place, **{key: ended_process() if value is None else value for key, value in changes.items()})
    place.publish(2)
    stage(place.rollout, 2)
    assert place.served()[1] == [1, 2]
    assert not (place.state / "lock").exists()


def test_a_fresh_lock_of_another_machine_holds(place: Place) -> None:
    lock_of(place, host="elsewhere", time=9e12)
    with pytest.raises(RolloutError, match="on elsewhere"):
        rollback(place.rollout)
