"""The SavedModel that keeps the served contract: one graph, both signatures, weights as shared constants.

The network enters the graph twice (once for pixels, once for file bytes) and reads the same constants, kept as float16
where that was asked for; TensorFlow casts them once, when a session first runs the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from export import contract
from export.decode import decode_and_prepare
from export.fold import FLOAT32, Compute, fold_batch_norm
from training.model import FEATURES, LOGIT, MAP
from training.novelty import Novelty
from training.validate import both_ways

Tensor = Any
_IMAGE_FEED: Final = "network_image"
_LARGE: Final = 1024
"""Elements above which a constant is worth keeping as float16."""


@dataclass(frozen=True, eq=False)
class Answering:
    """What turns the network's logit into an answer: calibration, thresholds and the novelty Gaussian.

    With ``mirrored`` the network reads each picture and its mirror image, and the mean of both answers.
    """

    temperature: float
    bias: float
    thresholds: tuple[float, float]
    novelty: Novelty
    mirrored: bool = False


def write_saved_model(
    network: keras.Model, answering: Answering, folder: Path, *, half_constants: bool, compute: Compute = FLOAT32
) -> None:
    """Write ``saved_model.pb`` with both signatures of ``export.contract`` into ``folder``.

    ``compute`` is what the network's maps of features are computed in.
    """
    size = int(network.input_shape[1])
    run, weights = _network_graph(fold_batch_norm(network, compute))
    graph = tf.Graph()
    with graph.as_default():
        constants = [_constant(weight, f"weight_{i:03}", half_constants) for i, weight in enumerate(weights)]
        # servers feed what they are given: without the check, a wrong rank reaches a kernel that ends the process
        fed = tf.compat.v1.placeholder(tf.uint8, name=contract.INPUT_IMAGE)
        image = tf.ensure_shape(fed, [None, size, size, 1])
        files = tf.compat.v1.placeholder(tf.string, [None], name=contract.INPUT_BYTES)
        prepared = decode_and_prepare(files, size)

        def network_of(pixels: Tensor, scope: str) -> Mapping[str, Tensor]:
            if not answering.mirrored:
                return run(pixels, constants, scope)
            # one pass over a batch of both is cheaper than two passes
            twice = run(tf.concat([pixels, tf.reverse(pixels, [2])], 0), constants, scope)
            halves = {name: tf.split(value, 2) for name, value in twice.items()}
            return both_ways(*({name: half[side] for name, half in halves.items()} for side in (0, 1)))

        signatures = {
            contract.SIGNATURE_IMAGE: _signature(
                contract.INPUT_IMAGE,
                _tensor_info(fed, image.shape),
                _answer(image, network_of(image, "pixels"), answering),
            ),
            contract.SIGNATURE_BYTES: _signature(
                contract.INPUT_BYTES, _tensor_info(files), _answer(prepared, network_of(prepared, "files"), answering)
            ),
        }
        # the builder makes its folder itself and refuses one that is there
        target = folder / "saved_model"
        with tf.compat.v1.Session(graph=graph) as session:
            builder = tf.compat.v1.saved_model.Builder(str(target))
            builder.add_meta_graph_and_variables(session, ["serve"], signatures, strip_default_attrs=True)
            builder.save()
    (target / "saved_model.pb").rename(folder / "saved_model.pb")
    (target / "variables").rename(folder / "variables")
    target.rmdir()


def _network_graph(
    network: keras.Model,
) -> tuple[Callable[[Tensor, list[Tensor], str], dict[str, Tensor]], list[NDArray[Any]]]:
    """Return a function that puts ``network`` into the current graph upon given weights, and these weights."""
    trainable, fixed = network.trainable_variables, network.non_trainable_variables
    weights = [np.asarray(variable) for variable in (*trainable, *fixed)]

    def forward(image: Tensor, *values: Tensor) -> dict[str, Tensor]:
        answer, _ = network.stateless_call(
            list(values[: len(trainable)]), list(values[len(trainable) :]), tf.cast(image, tf.float32), training=False
        )
        return {key: tf.identity(tf.cast(answer[key], tf.float32), name=f"out_{key}") for key in (LOGIT, MAP, FEATURES)}

    size = int(network.input_shape[1])
    specs = [tf.TensorSpec(w.shape, tf.as_dtype(w.dtype), name=f"feed_{i:03}") for i, w in enumerate(weights)]
    image_spec = tf.TensorSpec([None, size, size, 1], tf.uint8, name=_IMAGE_FEED)
    traced = tf.function(forward).get_concrete_function(image_spec, *specs)
    feeds = [tensor.name for tensor in traced.inputs]
    keys = sorted(traced.structured_outputs)
    names = [tensor.name for tensor in traced.outputs]
    definition = traced.graph.as_graph_def()

    def run(image: Tensor, constants: list[Tensor], scope: str) -> dict[str, Tensor]:
        outputs = tf.graph_util.import_graph_def(
            definition,
            input_map=dict(zip(feeds, [image, *constants], strict=True)),
            return_elements=names,
            name=scope,
        )
        return dict(zip(keys, outputs, strict=True))

    return run, weights


def _constant(weight: NDArray[Any], name: str, half: bool) -> Tensor:
    if half and weight.dtype == np.float32 and weight.size >= _LARGE:
        return tf.cast(tf.constant(weight.astype(np.float16), name=f"{name}_half"), tf.float32, name=name)
    return tf.constant(weight, name=name)


def _answer(image: Tensor, network: Mapping[str, Tensor], answering: Answering) -> dict[str, Tensor]:
    """Return the five outputs of the contract."""
    logit = tf.reshape(network[LOGIT], [-1])
    probability = tf.sigmoid(logit / answering.temperature + answering.bias)
    suspicion, fracture = answering.thresholds
    level = tf.cast(probability >= suspicion, tf.int32) + tf.cast(probability >= fracture, tf.int32)
    count = tf.shape(logit)[0]
    return {
        contract.PROBABILITY: probability,
        contract.FINDING: tf.gather(tf.constant(contract.FINDINGS), level),
        contract.THRESHOLDS: tf.tile(tf.constant([[suspicion, fracture]], tf.float32), [count, 1]),
        contract.HEATMAP: tf.sigmoid(network[MAP]) * _inside(image, network[MAP]),
        contract.NOVELTY: _novelty(network[FEATURES], answering.novelty),
    }


def _inside(image: Tensor, cells: Tensor) -> Tensor:
    """Return float32 [N,H,W], 0 on the black rows and columns around the picture: the padding of the letterbox."""
    height, width = cells.shape[1], cells.shape[2]
    stride = image.shape[1] // height
    lit = tf.cast(image[..., 0] > 0, tf.float32)
    rows = tf.reduce_max(tf.reshape(tf.reduce_max(lit, 2), [-1, height, stride]), 2)
    columns = tf.reduce_max(tf.reshape(tf.reduce_max(lit, 1), [-1, width, stride]), 2)

    def between_ends(line: Tensor) -> Tensor:
        started = tf.cumsum(line, axis=1) > 0
        not_ended = tf.cumsum(line, axis=1, reverse=True) > 0
        return tf.cast(started & not_ended, tf.float32)

    return between_ends(rows)[:, :, None] * between_ends(columns)[:, None, :]


def _novelty(features: Tensor, fitted: Novelty) -> Tensor:
    standard = (features - fitted.mean) / fitted.scale
    along = tf.matmul(standard, tf.constant(fitted.basis))
    remainder = tf.reduce_sum(tf.square(standard), 1) - tf.reduce_sum(tf.square(along), 1)
    within = tf.reduce_mean(tf.square(along / fitted.deviations), 1)
    return tf.sqrt((within + tf.maximum(remainder, 0.0) / fitted.rest) / 2.0) / fitted.unit


def _signature(alias: str, fed: Any, outputs: Mapping[str, Tensor]) -> Any:
    named = {name: tf.identity(outputs[name], name=f"{alias}_{name}") for name in contract.OUTPUTS}
    return meta_graph_pb2.SignatureDef(
        inputs={alias: fed},
        outputs={name: _tensor_info(value) for name, value in named.items()},
        method_name=tf.saved_model.PREDICT_METHOD_NAME,
    )


def _tensor_info(tensor: Tensor, shape: Any = None) -> Any:
    shape = (tensor.shape if shape is None else shape).as_proto()
    return meta_graph_pb2.TensorInfo(name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=shape)
