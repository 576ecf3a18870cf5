"""Ways to run one network in this process: Keras, SavedModels, and the runtimes of others where they are installed.

Each gives a function of a batch uint8 [N,S,S,1] to the probabilities float32 [N], all outputs computed.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export import contract
from export.fold import FLOAT32, Compute
from export.precision import STRIDES
from serving.bench import raw
from serving.bench.networks import Network, exported
from serving.bench.summary import say
from training.model import LOGIT

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

PREDICT: Final = "Keras predict"
PLAIN: Final = "Keras SavedModel"
_PLAIN_FOLDER: Final = "plain"
EXPORTED: Final = (FLOAT32, *(Compute("bfloat16", stride) for stride in sorted(STRIDES, reverse=True)))
"""What `osteo export` may choose to compute in on a CPU, from the most exact to the fastest."""
ONNX: Final = "ONNX Runtime"
OPENVINO: Final[Mapping[str, str]] = {"OpenVINO float32": "f32", "OpenVINO bfloat16": "bf16"}
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    ONNX: ("onnxruntime", "tf2onnx"),
    **dict.fromkeys(OPENVINO, ("openvino",)),
}
"""What has to be installed for a runtime that is no part of this project."""


def plain(network: Network, scratch: Path) -> Run:
    """Return the network as Keras' own SavedModel, which is written into ``scratch`` for the runtimes of others too."""
    import tensorflow as tf

    network.keras.export(str(scratch / _PLAIN_FOLDER), verbose=False)
    loaded = tf.saved_model.load(str(scratch / _PLAIN_FOLDER))  # kept whole, for a function does not keep its variables
    return lambda images: _probability(loaded.serve(tf.constant(images, tf.float32))[LOGIT].numpy())


def ways(network: Network, scratch: Path) -> Iterator[tuple[str, Run]]:
    """Yield every other way that is installed, by name; what is not is said. Models are written into ``scratch``.

    One is built when the one before has been dealt with: a large network takes gigabytes in each.
    """
    yield PREDICT, predict(network)
    for compute in EXPORTED:
        yield f"osteo export, {compute}", _exported(exported(network, scratch / str(compute), compute))
    foreign = {ONNX: partial(_onnx, network, scratch / "network.onnx")}
    foreign |= {name: partial(_openvino, scratch / _PLAIN_FOLDER, precision) for name, precision in OPENVINO.items()}
    trial = np.zeros((1, network.size, network.size, 1), np.uint8)
    for name, build in foreign.items():
        if installed(name):
            try:
                run = build()
                run(trial)
            except Exception as error:  # others' conversions fail in all kinds of ways; ours is measured still
                say(f"[bold red]LEFT OUT: {name}.[/] It cannot run this network: {str(error).splitlines()[0][:200]}")
            else:
                yield name, run


def installed(name: str) -> bool:
    """Tell whether the runtime is there, and say it loudly where not."""
    missing = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
    if missing:
        say(f"[bold red]LEFT OUT: {name}.[/] Not installed: {', '.join(missing)}. pip install '.\\[bench]'")
    return not missing


def predict(network: Network) -> Run:
    """Return Keras' own ``predict``, against whose answers the other ways are held."""
    return lambda images: _probability(network.keras.predict(images, batch_size=len(images), verbose=0)[LOGIT])


def _exported(folder: Path) -> Run:
    run, place = raw.load(folder, as_written=True), contract.OUTPUTS.index(contract.PROBABILITY)
    return lambda images: np.asarray(run(images)[place], np.float32)


def _onnx(network: Network, file: Path) -> Run:
    import onnxruntime

    network.keras.export(str(file), format="onnx", verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _cores()
    # its threads would otherwise burn the cores while the others have their turn
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (fed,) = (given.name for given in session.get_inputs())
    names = [told.name for told in session.get_outputs()]
    logit = names.index(LOGIT) if LOGIT in names else _by_rank(session.get_outputs())
    return lambda images: _probability(session.run(None, {fed: images.astype(np.float32)})[logit])


def _by_rank(outputs: Any) -> int:
    """Return which output is the logit, the only one of rank 1, where the conversion has lost the names."""
    return next(index for index, told in enumerate(outputs) if len(told.shape) == 1)


def _openvino(folder: Path, precision: str) -> Run:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    settings["INFERENCE_NUM_THREADS"] = str(_cores())
    model = core.compile_model(openvino.convert_model(str(folder)), "CPU", settings)
    request = model.create_infer_request()
    logit = next(told for told in model.outputs if len(told.partial_shape) == 1)
    return lambda images: _probability(request.infer(images.astype(np.float32))[logit])


def _probability(logit: NDArray[Any]) -> NDArray[np.float32]:
    bounded = np.clip(np.asarray(logit, np.float32).reshape(-1), -60, 60)
    return np.asarray(1 / (1 + np.exp(-bounded)), np.float32)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
