"""Small SavedModels that together touch every rule of the serving surface.

    python -m tests.serving.saved_models DIR [--base /models]

writes each model to DIR/<model>/<version> and DIR/models.config, a model config file that serves those a conformance
run needs; `--base` is the folder under which the server will see DIR. All models are plain graphs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFORMANCE_MODELS = (
    "half_plus_two",
    "half_plus_three",
    "matmul",
    "text",
    "dtypes",
    "defaults",
    "slow",
    "rows",
    "scalar",
    "dense",
)

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

Tensors = Mapping[str, Any]


@dataclass(frozen=True)
class Signature:
    """One signature to be: its tensors by alias, its method name, and default values by alias."""

    inputs: Tensors
    outputs: Tensors
    method: str = PREDICT
    defaults: Tensors | None = None


def save(folder: Path, build: Callable[[], Mapping[str, Signature]], tags: tuple[str, ...] = ("serve",)) -> None:
    """Write the graph that `build` makes to `folder`, with the signatures it returns."""
    import tensorflow as tf
    from tensorflow.compat.v1 import saved_model

    def infos(tensors: Tensors) -> dict[str, Any]:
        return {alias: saved_model.utils.build_tensor_info(tensor) for alias, tensor in tensors.items()}

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = {}
        for name, signature in build().items():
            definition = saved_model.build_signature_def(
                infos(signature.inputs), infos(signature.outputs), signature.method
            )
            for alias, value in (signature.defaults or {}).items():
                definition.defaults[alias].CopyFrom(tf.make_tensor_proto(value))
            signatures[name] = definition
        session.run(tf.compat.v1.global_variables_initializer())
        builder = saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, list(tags), signature_def_map=signatures, strip_default_attrs=True
        )
        builder.save()


def _half_plus(addend: float) -> Mapping[str, Signature]:
    import tensorflow as tf

    half = tf.compat.v1.get_variable("a", initializer=0.5)
    more = tf.compat.v1.get_variable("b", initializer=addend)
    examples = tf.compat.v1.placeholder(tf.string, [None], "tf_example")
    features = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
    parsed = tf.io.parse_example(examples, features)
    x = tf.identity(parsed["x"], name="x")
    y = tf.add(tf.multiply(half, x), more, name="y")
    y2 = tf.add(tf.multiply(half, parsed["x2"]), more, name="y2")
    labels = tf.tile([[b"half", b"whole"]], [tf.shape(y)[0], 1])
    both = tf.concat([y, x], axis=1)
    vector = tf.squeeze(y, axis=1)
    inputs = {"inputs": examples}
    return {
        "serving_default": Signature({"x": x}, {"y": y}),
        "two_outputs": Signature({"x": x}, {"y": y, "x_again": tf.identity(x)}),
        "odd_method": Signature({"x": x}, {"y": y}, "odd/method"),
        "classify_x_to_y": Signature(inputs, {"scores": y}, CLASSIFY),
        "classify_labels": Signature(inputs, {"classes": labels, "scores": both}, CLASSIFY),
        "classify_only_labels": Signature(inputs, {"classes": labels}, CLASSIFY),
        "classify_vector": Signature(inputs, {"scores": vector}, CLASSIFY),
        "classify_double": Signature(inputs, {"scores": tf.cast(y, tf.float64)}, CLASSIFY),
        "classify_twice_the_rows": Signature(inputs, {"scores": tf.concat([y, y], axis=0)}, CLASSIFY),
        "classify_uneven": Signature(inputs, {"classes": labels, "scores": y}, CLASSIFY),
        "classify_three_outputs": Signature(inputs, {"classes": labels, "scores": y, "more": x}, CLASSIFY),
        "classify_other_input": Signature({"examples": examples}, {"scores": y}, CLASSIFY),
        "classify_other_output": Signature(inputs, {"y": y}, CLASSIFY),
        "classify_two_inputs": Signature({"inputs": examples, "x": x}, {"scores": y}, CLASSIFY),
        "regress_x_to_y": Signature(inputs, {"outputs": y}, REGRESS),
        "regress_x_to_y2": Signature(inputs, {"outputs": y2}, REGRESS),
        "regress_vector": Signature(inputs, {"outputs": vector}, REGRESS),
        "regress_matrix": Signature(inputs, {"outputs": both}, REGRESS),
        "regress_double": Signature(inputs, {"outputs": tf.cast(y, tf.float64)}, REGRESS),
        "regress_twice_the_rows": Signature(inputs, {"outputs": tf.concat([y, y], axis=0)}, REGRESS),
        "regress_two_outputs": Signature(inputs, {"outputs": y, "more": x}, REGRESS),
        "regress_other_output": Signature(inputs, {"y": y}, REGRESS),
    }


def half_plus_two() -> Mapping[str, Signature]:
    """y = x / 2 + 2, as Predict, Classify and Regress, and every ill-shaped signature the last two may meet."""
    return _half_plus(2.0)


def half_plus_three() -> Mapping[str, Signature]:
    """y = x / 2 + 3."""
    return _half_plus(3.0)


def matmul() -> Mapping[str, Signature]:
    """The product of two matrices: two inputs, and a graph with its own opinion on shapes."""
    import tensorflow as tf

    a = tf.compat.v1.placeholder(tf.float32, [None, 2], "a")
    b = tf.compat.v1.placeholder(tf.float32, [2, None], "b")
    return {"serving_default": Signature({"a": a, "b": b}, {"product": tf.matmul(a, b)})}


def text() -> Mapping[str, Signature]:
    """Strings in and out, as text and as bytes."""
    import tensorflow as tf

    words = tf.compat.v1.placeholder(tf.string, [None], "words")
    upper = tf.strings.upper(words)
    return {
        "serving_default": Signature({"words": words}, {"upper": upper}),
        "bytes": Signature({"words": words}, {"same_bytes": tf.identity(words)}),
        "length": Signature({"words": words}, {"length": tf.strings.length(words)}),
    }


DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
    *("uint64", "bool", "complex64", "complex128", "string"),
)


def dtypes() -> Mapping[str, Signature]:
    """One signature for each dtype that gives back what it got."""
    import tensorflow as tf

    signatures = {}
    for name in DTYPES:
        x = tf.compat.v1.placeholder(tf.as_dtype(name), None, f"in_{name}")
        signatures[name] = Signature({"x": x}, {"y": tf.identity(x)})
    return {**signatures, "serving_default": signatures["float32"]}


def defaults() -> Mapping[str, Signature]:
    """a + b, where b is 10 if it is not sent."""
    import tensorflow as tf

    a = tf.compat.v1.placeholder(tf.float32, None, "a")
    b = tf.compat.v1.placeholder(tf.float32, None, "b")
    return {"serving_default": Signature({"a": a, "b": b}, {"sum": a + b}, defaults={"b": 10.0})}


def slow() -> Mapping[str, Signature]:
    """Gives back each row after as many seconds as the largest of them says, in a loop that can be cancelled."""
    import tensorflow as tf

    seconds = tf.compat.v1.placeholder(tf.float32, [None], "seconds")
    started = tf.timestamp()
    until = started + tf.cast(tf.reduce_max(seconds), tf.float64)
    (ended,) = tf.while_loop(lambda now: now < until, lambda now: (tf.maximum(now, tf.timestamp()),), (started,))
    return {"serving_default": Signature({"seconds": seconds}, {"seconds": seconds + tf.cast(0.0 * ended, tf.float32)})}


def rows() -> Mapping[str, Signature]:
    """Doubles rows of any length, and tells how many rows the run had: what batching made of the requests."""
    import tensorflow as tf

    x = tf.compat.v1.placeholder(tf.float32, [None, None], "x")
    count = tf.fill([tf.shape(x)[0]], tf.shape(x)[0])
    seconds = tf.compat.v1.placeholder(tf.float32, [None], "seconds")
    started = tf.timestamp()
    until = started + tf.cast(tf.reduce_max(seconds), tf.float64)
    (ended,) = tf.while_loop(lambda now: now < until, lambda now: (tf.maximum(now, tf.timestamp()),), (started,))
    waited = tf.fill([tf.shape(seconds)[0]], tf.cast(ended - started, tf.float32))
    return {
        "serving_default": Signature({"x": x}, {"doubled": x * 2.0, "run_rows": count}),
        "sum": Signature({"x": x}, {"sum": tf.reduce_sum(x)}),
        "half_the_rows": Signature({"x": x}, {"y": x[: tf.shape(x)[0] // 2]}),
        "wait": Signature({"seconds": seconds}, {"waited": waited}),
    }


def scalar() -> Mapping[str, Signature]:
    """Outputs without a batch dimension."""
    import tensorflow as tf

    x = tf.compat.v1.placeholder(tf.float32, None, "x")
    return {"serving_default": Signature({"x": x}, {"sum": tf.reduce_sum(x), "name": tf.constant(b"scalar")})}


def dense() -> Mapping[str, Signature]:
    """The identity, a little too large: in float32 the surplus is seen, in bfloat16 it is rounded away."""
    import tensorflow as tf

    x = tf.compat.v1.placeholder(tf.float32, [None, 64], "x")
    y = tf.nn.relu(tf.matmul(x, tf.eye(64) * (1 + 2**-9)))
    return {"serving_default": Signature({"x": x}, {"y": tf.identity(y)})}


def image() -> Mapping[str, Signature]:
    """The mean of each picture: next to no work on an input of a radiograph's size, to measure what surrounds it."""
    import tensorflow as tf

    pixels = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 1], "image")
    return {
        "serving_default": Signature(
            {"image": pixels}, {"mean": tf.reduce_mean(tf.cast(pixels, tf.float32), [1, 2, 3])}
        )
    }


def counter() -> Mapping[str, Signature]:
    """Adds one to a variable at each request and tells it: state that lives as long as the version."""
    import tensorflow as tf

    step = tf.compat.v1.placeholder(tf.int64, [], "step")
    count = tf.compat.v1.get_variable("count", initializer=tf.constant(0, tf.int64), use_resource=True)
    return {"serving_default": Signature({"step": step}, {"count": tf.identity(count.assign_add(step))})}


def constant(value: float) -> Callable[[], Mapping[str, Signature]]:
    """Return the builder of a model that answers every request with `value`: a version that can be told from others."""

    def build() -> Mapping[str, Signature]:
        import tensorflow as tf

        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        level = tf.compat.v1.get_variable("level", initializer=value)
        return {"serving_default": Signature({"x": x}, {"y": tf.zeros_like(x) + level})}

    return build


def write_warmup(version: Path, *serialized: bytes) -> None:
    """Put serialized PredictionLogs beside a SavedModel as its warm-up records."""
    import tensorflow as tf

    extra = version / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for record in serialized:
            writer.write(record)


def write_all(folder: Path, base: str) -> None:
    """Write every model, and the config file of the conformance run."""
    for build in (
        half_plus_two,
        half_plus_three,
        matmul,
        text,
        dtypes,
        defaults,
        slow,
        rows,
        scalar,
        dense,
        image,
        counter,
    ):
        save(folder / build.__name__ / ("123" if build is half_plus_two else "1"), build)
    save(folder / "other_tag" / "1", constant(7.0), tags=("tuned", "special"))
    for version in (1, 2, 3):
        save(folder / "constant" / str(version), constant(float(version)))
    entries = "\n".join(
        f'  config {{ name: "{name}" base_path: "{base}/{name}" model_platform: "tensorflow" }}'
        for name in CONFORMANCE_MODELS
    )
    (folder / "models.config").write_text(f"model_config_list {{\n{entries}\n}}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", help="where the server sees the folder; the folder itself if not given")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    write_all(arguments.folder, arguments.base or str(arguments.folder.resolve()))
