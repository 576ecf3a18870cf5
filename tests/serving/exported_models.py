"""SavedModels as other people's code writes them: TF2 modules, Keras models, TF1 graphs with assets and init ops.

    python -m tests.serving.exported_models DIR

writes each to DIR/<model>/1. None of them is a plain frozen graph, as those of `saved_models` mostly are.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

VOCABULARY = ("wrist", "hip", "ankle")


def _vocabulary(folder: Path) -> str:
    file = folder / "vocabulary.txt"
    file.write_text("\n".join(VOCABULARY))
    return str(file)


def module(folder: Path, vocabulary: str) -> None:
    """A tf.Module: variables, a table read from an asset, a counter, and one input tensor a signature."""
    import tensorflow as tf

    def parsed(examples: Any) -> Any:
        return tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]

    def signature(function: Any, dtype: Any, shape: list[int | None], alias: str) -> Any:
        return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype, alias))

    root = tf.Module()
    root.half, root.two = tf.Variable(0.5), tf.Variable(2.0)
    root.count = tf.Variable(0, dtype=tf.int64)
    lines = tf.lookup.TextFileInitializer(
        vocabulary, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    root.table = tf.lookup.StaticHashTable(lines, -1)
    signatures = {
        "serving_default": signature(lambda x: {"y": root.half * x + root.two}, tf.float32, [None], "x"),
        "classify": signature(
            lambda inputs: {"scores": root.half * parsed(inputs) + root.two}, tf.string, [None], "inputs"
        ),
        "regress": signature(lambda inputs: {"outputs": root.half * parsed(inputs)}, tf.string, [None], "inputs"),
        "look_up": signature(lambda word: {"index": root.table.lookup(word)}, tf.string, [None], "word"),
        "count": signature(lambda step: {"count": root.count.assign_add(step)}, tf.int64, [], "step"),
    }
    tf.saved_model.save(root, str(folder), signatures)


def keras(folder: Path) -> None:
    """A Keras model by its own export: a dense layer that adds up three features and takes one away."""
    import keras as k

    model = k.Sequential([k.Input((3,), name="features"), k.layers.Dense(1, kernel_initializer="ones")])
    model.layers[0].set_weights([model.layers[0].get_weights()[0], model.layers[0].get_weights()[1] - 1.0])
    model.export(str(folder), verbose=False)


def legacy(folder: Path, vocabulary: str, as_text: bool) -> None:
    """A TF1 graph: reference variables, an asset, and a main op that fills a table and a variable."""
    import tensorflow as tf
    from tensorflow.compat.v1 import saved_model

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        half = v1.get_variable("half", initializer=0.5, use_resource=False)
        greeting = v1.get_variable("greeting", initializer="unset", use_resource=False, collections=["local"])
        asset = tf.constant(vocabulary)
        graph.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                asset, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
            ),
            -1,
        )
        word = v1.placeholder(tf.string, [None], "word")
        info = saved_model.utils.build_tensor_info
        outputs = {
            "index": table.lookup(word),
            "half": tf.fill(tf.shape(word), half.read_value()),
            "greeting": tf.fill(tf.shape(word), greeting.read_value()),
        }
        definition = saved_model.build_signature_def(
            {"word": info(word)}, {name: info(tensor) for name, tensor in outputs.items()}, "tensorflow/serving/predict"
        )
        session.run(v1.global_variables_initializer())
        builder = saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": definition},
            assets_collection=graph.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(v1.tables_initializer(), greeting.assign("set by the main op")),
        )
        builder.save(as_text)


def write_all(folder: Path) -> None:
    """Write every model."""
    vocabulary = _vocabulary(folder)
    module(folder / "module" / "1", vocabulary)
    keras(folder / "keras" / "1")
    legacy(folder / "legacy" / "1", vocabulary, as_text=False)
    legacy(folder / "legacy_text" / "1", vocabulary, as_text=True)
    Path(vocabulary).unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_all(folder)
