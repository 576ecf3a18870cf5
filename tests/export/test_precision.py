"""Precision: shorter numbers answer nearly alike, and are chosen only where they do and are faster."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from export import contract, precision
from export.fold import FLOAT32, Compute, fold_batch_norm
from export.golden import drawn_pictures
from export.precision import STRIDES, Trial, choose_precision, described, fastest
from export.savedmodel import Answering, write_saved_model
from tests.export.networks import small_network
from training.model import FEATURES
from training.novelty import fit_novelty

SIZE = 64
BFLOAT16 = Compute("bfloat16")
FLOAT16 = Compute("float16")
Images = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def images() -> Images:
    return drawn_pictures(SIZE, 8, first_seed=1)


@pytest.fixture(scope="module")
def network(images: Images) -> keras.Model:
    return small_network(images)


@pytest.fixture(scope="module")
def answering(network: keras.Model, images: Images) -> Answering:
    features = np.asarray(network(images.astype(np.float32))[FEATURES])
    spread = np.repeat(features, 8, 0) + np.random.default_rng(0).normal(0, 0.1, (64, features.shape[1]))
    return Answering(4.0, 0.0, (0.2, 0.8), fit_novelty(spread.astype(np.float32), features))


@pytest.fixture(scope="module")
def folders(
    network: keras.Model, answering: Answering, tmp_path_factory: pytest.TempPathFactory
) -> dict[Compute, Path]:
    """A version in each format."""
    made = {compute: tmp_path_factory.mktemp(compute.dtype) for compute in (FLOAT32, BFLOAT16)}
    for compute, folder in made.items():
        write_saved_model(network, answering, folder, half_constants=False, compute=compute)
    return made


@pytest.fixture(scope="module")
def told(folders: dict[Compute, Path], images: Images) -> dict[Compute, dict[str, Any]]:
    """What each format answers."""
    loaded = {compute: tf.saved_model.load(str(folder)) for compute, folder in folders.items()}
    return {
        compute: model.signatures[contract.SIGNATURE_IMAGE](tf.constant(images)) for compute, model in loaded.items()
    }


def test_a_version_in_bfloat16_convolves_in_it_and_answers_in_float32(
    folders: dict[Compute, Path], told: dict[Compute, dict[str, Any]]
) -> None:
    for compute, folder in folders.items():
        assert convolved_in(folder) == {compute.dtype}
    assert told[BFLOAT16][contract.NOVELTY].dtype == tf.float32
    for name in (contract.PROBABILITY, contract.HEATMAP):
        assert told[BFLOAT16][name].dtype == tf.float32
        # the mean: single answers of random weights are less steady than those of trained ones, most of all on
        # processors without bfloat16
        assert 0 < float(np.abs(told[BFLOAT16][name] - told[FLOAT32][name]).mean()) < 0.1


def convolved_in(folder: Path) -> set[str]:
    """Return the dtypes of the maps' convolutions; the map's own last one is float32 always and has one filter."""
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    nodes = [node for node in graph.node if node.op in ("Conv2D", "DepthwiseConv2dNative") and "/map" not in node.name]
    assert len(nodes) > 40
    return {tf.as_dtype(node.attr["T"].type).name for node in nodes}


def test_maps_finer_than_the_stride_stay_float32(network: keras.Model) -> None:
    folded = fold_batch_norm(network, Compute("bfloat16", 8))
    maps = [layer for layer in folded.layers if len(layer.output.shape) == 4 and layer.name != "map"]
    widths: dict[bool, set[int]] = {True: set(), False: set()}
    for layer in maps:
        widths[layer.compute_dtype == "bfloat16"].add(layer.output.shape[1])
    assert widths == {False: {SIZE, SIZE // 2, SIZE // 4}, True: {SIZE // 8, SIZE // 16, SIZE // 32}}
    assert folded.get_layer("map").compute_dtype == "float32"


def test_a_format_is_held_against_the_answers_of_float32(
    network: keras.Model, answering: Answering, images: Images, told: dict[Compute, dict[str, Any]]
) -> None:
    chosen, (trial, *_) = choose_precision(network, answering, images)
    exact, short = (told[compute] for compute in (FLOAT32, BFLOAT16))
    flips = (exact[contract.FINDING] != short[contract.FINDING]).numpy()
    flips |= ((exact[contract.NOVELTY] <= 1) != (short[contract.NOVELTY] <= 1)).numpy()
    moved = float(np.abs(exact[contract.PROBABILITY] - short[contract.PROBABILITY]).max())
    assert (trial.compute, trial.flips, trial.pictures) == (BFLOAT16, int(flips.sum()), len(images))
    assert trial.moved == pytest.approx(moved, abs=1e-4)
    assert trial.speed > 0
    assert chosen == FLOAT32, "random weights do not answer alike in both"


def test_no_more_than_two_formats_are_in_memory_at_once(
    network: keras.Model, answering: Answering, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []

    def counted(*arguments: Any, **settings: Any) -> None:
        alive.append(sum(isinstance(thing, precision._Version) for thing in gc.get_objects()))
        write_saved_model(*arguments, **settings)

    monkeypatch.setattr(precision, "write_saved_model", counted)
    choose_precision(network, answering, images[:2])
    assert alive == [1, *[2] * len(STRIDES)], "float32 stays, the others come one after another"


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([], FLOAT32),
        ([Trial(BFLOAT16, 2.0, 0.005, 0, 64)], BFLOAT16),
        ([Trial(BFLOAT16, 1.02, 0.005, 0, 64)], FLOAT32),
        ([Trial(BFLOAT16, 2.0, 0.02, 0, 64)], FLOAT32),
        ([Trial(BFLOAT16, 2.0, 0.005, 1, 64)], FLOAT32),
        ([Trial(BFLOAT16, 2.0, 0.005, 0, 64), Trial(FLOAT16, 3.0, 0.005, 0, 64)], FLOAT16),
        ([Trial(BFLOAT16, 2.0, 0.005, 0, 64), Trial(FLOAT16, 3.0, 0.5, 9, 64)], BFLOAT16),
    ],
)
def test_only_what_answers_alike_and_is_faster_is_chosen(trials: list[Trial], chosen: Compute) -> None:
    assert fastest(trials) == chosen


def test_the_card_says_what_was_chosen_and_why() -> None:
    told = described(FLOAT32, [Trial(BFLOAT16, 0.61, 0.004, 2, 64)], half_constants=True)
    assert "bfloat16 from stride 8 on;" in described(
        Compute("bfloat16", 8), [Trial(BFLOAT16, 2, 0, 0, 64)], half_constants=False
    )
    assert told == (
        "float32, constants stored as float16; bfloat16 measured 0.61 × as fast as float32, moved probabilities by up "
        "to 0.004 and 2 of 64 findings"
    )
