"""A release on a real server: what each command changes, and that doing it twice changes nothing more."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.golden import GOLDEN
from export.registry import numbers, publish_folder
from serving.following import CANARY, STABLE
from serving.rollout import canary, promote, retire, stage
from serving.rollout_back import rollback
from serving.rollout_config import PREVIOUS, entry_of, parse
from serving.rollout_files import RolloutError, replace_text
from serving.rollout_report import Report, check
from serving.rollout_status import status
from tests.serving.rolled import Place, reload


def log(place: Place) -> list[dict[str, object]]:
    return [json.loads(line) for line in (place.state / "log.jsonl").read_text().splitlines()]


def labels_in_file(place: Place) -> dict[str, int]:
    config = parse(place.config.read_text(), str(place.config))
    return dict(entry_of(config, place.rollout.model, str(place.config)).labels)


def staged(place: Place, version: int = 2) -> None:
    place.publish(version)
    stage(place.rollout, version)


def checked(place: Place, version: int = 2) -> Report:
    staged(place, version)
    return check(place.rollout, version, count=2)


def test_a_staged_version_is_loaded_and_unlabelled(place: Place) -> None:
    staged(place)
    stage(place.rollout, 2)
    assert place.served() == ({STABLE: 1}, [1, 2])


def test_a_promoted_version_is_stable_and_the_one_before_stays(place: Place) -> None:
    assert checked(place).passed
    promote(place.because("better"), 2)
    assert place.served() == ({STABLE: 2, PREVIOUS: 1}, [1, 2])
    assert labels_in_file(place) == {STABLE: 2, PREVIOUS: 1}
    assert "already" in promote(place.rollout, 2)
    assert [(line["did"], line["from"], line["to"], line["who"], line["why"]) for line in log(place)] == [
        ("stage 2", 1, 1, "tester", ""),
        ("promote 2", 1, 2, "tester", "better"),
    ]


def test_promoting_unloads_what_was_kept_before(place: Place) -> None:
    for version in (2, 4):
        place.publish(version)
        promote(place.rollout, version, unchecked=True)
    assert place.served() == ({STABLE: 4, PREVIOUS: 2}, [2, 4])


def test_a_canary_gets_label_and_share_until_it_is_promoted(place: Place) -> None:
    checked(place)
    canary(place.rollout, 2, 12.5)
    assert place.served() == ({STABLE: 1, CANARY: 2}, [1, 2])
    assert json.loads((place.state / "route.json").read_text()) == {"canary_percent": 12.5}
    assert status(place.rollout).canary_percent == 12.5
    promote(place.rollout, 2)
    assert place.served()[0] == {STABLE: 2, PREVIOUS: 1}
    assert json.loads((place.state / "route.json").read_text()) == {"canary_percent": 0.0}


def test_rolling_back_ends_a_canary_first(place: Place) -> None:
    staged(place)
    canary(place.rollout, 2, 10, unchecked=True)
    rollback(place.rollout)
    assert place.served() == ({STABLE: 1}, [1, 2])


def test_rolling_back_goes_to_the_version_before(place: Place) -> None:
    staged(place)
    promote(place.rollout, 2, unchecked=True)
    assert "Version 1 is stable" in rollback(place.rollout)
    assert place.served() == ({STABLE: 1}, [1, 2])
    with pytest.raises(RolloutError, match="no version before it is known"):
        rollback(place.rollout)


@pytest.mark.parametrize(
    ("edit", "reloaded"),
    [
        (lambda text: "no proto {", False),
        (lambda text: text.replace('key: "stable"', 'key: "good"'), True),
        (lambda text: text.replace("value: 2", "value: 1"), True),
        (lambda text: "", False),
    ],
    ids=["garbage", "label renamed", "label moved", "empty"],
)
def test_rolling_back_undoes_what_was_edited_by_hand(place: Place, edit: object, reloaded: bool) -> None:
    staged(place)
    promote(place.rollout, 2, unchecked=True)
    assert callable(edit)
    place.config.write_text(edit(place.config.read_text()))
    if reloaded:
        reload(place.rollout)
    rollback(place.rollout)
    assert place.served()[0] == labels_in_file(place) == {STABLE: 2, PREVIOUS: 1}


def test_rolling_back_takes_a_broken_newest_version_out(place: Place) -> None:
    staged(place)
    promote(place.rollout, 2, unchecked=True)
    shutil.copytree(place.built / "4", place.base / "9")
    (place.base / "9" / "saved_model.pb").write_bytes(b"broken")
    place.config.write_text(place.config.read_text().replace("versions: 2", "versions: 2\n        versions: 9"))
    reload(place.rollout)
    rollback(place.rollout, to=1)
    assert place.served() == ({STABLE: 1}, [1, 2])
    assert "versions: 9" not in place.config.read_text()


def test_a_retired_version_is_unloaded_and_out_of_the_registry(place: Place) -> None:
    staged(place)
    retire(place.rollout, 2)
    retire(place.rollout, 2)
    assert place.served() == ({STABLE: 1}, [1])
    assert numbers(place.base) == [1]


@pytest.mark.parametrize("version", [1, 2], ids=["previous", "stable"])
def test_a_labelled_version_is_never_retired(place: Place, version: int) -> None:
    staged(place)
    promote(place.rollout, 2, unchecked=True)
    with pytest.raises(RolloutError, match="bears the label"):
        retire(place.rollout, version)
    assert numbers(place.base) == [1, 2]


def test_a_model_without_labels_is_given_the_label_of_what_it_serves(place: Place) -> None:
    text = f'model_config_list {{ config {{ name: "{place.rollout.model}" base_path: "{place.base}"'
    place.config.write_text(text + ' model_platform: "tensorflow" } }')
    reload(place.rollout)
    staged(place)
    assert place.served() == ({STABLE: 1}, [1, 2])


def test_other_models_of_the_config_file_are_kept(place: Place) -> None:
    other = f'config {{ name: "other" base_path: "{place.base}" model_platform: "tensorflow" }}'
    place.config.write_text(place.config.read_text().replace("model_config_list {", f"model_config_list {{ {other}"))
    staged(place)
    config = parse(place.config.read_text(), str(place.config))
    assert entry_of(config, "other", str(place.config)).labels == {}


def test_a_check_reports_golden_cases_flips_and_a_picture(place: Place) -> None:
    report = checked(place, 4)
    assert [(outcome.name, outcome.passed) for outcome in report.outcomes] == [
        ("signature", True),
        ("smoke", True),
        ("golden", True),
    ]
    assert report.shadow is not None
    figures = report.shadow.figures()
    assert figures["mean_shift"] == pytest.approx(0.4, abs=1e-4)
    assert figures["up_across_suspicion"] + figures["up_across_fracture"] > 0
    assert (Path(report.folder) / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert "mean shift" in (Path(report.folder) / "report.md").read_text()


def test_another_signature_is_refused_at_the_check_with_the_difference(place: Place) -> None:
    report = checked(place, 5)
    assert not report.passed
    assert "serving_default has no output heatmap" in report.outcomes[0].says
    with pytest.raises(RolloutError, match="did not pass its check"):
        promote(place.rollout, 5)
    assert place.served()[0] == {STABLE: 1}


@pytest.mark.parametrize(
    ("off", "allowed", "passes"), [(5e-4, 1e-3, True), (2e-3, 1e-3, False), (2e-3, 0.02, True), (0.03, 0.02, False)]
)
def test_golden_cases_may_be_off_by_what_the_version_allows(
    place: Place, tmp_path: Path, off: float, allowed: float, passes: bool
) -> None:
    shutil.copytree(place.built / "2", tmp_path / "other")
    with np.load(tmp_path / "other" / GOLDEN) as golden:
        arrays = dict(golden)
    assert arrays["tolerance"] == 1e-3, "of a version in float32"
    arrays["tolerance"] = np.float64(allowed)
    arrays["probability"] = arrays["probability"] + np.float32(off)
    np.savez_compressed(tmp_path / "other" / GOLDEN, **arrays)
    place.publish(2, tmp_path / "other")
    stage(place.rollout, 2)
    report = check(place.rollout, 2, count=1)
    assert report.passed is passes
    assert {outcome.name: outcome.passed for outcome in report.outcomes}["golden"] is passes


def test_status_tells_what_disagrees(place: Place) -> None:
    staged(place)
    found = status(place.rollout)
    assert [(line.version, line.disk, line.server, line.labels) for line in found.versions] == [
        (1, "verified", "AVAILABLE", (STABLE,)),
        (2, "verified", "AVAILABLE", ()),
    ]
    assert (found.stable, found.newest, found.notes) == (1, 2, ())
    place.config.write_text(place.config.read_text().replace('key: "stable"', 'key: "good"'))
    assert any("the server has" in note for note in status(place.rollout).notes)


def test_a_version_that_fails_to_load_is_in_the_log_with_its_reason(place: Place, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"broken")
    place.publish(2, tmp_path / "broken")
    with pytest.raises(RolloutError, match="Everything is as it was"):
        stage(place.because("try it"), 2)
    (line,) = log(place)
    assert (line["did"], line["outcome"], line["why"]) == ("stage 2", "undone", "try it")
    assert "could not be loaded" in str(line["error"])


def test_config_and_registry_may_lie_on_object_storage(place: Place) -> None:
    bucket = f"memory://{place.rollout.model}"
    rollout = replace(place.rollout, config=f"{bucket}/models.config")
    # the server of this test reads local folders only, so the copy in the bucket is what is verified
    for version in (1, 2):
        publish_folder(place.built / str(version), f"{bucket}/versions")
    place.publish(2)
    replace_text(rollout.config, place.config.read_text())
    remote = replace(rollout, base=f"{bucket}/versions")
    stage(remote, 2)
    assert check(remote, 2, count=1).passed
    promote(remote, 2)
    assert place.served() == ({STABLE: 2, PREVIOUS: 1}, [1, 2])
    assert [line.disk for line in status(remote).versions] == ["verified", "verified"]
