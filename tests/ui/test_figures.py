"""Figures of a model card: right points, words for who cannot see them, nothing drawn that the card does not hold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from export import contract
from export.versions import newest
from ui import figures, models_html
from ui.models import Models, Version
from ui.words import percent


def counted(*bins: tuple[float, float, int, int]) -> tuple[contract.CalibrationBin, ...]:
    """Return bins of (low, high, fractured, n)."""
    return tuple(
        contract.CalibrationBin(low, high, contract.Metric(hits / n, 0.0, 1.0, n)) for low, high, hits, n in bins
    )


BINS = counted((0.0, 0.1, 1, 50), (0.1, 0.5, 4, 20), (0.5, 1.0, 15, 30))


@pytest.fixture(scope="module")
def shipped(project_root: Path) -> contract.ModelCard:
    return contract.read_card(newest(project_root / "models" / "fracture"))


@pytest.fixture
def card(shipped: contract.ModelCard) -> contract.ModelCard:
    return replace(shipped, calibration=BINS)


def test_the_roc_curve_is_exact_at_the_edges_of_the_bins() -> None:
    points = figures.roc_points(BINS)
    assert [point.false_rate for point in points] == pytest.approx([0, 15 / 80, 31 / 80, 1])
    assert [point.found_rate for point in points] == pytest.approx([0, 15 / 20, 19 / 20, 1])


@pytest.mark.parametrize("bins", [(), counted((0.0, 1.0, 0, 9)), counted((0.0, 1.0, 9, 9))])
def test_no_curve_is_drawn_of_one_kind_of_radiographs(bins: tuple[contract.CalibrationBin, ...]) -> None:
    assert figures.roc_points(bins) == ()


def test_reliability_draws_each_bin_where_it_lies_and_says_it(card: contract.ModelCard) -> None:
    drawn = figures.reliability(card)
    (first, *_) = re.findall(r'<path class="value" d="M([\d.]+) ([\d.]+)H([\d.]+)"/>', drawn)
    left, up, right = map(float, first)
    assert left == figures.LEFT
    assert right == pytest.approx(figures.LEFT + 0.1 * figures.SIDE, abs=0.1)
    assert up == pytest.approx(figures.TOP + 0.98 * figures.SIDE, abs=0.1)
    assert "10 % to 50 %: 20 % fractured" in drawn
    assert "n 30" in drawn


def test_both_operating_points_stand_where_the_card_says(card: contract.ModelCard) -> None:
    drawn = figures.roc(card)
    sensitivity = card.metrics["fracatlas/test/sensitivity_at_fracture"]
    specificity = card.metrics["fracatlas/test/specificity_at_fracture"]
    (x, y) = re.findall(r'class="fracture"><path class="arms" d="M[\d.]+ ([\d.]+)H[\d.]+M([\d.]+)', drawn)[0][::-1]
    assert float(x) == pytest.approx(figures.LEFT + (1 - specificity.value) * figures.SIDE, abs=0.1)
    assert float(y) == pytest.approx(figures.TOP + (1 - sensitivity.value) * figures.SIDE, abs=0.1)
    assert 'class="suspicion"' in drawn


def test_a_card_without_counts_has_no_reliability_plot_and_no_curve(shipped: contract.ModelCard) -> None:
    bare = replace(shipped, calibration=())
    assert figures.reliability(bare) == ""
    assert "<polyline" not in figures.roc(bare)
    assert "no reliability plot" in models_html.details(Version(1, "ready", True, (), bare))
    assert figures.roc(replace(bare, metrics={})) == ""


def test_every_figure_of_the_shipped_card_has_value_interval_and_n(shipped: contract.ModelCard) -> None:
    tried = replace(shipped, precision="float32; bfloat16 measured 2 × as fast")
    drawn = models_html.details(Version(1, "ready", True, ("stable",), tried))
    assert "<dt>Precision</dt><dd>float32</dd>" in drawn
    assert drawn.count('<th scope="row">') == len(shipped.metrics)
    for metric in shipped.metrics.values():
        assert f"{metric.value:.3f}" in drawn
        assert f"{metric.low:.3f} to {metric.high:.3f}" in drawn
    for threshold in shipped.thresholds:
        assert f"<dd>{percent(threshold)}</dd>" in drawn


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("auc", "ROC AUC"),
        ("ppv_at_suspicion_prevalence_5%", "Positive predictive value at suspicion, 5 % prevalence"),
        ("npv_at_fracture_prevalence_50%", "Negative predictive value at fracture, 50 % prevalence"),
        ("ece_uncalibrated", "Calibration error (ECE) before calibration"),
        ("energy_in_box", "Energy in box"),
    ],
)
def test_figures_have_names_in_words(key: str, name: str) -> None:
    assert models_html.figure_name(key) == name


def test_a_version_without_card_says_how_to_get_one() -> None:
    assert "--card" in models_html.details(Version(3, "ready", True, (), None))


@pytest.mark.parametrize(("number", "shown"), [(None, 2), (3, 3), (99, 2)])
def test_the_stable_version_is_shown_unless_another_is_picked(number: int | None, shown: int) -> None:
    versions = tuple(
        Version(n, "ready", True, ("stable",) if n == 2 else (), None) for n in (3, 2, 1)
    )  # fmt: skip
    found = Models("fracture", versions).version(number)
    assert found is not None
    assert found.number == shown


def test_a_foreign_word_in_a_card_is_never_markup(card: contract.ModelCard) -> None:
    foreign = replace(card, intended_use="<script>", limits=("<b>",), backbone="${x}")
    drawn = models_html.details(Version(1, "<i>", True, (), foreign))
    assert "<script>" not in drawn
    assert "<b>R" in drawn
    assert "<b></li>" not in drawn
    assert "${" not in drawn
