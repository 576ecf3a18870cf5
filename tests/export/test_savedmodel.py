"""The SavedModel: what the network says, calibrated and cut into findings, the same by pixels and by file bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.special import expit

from export import contract
from export.decode import decode_and_prepare
from export.fold import fold_batch_norm
from export.savedmodel import Answering, write_saved_model
from export.warmup import write_warmup
from radiograph import prepare, read
from radiograph.phantom import phantom
from tests.export.networks import small_network
from training.model import FEATURES, LOGIT, MAP
from training.novelty import fit_novelty

SIZE = 96


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Three phantoms, one of them upright so that its input is padded left and right."""
    sizes = ((400, 300), (300, 400), (320, 320))
    drawn = [phantom(seed=n, fractured=n == 1, size=size).radiograph for n, size in enumerate(sizes)]
    return np.stack([prepare(radiograph, SIZE).image for radiograph in drawn])


@pytest.fixture(scope="module")
def network(images: np.ndarray[Any, Any]) -> keras.Model:
    """A small network whose BatchNorm has counted the pictures, so that its answers to them differ."""
    return small_network(images)


@pytest.fixture(scope="module")
def answering(network: keras.Model, images: np.ndarray[Any, Any]) -> Answering:
    """A calibration that puts the three pictures into three findings."""
    raw = network(images.astype(np.float32))
    logits = np.asarray(raw[LOGIT], np.float64)
    temperature = float(logits.std())
    bias = float(-logits.mean() / temperature)
    probability = np.sort(expit(logits / temperature + bias))
    features = np.asarray(raw[FEATURES])
    spread = features + np.random.default_rng(0).normal(0, 0.1, (40, *features.shape)).astype(np.float32)
    novelty = fit_novelty(spread.reshape(-1, features.shape[1]), features)
    middle = (probability[:-1] + probability[1:]) / 2
    return Answering(temperature, bias, (float(middle[0]), float(middle[1])), novelty)


Signatures = dict[str, Callable[..., dict[str, Any]]]


def _loaded(folder: Path) -> Signatures:
    loaded = tf.saved_model.load(str(folder))

    def ask(name: str, **inputs: Any) -> dict[str, Any]:
        return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}

    return {name: functools.partial(ask, name) for name in loaded.signatures}


@pytest.fixture(scope="module")
def served(exported: Path) -> Signatures:
    """The signatures of the exported version."""
    return _loaded(exported)


@pytest.fixture(scope="module")
def exported(network: keras.Model, answering: Answering, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a SavedModel with float32 constants."""
    folder = tmp_path_factory.mktemp("version")
    write_saved_model(network, answering, folder, half_constants=False)
    return folder


def test_folding_changes_no_answer(network: keras.Model, images: np.ndarray[Any, Any]) -> None:
    folded = fold_batch_norm(network)
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers) == 1
    before, after = (model(images.astype(np.float32)) for model in (network, folded))
    for key in (LOGIT, MAP, FEATURES):
        scale = float(np.abs(before[key]).max())
        np.testing.assert_allclose(before[key], after[key], atol=1e-3 * max(scale, 1))


def test_the_answer_is_the_calibrated_network(
    served: Signatures, network: keras.Model, images: np.ndarray[Any, Any], answering: Answering
) -> None:
    told = served[contract.SIGNATURE_IMAGE](image=tf.constant(images))
    raw = network(images.astype(np.float32))
    expected = expit(np.asarray(raw[LOGIT]) / answering.temperature + answering.bias)
    assert set(told) == set(contract.OUTPUTS)
    np.testing.assert_allclose(told["probability"], expected, atol=1e-3)
    np.testing.assert_allclose(told["novelty"], answering.novelty.score(np.asarray(raw[FEATURES])), rtol=0.01)
    np.testing.assert_allclose(told["thresholds"], [answering.thresholds] * 3, rtol=1e-6)


def test_a_mirrored_answer_is_the_mean_of_a_picture_and_its_mirror_image(
    network: keras.Model, images: np.ndarray[Any, Any], answering: Answering, tmp_path: Path
) -> None:
    write_saved_model(network, replace(answering, mirrored=True), tmp_path, half_constants=False)
    told = _loaded(tmp_path)[contract.SIGNATURE_IMAGE](image=tf.constant(images))
    upright, turned = (network(np.ascontiguousarray(side).astype(np.float32)) for side in (images, images[:, :, ::-1]))
    logit = (np.asarray(upright[LOGIT]) + np.asarray(turned[LOGIT])) / 2
    cells = (np.asarray(upright[MAP]) + np.asarray(turned[MAP])[:, :, ::-1]) / 2
    np.testing.assert_allclose(told["probability"], expit(logit / answering.temperature + answering.bias), atol=1e-3)
    np.testing.assert_allclose(told["heatmap"][2], expit(cells[2]), atol=1e-3)
    assert np.abs(np.asarray(upright[LOGIT]) - logit).max() > 1e-3, "the mirror image must say something else"
    flipped = _loaded(tmp_path)[contract.SIGNATURE_IMAGE](image=tf.constant(images[:, :, ::-1]))
    np.testing.assert_allclose(flipped["probability"], told["probability"], atol=1e-4)


def test_each_finding_is_given_where_its_thresholds_say(served: Signatures, images: np.ndarray[Any, Any]) -> None:
    told = served[contract.SIGNATURE_IMAGE](image=tf.constant(images))
    order = np.argsort(told["probability"])
    assert [told["finding"][row].decode() for row in order] == list(contract.FINDINGS)


def test_the_heat_map_is_dark_where_the_input_was_padded(served: Signatures, images: np.ndarray[Any, Any]) -> None:
    heat = served[contract.SIGNATURE_IMAGE](image=tf.constant(images))["heatmap"]
    assert heat.shape == (3, SIZE // 8, SIZE // 8)
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert heat[0, 0].max() == heat[0, -1].max() == 0, "the wide picture is padded above and below"
    assert heat[1, :, 0].max() == heat[1, :, -1].max() == 0, "the tall picture is padded left and right"
    assert (heat[2] > 0).all(), "the square picture is not padded"


@pytest.mark.parametrize("shape", [(1,), (SIZE, SIZE), (1, SIZE, SIZE), (1, SIZE, SIZE + 1, 1), (1, SIZE, SIZE, 3)])
def test_an_input_of_another_shape_is_refused_before_it_reaches_a_kernel(
    exported: Path, shape: tuple[int, ...]
) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(exported))
        signature = loaded.signature_def[contract.SIGNATURE_IMAGE]
        declared = [dimension.size for dimension in signature.inputs[contract.INPUT_IMAGE].tensor_shape.dim]
        assert declared == [-1, SIZE, SIZE, 1]
        feed = {signature.inputs[contract.INPUT_IMAGE].name: np.zeros(shape, np.uint8)}
        with pytest.raises(tf.errors.InvalidArgumentError, match="is not compatible with expected shape"):
            session.run(signature.outputs[contract.PROBABILITY].name, feed)


def test_half_constants_move_the_network_little(
    network: keras.Model, answering: Answering, exported: Path, images: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    write_saved_model(network, answering, tmp_path, half_constants=True)
    sizes = [(folder / "saved_model.pb").stat().st_size for folder in (exported, tmp_path)]
    assert sizes[1] < 0.6 * sizes[0]
    told = [_loaded(folder)[contract.SIGNATURE_IMAGE](image=tf.constant(images)) for folder in (exported, tmp_path)]
    np.testing.assert_allclose(told[0]["heatmap"], told[1]["heatmap"], atol=0.05)


def _encoded(kind: str) -> bytes:
    picture = Image.fromarray(phantom(seed=4, fractured=True, size=(500, 700)).pixels)
    sink = io.BytesIO()
    if kind.startswith("exif"):
        exif = Image.Exif()
        exif[0x0112] = int(kind[-1])
        picture.save(sink, "JPEG", quality=90, exif=exif)
    elif kind == "png16":
        wide = np.asarray(picture).astype(np.uint16) * 16 + 7
        Image.fromarray(wide).save(sink, "PNG")
    elif kind == "jpeg":
        picture.save(sink, "JPEG", quality=90)
    else:
        picture.convert(kind.removeprefix("png-")).save(sink, "PNG")
    return sink.getvalue()


KINDS = ["jpeg", "png-L", "png-RGB", "png-LA", "png-RGBA", "png-P", "png16", *(f"exif{n}" for n in range(1, 9))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_prepares_a_file_as_the_program_does(kind: str) -> None:
    file = _encoded(kind)
    in_graph = decode_and_prepare(tf.constant([file]), SIZE)[0].numpy().astype(int)
    ours = prepare(read(file), SIZE).image.astype(int)
    assert np.abs(in_graph - ours).max() <= 4
    assert np.abs(in_graph - ours).mean() < 0.5


def test_file_bytes_answer_as_the_pixels_they_hold(served: Signatures) -> None:
    files = tf.constant([_encoded(kind) for kind in ("jpeg", "png16", "exif6")])
    by_bytes = served[contract.SIGNATURE_BYTES](image_bytes=files)
    by_pixels = served[contract.SIGNATURE_IMAGE](image=decode_and_prepare(files, SIZE))
    np.testing.assert_array_equal(by_bytes["finding"], by_pixels["finding"])
    np.testing.assert_allclose(by_bytes["heatmap"], by_pixels["heatmap"], atol=1e-3)


def test_the_network_stands_once_in_the_file(exported: Path, network: keras.Model) -> None:
    weights = sum(int(np.prod(weight.shape)) for weight in network.weights)
    assert (exported / "saved_model.pb").stat().st_size < 1.5 * 4 * weights


def test_warm_up_records_name_both_signatures(tmp_path: Path) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    write_warmup(tmp_path, SIZE)
    records = tf.data.TFRecordDataset(str(tmp_path / contract.WARMUP_PATH)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    names = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert names == [contract.SIGNATURE_IMAGE, contract.SIGNATURE_BYTES]
