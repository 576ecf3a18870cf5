"""The card of the version that answered: from a folder of versions or a file, never that of another version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from export import contract
from export.versions import newest
from serving.answer import Prediction
from tests.radiograph import files
from tests.ui.readings import answered
from ui.cards import Cards


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """An answer of version 7."""
    path = tmp_path_factory.mktemp("told") / "view.png"
    files.grey().save(path)
    return answered(path, 0.5).prediction


@pytest.fixture(scope="module")
def card(project_root: Path, told: Prediction) -> contract.ModelCard:
    """The shipped card with the thresholds of the answer."""
    shipped = contract.read_card(newest(project_root / "models" / "fracture"))
    return replace(shipped, thresholds=(told.suspicion_threshold, told.fracture_threshold))


@pytest.mark.parametrize("place", ["7/assets.extra/model_card.json", "card.json"])
def test_the_card_is_found_in_the_folder_of_versions_or_as_a_file(
    tmp_path: Path, told: Prediction, card: contract.ModelCard, place: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(card.to_json())
    assert Cards(tmp_path if "/" in place else path).of(told) == card


@pytest.mark.parametrize(
    ("version", "text"),
    [("6", "as it is"), ("7", "of other thresholds"), ("7", "damaged")],
    ids=["another version's", "other thresholds", "damaged"],
)
def test_no_card_is_given_that_was_not_made_for_the_answer(
    tmp_path: Path, told: Prediction, card: contract.ModelCard, version: str, text: str
) -> None:
    path = tmp_path / version / contract.CARD_PATH
    path.parent.mkdir(parents=True)
    other = replace(card, thresholds=(0.2, 0.9)).to_json()
    path.write_text({"as it is": card.to_json(), "of other thresholds": other, "damaged": "{"}[text])
    assert Cards(tmp_path).of(told) is None


@pytest.mark.parametrize("place", [None, "nowhere"])
def test_without_a_place_that_is_there_no_card_is_given(tmp_path: Path, told: Prediction, place: str | None) -> None:
    assert Cards(tmp_path / place if place else None).of(told) is None
