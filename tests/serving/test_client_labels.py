"""The client and labels: stable by default, the canary by study, and what is gone is followed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from serving.bench_models import SIZE
from serving.client import FractureClient, LabelNotFound, ModelNotFound
from serving.following import CANARY, STABLE
from serving.rollout import SETTLE, canary, promote, retire, stage
from serving.rollout_back import rollback
from serving.route import to_canary
from tests.serving.rolled import Place, reload

IMAGE = np.full((1, SIZE, SIZE, 1), 100, np.uint8)


@contextmanager
def client_of(place: Place, **choice: Any) -> Iterator[FractureClient]:
    with FractureClient(place.rollout.server, model=place.rollout.model, **choice) as client:
        yield client


def asked(client: FractureClient, study: str | None = None) -> tuple[int, str | None]:
    (prediction,) = client.predict(IMAGE, study=study)
    return prediction.version, prediction.label


def test_the_stable_version_answers_though_a_newer_one_is_loaded(place: Place) -> None:
    place.publish(2)
    stage(place.rollout, 2)
    with client_of(place) as client:
        assert asked(client) == (1, STABLE)
        assert client.info().version == 1


def test_a_label_that_moves_is_followed(place: Place) -> None:
    place.publish(2)
    with client_of(place) as client:
        assert asked(client) == (1, STABLE)
        promote(place.rollout, 2, unchecked=True)
        assert asked(client) == (2, STABLE)
        rollback(place.rollout)
        assert asked(client) == (1, STABLE)


def test_the_newest_version_answers_where_nothing_is_labelled_until_something_is(place: Place) -> None:
    labelled = place.config.read_text()
    text = f'model_config_list {{ config {{ name: "{place.rollout.model}" base_path: "{place.base}"'
    place.config.write_text(text + ' model_platform: "tensorflow" } }')
    reload(place.rollout)
    with client_of(place) as client:
        assert asked(client) == (1, None)
        place.config.write_text(labelled)
        place.publish(2)
        reload(place.rollout)
        time.sleep(SETTLE)
        assert asked(client) == (1, STABLE)


def test_studies_of_the_share_meet_the_canary_and_come_back(place: Place) -> None:
    place.publish(2)
    canary(place.rollout, 2, 30, unchecked=True)
    studies = [f"study {number}" for number in range(40)]
    with client_of(place, route=place.state / "route.json") as client:
        wanted = [(2, CANARY) if to_canary(study, 30) else (1, STABLE) for study in studies]
        assert [asked(client, study) for study in studies] == wanted
        assert {(1, STABLE), (2, CANARY)} == set(wanted)
        rollback(place.rollout)
        assert {asked(client, study) for study in studies} == {(1, STABLE)}


@pytest.mark.parametrize("choice", [{"version": 2}, {"label": CANARY}], ids=["version", "label"])
def test_what_answered_before_and_is_gone_is_followed_to_stable(place: Place, choice: dict[str, Any]) -> None:
    place.publish(2)
    canary(place.rollout, 2, 5, unchecked=True)
    with client_of(place, **choice) as client:
        assert asked(client)[0] == 2
        rollback(place.rollout)
        retire(place.rollout, 2)
        assert asked(client) == (1, STABLE)


@pytest.mark.parametrize(
    ("choice", "error"),
    [({"version": 7}, ModelNotFound), ({"label": "nobody"}, LabelNotFound)],
    ids=["version", "label"],
)
def test_what_was_never_served_is_an_error(place: Place, choice: dict[str, Any], error: type[Exception]) -> None:
    with client_of(place, **choice) as client, pytest.raises(error, match="does not serve"):
        client.predict(IMAGE)
