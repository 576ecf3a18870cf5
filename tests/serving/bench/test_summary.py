"""Percentiles, ratios, turns and the line of JSON."""

from __future__ import annotations

import json
import math

import pytest

from serving.bench.summary import finish, machine, ratio, rounded, summarise, take_turns, times


def test_percentiles_are_in_milliseconds() -> None:
    told = summarise([number / 1000 for number in range(1, 101)])
    assert told.n == 100
    assert [told.p50, told.p90, told.p99] == pytest.approx([50.5, 90.1, 99.01])


def test_nothing_measured_is_null_in_json_and_no_error() -> None:
    assert summarise([]).figures() == {"n": 0, "p50_ms": None, "p90_ms": None, "p99_ms": None}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([1.0, 3.0, 100.0], [1.0, 2.0, 3.0], 1.5), ([], [1.0], None), ([1.0], [], None), ([1.0], [0.0], None)],
)
def test_a_ratio_is_that_of_the_medians(first: list[float], second: list[float], expected: float | None) -> None:
    assert ratio(first, second) == expected


def test_arms_take_turns_there_and_back_again() -> None:
    order: list[str] = []
    take_turns([lambda: order.append("a"), lambda: order.append("b"), lambda: order.append("c")], 3, "Turns")
    assert "".join(order) == "abccbaabc"


def test_a_slow_call_is_still_timed_as_often_as_asked() -> None:
    assert len(times(lambda: None, seconds=0.0, least=3)) >= 3


@pytest.mark.parametrize(("value", "expected"), [(1234.567, 1235.0), (0.000123456, 0.0001235), (math.nan, None)])
def test_figures_keep_four_digits(value: float, expected: float | None) -> None:
    assert rounded(value) == expected


def test_the_line_of_json_names_bench_machine_and_commit(capsys: pytest.CaptureFixture[str]) -> None:
    finish("serve", {"figure": 1.0})
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["bench"], told["figure"]) == ("serve", 1.0)
    assert told["machine"].keys() >= {"cpu", "cores", "load", "commit"}
    assert told["machine"]["cores"] >= 1


def test_the_machine_is_told_by_more_than_the_name_of_its_maker() -> None:
    assert len(machine()["cpu"]) > len("Intel")
