"""A version in bfloat16 is computed in float32 where the processor has no bfloat16, and answers the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DT_BFLOAT16
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from export.golden import GOLDEN, read_golden
from export.versions import newest
from serving.embedded.number_format import has_bfloat16, widen
from serving.embedded.servable import load_saved_model
from tests.serving.saved_models import Signature, save

SHIPPED = newest(Path(__file__).parents[2] / "models/fracture")


def meta_graph(folder: Path) -> MetaGraphDef:
    saved = SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def built(folder: Path, build: Callable[[], Mapping[str, Signature]]) -> MetaGraphDef:
    save(folder, build)
    return meta_graph(folder)


def sums_in_bfloat16() -> Mapping[str, Signature]:
    x = tf.compat.v1.placeholder(tf.float32, [None], "x")
    halves = tf.cast(x, tf.bfloat16) * tf.cast(tf.constant(1.0), tf.bfloat16)
    return {"serving_default": Signature({"x": x}, {"y": tf.cast(halves, tf.float32)})}


def answers(graph: MetaGraphDef, x: list[float]) -> list[float]:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(graph)
        signature = graph.signature_def["serving_default"]
        answer: list[float] = session.run(signature.outputs["y"].name, {signature.inputs["x"].name: x}).tolist()
        return answer


def test_a_widened_graph_rounds_as_float32_does(tmp_path: Path) -> None:
    graph = built(tmp_path / "1", sums_in_bfloat16)
    assert answers(graph, [1.001]) == [1.0], "bfloat16 has eight bits"
    assert widen(graph)
    assert answers(graph, [1.001]) == [pytest.approx(1.001, abs=1e-7)]
    assert not widen(graph), "nothing is left to widen"


def bfloat16_at_the_door() -> Mapping[str, Signature]:
    x = tf.compat.v1.placeholder(tf.bfloat16, [None], "x")
    return {"serving_default": Signature({"x": x}, {"y": tf.cast(x, tf.float32)})}


def bits_of_bfloat16() -> Mapping[str, Signature]:
    x = tf.compat.v1.placeholder(tf.float32, [None], "x")
    bits = tf.bitcast(tf.cast(x, tf.bfloat16), tf.uint16)
    return {"serving_default": Signature({"x": x}, {"y": tf.cast(bits, tf.float32)})}


def a_constant_in_bfloat16() -> Mapping[str, Signature]:
    x = tf.compat.v1.placeholder(tf.float32, [None], "x")
    y = tf.cast(x, tf.bfloat16) * tf.constant(2.0, tf.bfloat16)
    return {"serving_default": Signature({"x": x}, {"y": tf.cast(y, tf.float32)})}


def an_argument_in_bfloat16() -> Mapping[str, Signature]:
    x = tf.compat.v1.placeholder(tf.float32, [None], "x")
    twice = tf.function(lambda short: short + short)
    return {"serving_default": Signature({"x": x}, {"y": tf.cast(twice(tf.cast(x, tf.bfloat16)), tf.float32)})}


@pytest.mark.parametrize(
    "build", [bfloat16_at_the_door, bits_of_bfloat16, a_constant_in_bfloat16, an_argument_in_bfloat16]
)
def test_a_graph_that_might_mean_something_else_is_left_alone(
    tmp_path: Path, build: Callable[[], Mapping[str, Signature]]
) -> None:
    graph = built(tmp_path / "1", build)
    before = graph.SerializeToString(deterministic=True)
    assert not widen(graph)
    assert graph.SerializeToString(deterministic=True) == before


def test_what_ships_is_widened_whole_and_its_golden_cases_hold() -> None:
    saved = SavedModel()
    saved.ParseFromString((SHIPPED / "saved_model.pb").read_bytes())
    card = json.loads((SHIPPED / "assets.extra/model_card.json").read_bytes())
    if not card["precision"].startswith("bfloat16"):
        pytest.skip("The version that ships does not compute in bfloat16.")
    assert widen(saved.meta_graphs[0])
    assert DT_BFLOAT16 not in {
        value.type for node in saved.meta_graphs[0].graph_def.node for value in node.attr.values()
    }
    signatures, run = load_saved_model(str(SHIPPED), ["serve"], tf.compat.v1.ConfigProto(), widened=True)
    signature = signatures["serving_default"]
    golden = read_golden((SHIPPED / GOLDEN).read_bytes())
    asked = [signature.outputs[name].name for name in ("probability", "novelty")]
    probability, novelty = run({signature.inputs["image"].name: golden.images}, asked, None)
    run.close()
    assert probability.tolist() == pytest.approx(golden.probability.tolist(), abs=golden.tolerance)
    assert novelty.tolist() == pytest.approx(golden.novelty.tolist(), rel=golden.tolerance)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n", True),
        ("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\n", True),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", True),
        ("processor : 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("vendor_id : IBM/S390\nfeatures\t: esan3 zarch vx\n", False),
        ("", False),
    ],
)
@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="A GPU computes in bfloat16 by itself.")
def test_a_processor_is_asked_for_its_instructions(tmp_path: Path, text: str, known: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text, encoding="utf-8")
    assert has_bfloat16(file) is known
    assert has_bfloat16(tmp_path / "missing") is False
