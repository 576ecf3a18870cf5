"""A graph that computes in bfloat16, on a processor without instructions for it: computed in float32 instead.

There TensorFlow takes up to nearly twice as long for the default model as in float32, and its answers are farther from
float32's than those of a processor that has the instructions (docs/LOG.md). Only graphs are changed whose bfloat16
comes in and goes out through casts, so that signatures, variables and the bits of constants stay as they are.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.framework.types_pb2 import DT_BFLOAT16, DT_FLOAT
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

_CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""What Linux calls them, on x86-64 and on ARM."""
_SAME_IN_FLOAT32 = frozenset(
    {
        "AddN",
        "AddV2",
        "AvgPool",
        "BiasAdd",
        "Cast",
        "ConcatV2",
        "Conv2D",
        "DepthwiseConv2dNative",
        "ExpandDims",
        "Identity",
        "MatMul",
        "MaxPool",
        "Mean",
        "Mul",
        "Pad",
        "PadV2",
        "Relu",
        "Relu6",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Squeeze",
        "StridedSlice",
        "Sub",
        "Tile",
        "Transpose",
    }
)
"""Operations that compute the same in either format, but for rounding, and neither make nor keep bits of their own."""


def has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Tell whether this machine computes in bfloat16 by itself: its processor, as far as Linux tells, or a GPU."""
    if tf.config.list_physical_devices("GPU"):
        return True
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return not _INSTRUCTIONS.isdisjoint(next(flags, []))


def widen(meta_graph: MetaGraphDef) -> bool:
    """Let `meta_graph` compute in float32 what it computes in bfloat16; return whether anything was changed.

    A graph with bfloat16 in a signature, a function's arguments, a constant or an operation not known to be the same in
    float32 is left as it is.
    """
    graph = meta_graph.graph_def
    nodes = [node for node in all_nodes(meta_graph) if _is_short(node)]
    signatures = meta_graph.signature_def.values()
    told = itertools.chain(*(itertools.chain(one.inputs.values(), one.outputs.values()) for one in signatures))
    of_functions = itertools.chain(
        *(itertools.chain(one.signature.input_arg, one.signature.output_arg) for one in graph.library.function)
    )
    outside = any(info.dtype == DT_BFLOAT16 for info in told) or any(arg.type == DT_BFLOAT16 for arg in of_functions)
    if not nodes or outside or any(node.op not in _SAME_IN_FLOAT32 for node in nodes):
        return False
    for node in nodes:
        for value in node.attr.values():
            if value.type == DT_BFLOAT16:
                value.type = DT_FLOAT
    return True


def all_nodes(meta_graph: MetaGraphDef) -> Iterator[NodeDef]:
    """Return the nodes of the graph, then those of its functions."""
    graph = meta_graph.graph_def
    return itertools.chain(graph.node, *(function.node_def for function in graph.library.function))


def _is_short(node: NodeDef) -> bool:
    return any(DT_BFLOAT16 in (value.type, value.tensor.dtype, *value.list.type) for value in node.attr.values())
