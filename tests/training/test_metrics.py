"""The figures agree with scikit-learn, with brute force and with published worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from training.calibration import brier, calibrated, calibration_bins, ece, fit_temperature
from training.comparison import delong, mcnemar
from training.metrics import (
    Metric,
    auc,
    average_precision,
    choose_thresholds,
    group_weights,
    mean,
    predictive_values,
    rates,
    seed_report,
    wilson,
)

Case = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def cases(n: int = 200, seed: int = 1, step: float = 0.05) -> Case:
    """Labels, tied scores that rank somewhat, and groups of unequal size."""
    random = np.random.default_rng(seed)
    labels = (random.random(n) < 0.3).astype(np.int64)
    labels[:2] = (0, 1)
    scores = np.clip(np.round((random.random(n) * 0.7 + labels * 0.3) / step) * step, 0, 1)
    return labels, scores, random.integers(0, n // 3, n)


@st.composite
def two_classes(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    size = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    labels[:2] = (0, 1)
    scores = np.array(draw(st.lists(st.integers(0, 20), min_size=size, max_size=size))) / 20
    return labels, scores


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_average_precision_are_those_of_scikit_learn(seed: int) -> None:
    labels, scores, groups = cases(seed=seed)
    assert auc(labels, scores, groups, rounds=10).value == pytest.approx(roc_auc_score(labels, scores))
    found = average_precision(labels, scores, groups, rounds=10).value
    assert found == pytest.approx(average_precision_score(labels, scores))


@pytest.mark.parametrize(("figure", "reference"), [(auc, roc_auc_score), (average_precision, average_precision_score)])
def test_the_bootstrap_interval_is_that_of_redrawing_whole_groups_one_by_one(figure, reference) -> None:  # type: ignore[no-untyped-def]  # parametrised over two library functions
    labels, scores, groups = cases(n=80)
    drawn = np.concatenate(list(group_weights(groups, rounds=300, seed=7)))
    slow = []
    for weights in drawn:
        repeated = np.repeat(np.arange(len(labels)), weights.astype(int))
        if 0 < labels[repeated].sum() < len(repeated):
            slow.append(reference(labels[repeated], scores[repeated]))
    fast = figure(labels, scores, groups, rounds=300, seed=7)
    assert (fast.low, fast.high) == pytest.approx(tuple(np.percentile(slow, (2.5, 97.5))))


def test_a_group_is_drawn_whole() -> None:
    groups = np.array(["a", "b", "a", "c", "b"])
    weights = np.concatenate(list(group_weights(groups, rounds=450)))
    assert weights.shape == (450, 5)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.array_equal(weights[:, 1], weights[:, 4])
    assert np.all(weights[:, 0] + weights[:, 1] + weights[:, 3] == 3)


def test_copies_of_one_group_do_not_narrow_the_interval() -> None:
    labels, scores, groups = cases(n=60)
    tenfold = np.repeat(np.arange(60), 10)
    once = auc(labels, scores, groups)
    copied = auc(labels[tenfold], scores[tenfold], groups[tenfold])
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.n == 600


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    labels, scores, groups = cases()
    assert auc(labels, scores, groups, seed=3) == auc(labels, scores, groups, seed=3)
    assert auc(labels, scores, groups, seed=3) != auc(labels, scores, groups, seed=4)


@pytest.mark.parametrize("figure", [auc, average_precision])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_leaves_a_ranking_figure_undefined(figure, label: int) -> None:  # type: ignore[no-untyped-def]  # parametrised over two functions
    found = figure(np.full(5, label), np.linspace(0, 1, 5), np.arange(5))
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (0.0, 1.0, 5)
    assert "undefined" in str(found)


@given(two_classes())
@settings(max_examples=60, deadline=None)
def test_turning_scores_round_turns_auc_round_and_the_interval_holds_the_value(case) -> None:  # type: ignore[no-untyped-def]  # drawn by hypothesis
    labels, scores = case
    groups = np.arange(len(labels))
    up, down = auc(labels, scores, groups, rounds=50), auc(labels, 1 - scores, groups, rounds=50)
    assert up.value + down.value == pytest.approx(1)
    assert up.low <= up.value <= up.high


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_gives_the_published_intervals(k: int, n: int, low: float, high: float) -> None:
    found = wilson(k, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert (found.value, found.n) == (k / n, n)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_value_and_mirrors(pair: tuple[int, int]) -> None:
    k, n = pair
    found, mirrored = wilson(k, n), wilson(n - k, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_wilson_refuses_an_impossible_count(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(k, n)


def test_no_cases_leave_a_proportion_undefined() -> None:
    assert str(wilson(0, 0)) == "undefined (n 0)"


def test_rates_count_a_probability_equal_to_the_threshold_as_fractured() -> None:
    found = rates(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.5, 0.2, 0.5, 0.4]), 0.5)
    assert found.confusion == [[2, 1], [1, 1]]
    assert (found.sensitivity.value, found.specificity.value, found.accuracy.value) == (0.5, 2 / 3, 0.6)


def test_predictive_values_follow_bayes() -> None:
    # 90 % sensitive, 95 % specific at 5 %: of 1,000 there are 45 true and 47.5 false calls.
    positive, negative = predictive_values(Metric(0.9, 0.8, 0.95, 100), Metric(0.95, 0.9, 0.97, 400), 0.05)
    assert positive.value == pytest.approx(45 / 92.5)
    assert negative.value == pytest.approx(902.5 / 907.5)
    assert positive.low < positive.value < positive.high
    assert positive.n == 500


def test_a_reader_that_never_calls_a_fracture_has_no_positive_predictive_value() -> None:
    positive, _ = predictive_values(wilson(0, 10), wilson(10, 10), 0.2)
    assert math.isnan(positive.value)


@given(two_classes(), st.sampled_from([0.5, 0.8, 0.95, 1.0]))
@settings(max_examples=150, deadline=None)
def test_thresholds_keep_their_promises_and_never_cross(case, wanted: float) -> None:  # type: ignore[no-untyped-def]  # drawn by hypothesis
    labels, probabilities = case
    suspicion, fracture = choose_thresholds(labels, probabilities, sensitivity=wanted, specificity=wanted)
    assert suspicion <= fracture
    assert rates(labels, probabilities, suspicion).sensitivity.value >= wanted - 1e-9
    assert rates(labels, probabilities, fracture).specificity.value >= wanted - 1e-9
    single = probabilities.astype(np.float32)
    assert rates(labels, single, float(np.float32(fracture))).specificity.value >= wanted - 1e-9


def test_thresholds_are_the_highest_and_the_lowest_that_serve_but_for_what_they_give_up() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        labels = np.r_[np.zeros(400, int), np.ones(200, int)]
        probabilities = np.r_[random.beta(2, 4, 400), random.beta(4, 2, 200)]
        suspicion, fracture = choose_thresholds(labels, probabilities)
        served, spared = rates(labels, probabilities, suspicion), rates(labels, probabilities, fracture)
        grid = [rates(labels, probabilities, t) for t in np.unique(probabilities)]
        highest = max(at.specificity.value for at in grid if at.sensitivity.value >= 0.95)
        lowest = max(at.sensitivity.value for at in grid if at.specificity.value >= 0.95)
        assert 0 <= highest - served.specificity.value <= 0.01 + 1e-9
        assert 0 <= lowest - spared.sensitivity.value <= 0.01 + 1e-9


def test_thresholds_of_few_pictures_give_nothing_up() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    probabilities = np.array([0.1, 0.3, 0.31, 0.6, 0.32, 0.7, 0.8, 0.9])
    suspicion, fracture = choose_thresholds(labels, probabilities, sensitivity=1.0, specificity=1.0)
    assert suspicion == pytest.approx(0.315)
    assert fracture == pytest.approx(0.65)


def test_a_threshold_stands_in_the_widest_gap_it_can_have() -> None:
    # one of 100 normals may be given up: below 0.5 there is a narrow gap, and a wide one behind one normal more
    labels = np.r_[np.zeros(100, int), np.ones(20, int)]
    probabilities = np.r_[np.full(98, 0.1), 0.499, 0.6, np.full(20, 0.5)]
    suspicion, fracture = choose_thresholds(labels, probabilities, sensitivity=1.0, specificity=1.0)
    assert suspicion == pytest.approx((0.1 + 0.499) / 2)
    assert fracture == pytest.approx(0.8)


def test_thresholds_need_both_classes() -> None:
    with pytest.raises(ValueError, match="both fractured and normal"):
        choose_thresholds(np.ones(3, int), np.ones(3))


def test_brier_is_the_mean_squared_error() -> None:
    assert brier(np.array([0, 1, 1]), np.array([0.2, 0.6, 1.0]), np.arange(3)).value == pytest.approx(0.2 / 3)


def test_calibration_bins_have_equal_mass_and_keep_equal_probabilities_together() -> None:
    random = np.random.default_rng(0)
    assert np.bincount(calibration_bins(random.random(1500)), minlength=15).tolist() == [100] * 15
    assert len(np.unique(calibration_bins(np.full(50, 0.3)))) == 1


def test_ece_is_the_weighted_gap_of_the_bins() -> None:
    labels, scores, groups = cases(n=300)
    member = calibration_bins(scores)
    wanted = sum(
        (member == b).mean() * abs(scores[member == b].mean() - labels[member == b].mean()) for b in np.unique(member)
    )
    found = ece(labels, scores, groups, rounds=100)
    assert found.value == pytest.approx(wanted)
    assert found.low <= found.value <= found.high


@given(st.permutations(range(60)))
@settings(max_examples=20, deadline=None)
def test_ece_does_not_depend_on_the_order_of_the_cases(order: list[int]) -> None:
    labels, scores, groups = cases(n=60)
    wanted = ece(labels, scores, groups, rounds=1).value
    assert ece(labels[order], scores[order], groups[order], rounds=1).value == pytest.approx(wanted)


def test_calibration_finds_the_least_log_loss() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(0, 4, 800)
    labels = (random.random(800) < calibrated(logits, 2.5, -0.7)).astype(int)
    temperature, bias = fit_temperature(logits, labels)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, None], labels)
    assert (1 / temperature, bias) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), rel=1e-3)
    assert log_loss(labels, calibrated(logits, temperature, bias)) <= log_loss(labels, calibrated(logits, 2.5, -0.7))


@pytest.mark.parametrize("sign", [1, -1])
def test_calibration_stays_finite_and_rising_where_classes_separate(sign: int) -> None:
    temperature, bias = fit_temperature(sign * np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]))
    assert 0.05 <= temperature <= 20.0000001
    assert abs(bias) <= 20


def test_calibration_does_not_change_the_ranking() -> None:
    labels, scores, groups = cases()
    temperature, bias = fit_temperature(scores * 8 - 4, labels)
    after = auc(labels, calibrated(scores * 8 - 4, temperature, bias), groups, rounds=10)
    assert after.value == pytest.approx(roc_auc_score(labels, scores))


def brute_delong(labels: NDArray[np.int64], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Variance of the AUC difference from the definition: kernels of every pair."""

    def kernel(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        positives, negatives = scores[labels == 1][:, None], scores[labels == 0][None]
        return np.asarray((positives > negatives) + 0.5 * (positives == negatives))

    difference = kernel(first) - kernel(second)
    rows, columns = difference.mean(axis=1), difference.mean(axis=0)
    return float(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))


@pytest.mark.parametrize("seed", range(4))
def test_delong_is_that_of_the_definition(seed: int) -> None:
    labels, first, _ = cases(n=90, seed=seed)
    _, second, _ = cases(n=90, seed=seed + 50)
    found = delong(labels, first, second)
    assert found.difference == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second))
    assert ((found.high - found.low) / 2 / 1.959964) ** 2 == pytest.approx(brute_delong(labels, first, second))
    z = found.difference / math.sqrt(brute_delong(labels, first, second))
    assert found.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))


def test_delong_of_a_model_with_itself_sees_no_difference() -> None:
    labels, scores, _ = cases()
    found = delong(labels, scores, scores)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_delong_p_is_even_when_nothing_differs() -> None:
    random = np.random.default_rng(9)
    labels = np.r_[np.ones(40, int), np.zeros(60, int)]
    ps = [delong(labels, labels + random.normal(0, 1, 100), labels + random.normal(0, 1, 100)).p for _ in range(300)]
    assert np.mean(np.array(ps) < 0.05) == pytest.approx(0.05, abs=0.04)


def test_delong_needs_two_of_each_class() -> None:
    with pytest.raises(ValueError, match="at least two"):
        delong(np.array([0, 0, 1]), np.zeros(3), np.ones(3))


def test_mcnemar_is_the_exact_sign_test_on_disagreements() -> None:
    truth = np.ones(12, int)
    first = np.array([1] * 9 + [0] * 3)
    second = np.array([1] * 2 + [0] * 9 + [1])
    found = mcnemar(truth, first, second)
    assert (found.only_first, found.only_second) == (7, 1)
    chances = [math.comb(8, k) for k in range(9)]
    assert found.p == pytest.approx(sum(c for c in chances if c <= chances[7]) / 2**8)


def test_mcnemar_of_equal_calls_sees_no_difference() -> None:
    assert mcnemar(np.array([0, 1]), np.array([0, 0]), np.array([0, 0])).p == 1


def test_the_seeds_report_names_both_classes() -> None:
    report = seed_report(np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.8, 0.7]))
    assert report["fractured"]["recall"] == 1
    assert report["not fractured"]["precision"] == 1
    assert report["fractured"]["precision"] == pytest.approx(2 / 3)


def test_the_mean_of_equal_values_has_no_width() -> None:
    found = mean(np.full(6, 0.25), np.arange(6))
    assert (found.low, found.value, found.high, found.n) == (0.25, 0.25, 0.25, 6)


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(4)
    truth = 0.5 * math.erfc(-1.2 / 2)
    covered = []
    for seed in range(120):
        labels = np.r_[np.ones(60, int), np.zeros(120, int)]
        found = auc(labels, labels * 1.2 + random.normal(0, 1, 180), np.arange(180), rounds=300, seed=seed)
        covered.append(found.low <= truth <= found.high)
    assert 0.88 <= np.mean(covered) <= 1.0
