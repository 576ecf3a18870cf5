"""Training input: both ways feed the same step with pictures of the same kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.bench import train_input
from serving.bench.train_input import FEED, GENERATOR, NETWORK
from training.recipe import Recipe

SIZE, BATCH, COUNT = 64, 4, 48


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> train_input.Bench:
    """Phantoms, both inputs and a network of 64 px."""
    recipe = train_input.shrunk(Recipe(), "efficientnet-lite0", SIZE, BATCH)
    return train_input.set_up(recipe, None, COUNT, tmp_path_factory.mktemp("phantoms"), (150, 200))


@pytest.fixture(scope="module")
def told(bench: train_input.Bench) -> dict[str, Any]:
    """Figures of a short run."""
    return train_input.run(bench, seconds=0.05, rounds=1)


@pytest.mark.parametrize("name", [FEED, GENERATOR])
def test_an_input_deals_whole_batches_of_grey_pictures(bench: train_input.Bench, name: str) -> None:
    images, masks, facts = (np.asarray(part) for part in next(bench.inputs[name]))
    assert images.shape == (BATCH, SIZE, SIZE, 1)
    assert masks.shape == (BATCH, SIZE // 4, SIZE // 4, 1)
    assert facts.shape == (BATCH, 2)
    assert 0 <= images.min() < 50
    assert 100 < images.max() <= 256
    assert set(facts[:, 0]) <= {0.0, 1.0}


@pytest.mark.parametrize("name", [FEED, GENERATOR])
def test_an_input_goes_on_after_all_pictures_were_shown(bench: train_input.Bench, name: str) -> None:
    dealt = [next(bench.inputs[name]) for _ in range(2 * COUNT // BATCH)]
    assert all(len(images) == BATCH for images, _, _ in dealt)


def test_figures_tell_rates_and_the_share_of_the_network(told: dict[str, Any]) -> None:
    alone = told[NETWORK]["p50_ms"]
    for way in told["inputs"].values():
        assert way["images_per_second"] == pytest.approx(BATCH / way["p50_ms"] * 1e3, rel=0.01)
        assert way["network_share"] == pytest.approx(alone / way["p50_ms"], rel=0.01)
        assert way["alone_images_per_second"] > 0
    assert told["training_times_as_fast"] == pytest.approx(
        told["inputs"][GENERATOR]["p50_ms"] / told["inputs"][FEED]["p50_ms"], rel=0.01
    )


def test_table_and_plot_show_both_inputs_and_the_network(told: dict[str, Any], tmp_path: Path) -> None:
    assert train_input.table(told).row_count == 3
    assert train_input.plot(told, tmp_path / "input.png").read_bytes().startswith(b"\x89PNG")
