"""Folding: the network without BatchNorm, its statistics moved into the convolutions before it.

Its maps of features may be computed in a shorter number than they were trained in; what is pooled from them, and all
that follows, stays float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)

_POOLINGS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


@dataclass(frozen=True)
class Compute:
    """What numbers a network computes in: ``dtype`` in its maps of features from ``stride`` on, float32 elsewhere.

    ``dtype`` is float32, bfloat16 or float16; ``stride`` is how many px of the input lie between two cells of a map.
    What a network rounds in its finest maps moves its answer most.
    """

    dtype: str = "float32"
    stride: int = 1

    def __str__(self) -> str:
        return self.dtype if self.stride == 1 else f"{self.dtype} from stride {self.stride} on"


FLOAT32 = Compute()


class _Through(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Stands where a folded BatchNorm stood; takes the arguments of its call."""

    def call(self, x: object, mask: object = None) -> object:  # noqa: ARG002
        return x


def fold_batch_norm(network: keras.Model, compute: Compute = FLOAT32) -> keras.Model:
    """Return a copy of ``network`` whose answers are the same and whose foldable BatchNorm layers are gone.

    A BatchNorm folds where it is the only reader of a convolution without activation; others stay as they are.
    ``compute`` is what the maps before the poolings are computed in.
    """
    norm_of = _foldable(network)
    folded_norms = {norm.name for norm in norm_of.values()}

    short = set() if compute.dtype == "float32" else _before_pooling(network, compute.stride)

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        policy = f"mixed_{compute.dtype}" if layer.name in short else "float32"
        if layer.name in folded_norms:
            return _Through(name=layer.name, dtype=policy)
        config = {**layer.get_config(), "dtype": policy}
        if layer.name in norm_of:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    folded = keras.models.clone_model(network, clone_function=copy)
    for layer in network.layers:
        target = folded.get_layer(layer.name)
        if layer.name in norm_of:
            target.set_weights(_folded_weights(layer, norm_of[layer.name]))
        elif layer.name not in folded_norms and layer.weights:
            target.set_weights(layer.get_weights())
    return folded


def _before_pooling(network: keras.Model, stride: int) -> set[str]:
    """Return the names of the layers that make maps of at least this stride for convolutions or poolings to read."""
    widest = int(network.input_shape[1]) // stride
    return {
        layer.name
        for layer in network.layers
        if len(layer.output.shape) == 4
        and layer.output.shape[1] <= widest
        and not isinstance(layer, keras.layers.InputLayer)
        and all(_reads_maps(node.operation) for node in layer._outbound_nodes)
    }


def _reads_maps(layer: keras.layers.Layer) -> bool:
    return len(layer.output.shape) == 4 or isinstance(layer, _POOLINGS)


def _foldable(network: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """Return the BatchNorm to fold by the name of its convolution."""
    pairs = {}
    for layer in network.layers:
        readers = [node.operation for node in layer._outbound_nodes]
        linear = isinstance(layer, _CONVOLUTIONS) and layer.activation is keras.activations.linear
        if linear and len(readers) == 1 and isinstance(readers[0], keras.layers.BatchNormalization):
            pairs[layer.name] = readers[0]
    return pairs


def _folded_weights(
    convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> list[NDArray[np.float32]]:
    kernel = convolution.get_weights()[0]
    bias = convolution.get_weights()[1] if convolution.use_bias else 0.0
    variance = np.asarray(norm.moving_variance)
    factor = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor = factor * np.asarray(norm.gamma)
    shift = (bias - np.asarray(norm.moving_mean)) * factor
    if norm.center:
        shift = shift + np.asarray(norm.beta)
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    scaled = kernel * (factor[:, None] if depthwise else factor)
    return [scaled.astype(np.float32), shift.astype(np.float32)]
