"""The canary's share: as large as was said, the same for the same study, and read from the file while clients run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from serving.route import LOOK_EVERY, Route, bucket, route_text, to_canary

STUDIES = [f"1.2.840.{number}.{number % 97}" for number in range(10_000)]


@pytest.mark.parametrize("percent", [0, 0.5, 10, 33.3, 50, 99, 100])
def test_the_share_is_within_a_percent_over_ten_thousand_studies(percent: float) -> None:
    share = sum(to_canary(study, percent) for study in STUDIES) / len(STUDIES) * 100
    assert share == pytest.approx(percent, abs=1 if 0 < percent < 100 else 0)


def test_the_same_study_always_goes_the_same_way() -> None:
    assert [bucket(study) for study in STUDIES] == [bucket(study) for study in STUDIES]
    # a value from another process and another day: the way must not depend on Python's own hash
    assert bucket("1.2.840.113619.2.1") == 2901


def test_a_larger_share_keeps_who_went_before() -> None:
    assert {study for study in STUDIES if to_canary(study, 10)} < {study for study in STUDIES if to_canary(study, 25)}


@pytest.mark.parametrize(
    ("text", "percent"),
    [(route_text(12.5), 12.5), (route_text(250), 100), ("{}", 0), ("no json", 0), ("[1]", 0)],
    ids=["as said", "too much", "empty", "broken", "other"],
)
def test_a_route_file_is_read_or_means_no_canary(tmp_path: Path, text: str, percent: float) -> None:
    (tmp_path / "route.json").write_text(text)
    assert Route(tmp_path / "route.json").percent == percent


def test_a_route_follows_its_file(tmp_path: Path) -> None:
    followed = Route(tmp_path / "route.json")
    assert followed.percent == 0
    (tmp_path / "route.json").write_text(route_text(100))
    time.sleep(LOOK_EVERY)
    assert followed.is_canary("any study")
