"""The answer in words: what a finding and its probability mean, in sentences that rest on the model card."""

from __future__ import annotations

from typing import Final

from export import contract
from serving.answer import Prediction
from ui.reading import Reading

FINDING_SENTENCES: Final = {
    contract.FRACTURE: "The model sees signs of a fracture.",
    contract.SUSPICION: "The model cannot rule a fracture out.",
    contract.NO_FRACTURE: "The model sees no fracture. That does not exclude one.",
}
FEWEST: Final = 20
"""Radiographs below which a share of them is not told as a number out of 100."""


def percent(value: float) -> str:
    """Return a probability in words of the page: ``84 %``, ``8.5 %``, ``under 0.1 %``."""
    if value < 0.001:
        return "under 0.1 %"
    if value > 0.999:
        return "over 99.9 %"
    digits = 1 if value < 0.0995 or value >= 0.995 else 0
    return f"{100 * value:.{digits}f} %"


def probability_words(value: float) -> str:
    """Return ``probability 84 %``."""
    return f"probability {percent(value)}"


def version_words(prediction: Prediction) -> str:
    """Return ``version 3``, or ``version 3 (stable)`` where the version was asked for by that label."""
    return f"version {prediction.version}" + (f" ({prediction.label})" if prediction.label else "")


def count(number: int, noun: str) -> str:
    """Return ``1 file`` or ``3 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def answer(reading: Reading, card: contract.ModelCard | None = None) -> tuple[str, ...]:
    """Return the answer to one view in sentences: finding, probability, what both mean by the card, warnings.

    Outside the model's scope there is no finding and no probability, only the reason and the file's own warnings.
    """
    if reading.outside_scope:
        return reading.warnings
    prediction = reading.prediction
    told = f"The probability of a fracture is {percent(prediction.probability)}."
    meanings = (meaning(prediction.probability, card), operating_point(prediction.finding, card)) if card else ()
    return (FINDING_SENTENCES[prediction.finding], told, *filter(None, meanings), *reading.warnings)


def meaning(probability: float, card: contract.ModelCard) -> str | None:
    """Return what became of test radiographs with such a probability, None where the card has no such counts."""
    counted = next((entry for entry in card.calibration if entry.holds(probability)), None)
    if counted is None:
        return None
    share = counted.fractured
    span = _span(counted)
    if share.n < FEWEST:
        return f"The test set has only {count(share.n, 'radiograph')} with a probability {span}, too few to say more."
    return (
        f"Of 100 such radiographs in the test set (probability {span}), {_hundredths(share.value)} were fractured "
        f"(95 % interval {_hundredths(share.low)} to {_hundredths(share.high)}, from {share.n} radiographs). "
        f"Of the whole test set {_hundredths(_prevalence(card))} of 100 were fractured; where fractures are rarer or "
        "more frequent than that, so are they here."
    )


def operating_point(finding: str, card: contract.ModelCard) -> str | None:
    """Return what the threshold behind a finding found and missed in the test set, None where the card does not say."""
    point = "fracture" if finding == contract.FRACTURE else "suspicion"
    sensitivity = _metric(card, f"sensitivity_at_{point}")
    specificity = _metric(card, f"specificity_at_{point}")
    if sensitivity is None or specificity is None:
        return None
    if finding == contract.FRACTURE:
        return (
            f"This finding is reached by {_hundredths(sensitivity.value)} of 100 test radiographs with a fracture "
            f"(n {sensitivity.n}) and, by mistake, by {_hundredths(1 - specificity.value)} of 100 without one "
            f"(n {specificity.n})."
        )
    missed = f"{_hundredths(1 - sensitivity.value)} of 100 test radiographs with a fracture (n {sensitivity.n})"
    if finding == contract.SUSPICION:
        return (
            f"The threshold for a suspicion is low so as to miss few: it misses {missed}, and "
            f"{_hundredths(1 - specificity.value)} of 100 without one reach it (n {specificity.n})."
        )
    return f"No fracture is seen, by mistake, in {missed}."


def _span(counted: contract.CalibrationBin) -> str:
    if counted.low == 0:
        return f"below {percent(counted.high)}"
    if counted.high == 1:
        return f"from {percent(counted.low)}"
    return f"between {percent(counted.low)} and {percent(counted.high)}"


def _metric(card: contract.ModelCard, figure: str) -> contract.Metric | None:
    """Return a figure of the first data set of the card whose test split was measured."""
    return next((metric for key, metric in card.metrics.items() if key.endswith(f"/test/{figure}")), None)


def _prevalence(card: contract.ModelCard) -> float:
    shares = [entry.fractured for entry in card.calibration]
    return sum(share.value * share.n for share in shares) / sum(share.n for share in shares)


def _hundredths(share: float) -> str:
    """Return a share as a number out of 100: whole, but never 0 or 100 for what is neither."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "fewer than 1"
    if whole == 100 and share < 1:
        return "more than 99"
    return str(whole)
