"""The network: backbones with their weights, what is frozen, what its outputs look like."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from export.fold import Compute, fold_batch_norm
from training.backbones import BackboneError, backbone
from training.efficientnet_lite import EfficientNetLite
from training.model import FEATURES, LOGIT, MAP, ModelConfig, build_model, freeze
from training.reading import HighestCells, Margin, Smoothing
from training.recipe import Recipe, load_recipe
from training.torch_file import TorchFileError, read_tensors
from training.weights import WeightsError, load_weights, recipe_of, save_weights

ESPRESSO = 967
"""The class of ImageNet."""
SMALL = ModelConfig(weights="none", input_size=64, width=16, dense=(8,))


def test_the_outputs_have_the_promised_shapes() -> None:
    answer = build_model(SMALL)(np.zeros((2, 64, 64, 1), np.float32))
    assert answer[LOGIT].shape == (2,)
    assert answer[MAP].shape == (2, 8, 8)
    assert answer[FEATURES].shape == (2, 24 + 40 + 80 + 112 + 192 + 320), "the channels where each stage ends"


def test_the_network_is_flat() -> None:
    assert not any(isinstance(layer, keras.Model) for layer in build_model(SMALL).layers)


def test_a_frozen_backbone_leaves_only_the_head_to_learn() -> None:
    network = build_model(SMALL)
    freeze(network, "efficientnet-lite0", None)
    assert not any(v.path.startswith(("stem", "block", "head_conv")) for v in network.trainable_variables)
    freeze(network, "efficientnet-lite0", 10)
    learning = {v.path.split("_")[0] for v in network.trainable_variables if v.path.startswith("block")}
    assert learning == {f"block{n}" for n in range(10, 16)}
    assert not any("_bn" in v.path for v in network.trainable_variables if v.path.startswith(("block", "head_conv")))


def test_batch_norm_of_the_backbone_learns_from_the_block_that_is_asked_for() -> None:
    network = build_model(SMALL)
    freeze(network, "efficientnet-lite0", 5, norms_from_block=11)
    learning = {v.path for v in network.trainable_variables if v.path.startswith(("block", "head_conv"))}
    norms = {path.split("_")[0] for path in learning if "_bn" in path}
    assert norms == {*(f"block{n}" for n in range(11, 16)), "head"}
    assert {path.split("_")[0] for path in learning} == {*(f"block{n}" for n in range(5, 16)), "head"}


def test_the_picture_head_can_learn_alone() -> None:
    network = build_model(SMALL)
    freeze(network, "efficientnet-lite0", 3, norms_from_block=11, picture_head_only=True)
    assert {v.path.split("/")[0] for v in network.trainable_variables} == {"dense0", "picture"}


def test_what_lies_in_the_margin_cannot_matter() -> None:
    picture = np.zeros((2, 64, 64, 1), np.float32)
    picture[0, 10:54, :] = np.random.default_rng(0).integers(1, 256, (44, 64, 1))  # letterboxed above and below
    cut = np.asarray(Margin(0.05)(picture))
    np.testing.assert_array_equal(cut[0, 13:51, 3:61], picture[0, 13:51, 3:61])
    assert cut[0].sum() == picture[0, 13:51, 3:61].sum()
    np.testing.assert_array_equal(Margin(0.05)(picture, training=True), picture)
    network = build_model(replace(SMALL, margin=0.05))
    other = picture.copy()
    other[0, 10:13], other[0, 51:54], other[0, 10:54, :3], other[0, 10:54, 61:] = 255, 1, 7, 90
    np.testing.assert_array_equal(network(picture)[MAP], network(other)[MAP])
    folded = fold_batch_norm(network, Compute("bfloat16"))
    np.testing.assert_array_equal(folded(picture)[MAP], folded(other)[MAP])


def test_smoothing_is_the_binomial_filter_and_leaves_the_weights_as_they_are() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 1)).astype(np.float32)
    line = np.array([1, 2, 1]) / 4
    expected = picture
    for axis in (1, 2, 1, 2):
        expected = ndimage.convolve1d(expected, line, axis, mode="reflect")
    np.testing.assert_allclose(Smoothing(2)(picture), expected, atol=1e-3)
    np.testing.assert_array_equal(Smoothing(2)(picture, training=True), picture)
    plain, smooth = build_model(SMALL), build_model(replace(SMALL, smoothing=2))
    smooth.set_weights(plain.get_weights())
    np.testing.assert_allclose(smooth(picture)[MAP], plain(expected.astype(np.float32))[MAP], atol=1e-3)


def test_the_vote_of_the_map_joins_the_picture_head_in_reading_only() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1)).astype(np.float32)
    alone, both = build_model(SMALL), build_model(replace(SMALL, vote=0.05))
    both.set_weights(alone.get_weights())
    head, answer = np.asarray(alone(picture)[LOGIT]), both(picture)
    cells = np.asarray(answer[MAP]).reshape(3, 64)
    np.testing.assert_allclose(answer[LOGIT], head + np.sort(cells, axis=1)[:, -3:].mean(axis=1), atol=1e-5)
    np.testing.assert_array_equal(HighestCells(0.05)(np.ones((2, 8, 8, 1)), training=True), np.zeros((2, 1)))
    np.testing.assert_allclose(HighestCells(1e-6)(cells.reshape(3, 8, 8, 1))[:, 0], cells.max(axis=1))
    folded = fold_batch_norm(both)
    np.testing.assert_allclose(folded(picture)[LOGIT], answer[LOGIT], atol=1e-3)


@pytest.mark.slow
def test_the_last_stage_of_resnet152v2_can_learn_alone() -> None:
    network = build_model(ModelConfig(backbone="resnet152v2", weights="none", input_size=64))
    freeze(network, "resnet152v2", None)
    head = {v.path for v in network.trainable_variables}
    assert head
    assert not any(path.startswith(("conv", "post_")) for path in head)
    freeze(network, "resnet152v2", load_recipe(Path("resnet152v2")).stages[-1].first_trainable_block)
    learning = {v.path for v in network.trainable_variables} - head
    assert {path.split("_")[0] for path in learning} == {"conv5"}
    assert not any("_bn" in path for path in learning)


def test_grey_gives_the_features_that_three_equal_channels_give(shared_data: Path) -> None:
    converted = shared_data.parent / "weights" / "efficientnet_lite0_imagenet_notop.weights.h5"
    row = backbone("efficientnet-lite0")
    grey, colour = keras.Input((96, 96, 1)), keras.Input((96, 96, 3))
    ours = keras.Model(grey, row.build(grey)[32])
    row.load(ours)
    reference = keras.Model(colour, row.build(colour)[32])
    reference.load_weights(converted)
    picture = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 1)).astype(np.float32)
    told = ours(picture), reference(np.repeat(picture, 3, axis=-1))
    np.testing.assert_allclose(told[0], told[1], atol=1e-4)


def test_an_unknown_backbone_names_the_known_ones() -> None:
    with pytest.raises(BackboneError, match="efficientnet-lite0, efficientnet-lite2, resnet152v2"):
        backbone("vgg")


LOAD_RESNET = """
import keras
from export.fold import fold_batch_norm
from training.backbones import BACKBONES, BackboneError
try:
    BACKBONES["resnet152v2"].load(keras.Sequential())
except BackboneError as error:
    print(error)
"""


@pytest.mark.slow
def test_resnet152v2_weights_that_cannot_be_had_name_the_way_out(tmp_path: Path) -> None:
    nowhere = {"KERAS_HOME": str(tmp_path), "HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-W", "ignore", "-c", LOAD_RESNET]
    told = subprocess.run(command, env={**os.environ, **nowhere}, capture_output=True, text=True, check=True)
    assert "--backbone efficientnet-lite0" in told.stdout
    assert "~/.keras/models" in told.stdout


@pytest.mark.parametrize(("size", "side"), [(EfficientNetLite(0, 1.0, 1.0), 224), (EfficientNetLite(2, 1.1, 1.2), 260)])
def test_a_cup_of_coffee_is_one_to_imagenets_weights(size: EfficientNetLite, side: int, shared_data: Path) -> None:
    grey = keras.Input((side, side, 1))
    network = keras.Model(grey, size.build(grey)[32])
    size.load(network)
    with Image.open(shared_data / "out_of_scope" / "natural" / "coffee.jpg") as photograph:
        picture = np.asarray(photograph.convert("L").resize((side, side)), np.float32)[None, :, :, None]
    features = np.asarray(network(picture)).mean(axis=(1, 2))[0]
    classifier = size.imagenet()
    scores = features @ classifier["_fc.weight"].T + classifier["_fc.bias"]
    assert int(np.argmax(scores)) == ESPRESSO


def test_the_larger_size_is_deeper_and_wider() -> None:
    small, large = EfficientNetLite(0, 1.0, 1.0), EfficientNetLite(2, 1.1, 1.2)
    assert (small.blocks, large.blocks) == (16, 21)
    assert large.block_of("block20_dwconv") == 20
    assert large.block_of("head_conv_bn") == 21
    assert large.block_of("merge16_conv") is None
    features = large.build(keras.Input((64, 64, 1)))
    assert {stride: value.shape[1:] for stride, value in features.items()} == {
        8: (8, 8, 48), 16: (4, 4, 120), 32: (2, 2, 1280)
    }  # fmt: skip


def test_a_torch_file_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(TorchFileError, match=r"builtins\.print"):
        read_tensors(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(12)])
def test_other_files_are_no_torch_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(TorchFileError):
        read_tensors(path)


def test_saved_weights_come_back_nearly_equal_and_with_their_recipe(tmp_path: Path) -> None:
    network, other = build_model(SMALL), build_model(SMALL)
    recipe = Recipe(name="kept", model=SMALL)
    save_weights(network, recipe, tmp_path / "w.npz")
    load_weights(other, tmp_path / "w.npz")
    assert recipe_of(tmp_path / "w.npz") == recipe
    picture = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(network(picture)[MAP], other(picture)[MAP], atol=0.02)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(build_model(SMALL), Recipe(model=SMALL), tmp_path / "w.npz")
    wider = build_model(ModelConfig(weights="none", input_size=64, width=32, dense=(8,)))
    with pytest.raises(WeightsError, match="does not fit"):
        load_weights(wider, tmp_path / "w.npz")
