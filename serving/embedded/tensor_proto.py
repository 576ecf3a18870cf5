"""TensorProto to numpy and back, without the copies and per-element work of TensorFlow's Python converters.

Reading follows Tensor::FromProto and writing Tensor::AsProtoField / AsProtoTensorContent
(tensorflow/core/framework/tensor.cc): a short typed list repeats its last value, an empty one means zeros.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DataType

Tensor = npt.NDArray[np.generic]


@dataclass(frozen=True)
class _Layout:
    """How one dtype stands in a TensorProto: its typed field, and what the field's numbers are in memory."""

    enum: int
    field: str
    dtype: np.dtype[np.generic]
    wire: np.dtype[np.generic]
    fixed: bool

    @property
    def tag(self) -> bytes:
        """Return the key of the packed field on the wire."""
        return _varint(TensorProto.DESCRIPTOR.fields_by_name[self.field].number << 3 | 2)


def _layouts() -> dict[int, _Layout]:
    """Return the numeric dtypes; wire is what one element of the field is widened or reinterpreted to."""
    rows: list[tuple[str, str, str, bool]] = [
        ("DT_FLOAT", "float_val", "f4", True),
        ("DT_DOUBLE", "double_val", "f8", True),
        ("DT_COMPLEX64", "scomplex_val", "f4", True),
        ("DT_COMPLEX128", "dcomplex_val", "f8", True),
        ("DT_HALF", "half_val", "u2", False),
        ("DT_BFLOAT16", "half_val", "u2", False),
        ("DT_INT64", "int64_val", "i8", False),
        ("DT_UINT32", "uint32_val", "u4", False),
        ("DT_UINT64", "uint64_val", "u8", False),
        ("DT_BOOL", "bool_val", "?", False),
    ]
    rows += [(f"DT_{name}", "int_val", name.lower(), False) for name in ("INT32", "INT16", "INT8", "UINT16", "UINT8")]
    table = {}
    for name, field, wire, fixed in rows:
        enum = int(DataType.Value(name))
        table[enum] = _Layout(enum, field, np.dtype(tf.dtypes.as_dtype(enum).as_numpy_dtype), np.dtype(wire), fixed)
    return table


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_DT_STRING = int(DataType.Value("DT_STRING"))
_BY_ENUM = _layouts()
_BY_DTYPE = {layout.dtype: (layout, layout.tag) for layout in _BY_ENUM.values()}
_MAX_ELEMENTS = 1 << 62
_ALL_BITS = (1 << 64) - 1
_FEW = 32
_STRING_BYTES = 24
"""What TensorFlow takes for a string of a tensor, be it empty."""
_BLOCK = 1 << 16


def decode_tensor(proto: TensorProto, max_bytes: int) -> Tensor | None:
    """Return the tensor, read-only and sharing memory where possible; DT_STRING as an object array of bytes.

    None if it does not parse, or if a typed list shorter than the shape would blow up to more than `max_bytes`.
    """
    shape = _shape(proto)
    if shape is None:
        return None
    count = 1
    for size in shape:
        count *= size
    if count > _MAX_ELEMENTS:
        return None
    if proto.dtype == _DT_STRING:
        return _decode_strings(proto, shape, count, max_bytes)
    layout = _BY_ENUM.get(proto.dtype)
    if layout is None:
        return None
    content = proto.tensor_content
    if content:
        if len(content) != count * layout.dtype.itemsize:
            return None
        return np.frombuffer(content, layout.dtype).reshape(shape)
    values = _typed_values(proto, layout)
    if len(values) == count:
        return values.reshape(shape)
    if len(values) > count:
        return values[:count].reshape(shape)
    if count * layout.dtype.itemsize > max_bytes:
        return None
    filled = np.zeros(count, layout.dtype)
    if len(values):
        filled[: len(values)] = values
        filled[len(values) :] = values[-1]
    return filled.reshape(shape)


def _shape(proto: TensorProto) -> tuple[int, ...] | None:
    shape = proto.tensor_shape
    if shape.unknown_rank:
        return None
    sizes = tuple([dim.size for dim in shape.dim])
    return None if len(sizes) > 64 or any(size < 0 for size in sizes) else sizes


def _typed_values(proto: TensorProto, layout: _Layout) -> Tensor:
    values = getattr(proto, layout.field)
    if layout.field == "int_val":
        return np.array(values, np.int32).astype(layout.dtype, copy=False)
    if layout.field == "half_val":
        return np.array(values, np.int32).astype(np.uint16).view(layout.dtype)
    numbers = np.array(values, layout.wire)
    if layout.wire == layout.dtype:
        return numbers
    return numbers[: len(numbers) // 2 * 2].view(layout.dtype)


def _decode_strings(proto: TensorProto, shape: tuple[int, ...], count: int, max_bytes: int) -> Tensor | None:
    content = proto.tensor_content
    strings = _split_content(content, count) if content else list(proto.string_val[:count])
    if strings is None or (len(strings) < count and count * _STRING_BYTES > max_bytes):
        return None
    filled = np.empty(count, object)
    filled[: len(strings)] = strings
    filled[len(strings) :] = strings[-1] if strings else b""
    return filled.reshape(shape)


def _split_content(content: bytes, count: int) -> list[bytes] | None:
    """Return `count` strings written as all their lengths in varints, then their bytes; None if they are not."""
    if count > len(content):
        return None
    lengths: list[int] = []
    at = 0
    for _ in range(count):
        length = shift = 0
        while True:
            if at >= len(content) or shift > 28:
                return None
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        return None
    strings = []
    for length in lengths:
        strings.append(content[at : at + length])
        at += length
    return strings


def encode_tensor(tensor: Tensor, as_content: bool) -> list[bytes]:
    """Return the chunks of the serialized TensorProto of `tensor`, its shape always told.

    By typed fields, or by `tensor_content` with `as_content` (strings always stand in string_val). Raises TypeError
    for a dtype TensorProto has no place for here.
    """
    if tensor.dtype == object:
        return [_head(_DT_STRING, tensor.shape), *_string_chunks(tensor)]
    found = _BY_DTYPE.get(tensor.dtype)
    if found is None:
        return [tf.make_tensor_proto(tensor).SerializeToString()]
    layout, tag = found
    head = _head(layout.enum, tensor.shape)
    if not tensor.size:
        return [head]
    if as_content:
        return [head, b"\x22" + _varint(tensor.nbytes), tensor.tobytes()]
    packed = tensor.tobytes() if layout.fixed else _pack_varints(tensor, layout)
    return [head, tag + _varint(len(packed)), packed]


def _head(enum: int, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(b"\x12" + _field(b"\x08" + _varint(size) if size else b"") for size in shape)
    return b"\x08" + _varint(enum) + b"\x12" + _field(dims)


def _field(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _string_chunks(tensor: Tensor) -> list[bytes]:
    chunks: list[bytes] = []
    for value in tensor.ravel().tolist():
        chunks += (b"\x42" + _varint(len(value)), value)
    return chunks


def _pack_varints(tensor: Tensor, layout: _Layout) -> bytes:
    """Return all elements as protobuf varints: negative numbers sign-extended to 64 bits, in ten bytes."""
    flat = tensor.ravel()
    if flat.dtype != layout.wire:
        flat = np.ascontiguousarray(flat).view(layout.wire)
    if len(flat) <= _FEW:
        return b"".join([_varint(number & _ALL_BITS) for number in flat.tolist()])
    return b"".join([_varint_block(flat[start : start + _BLOCK]) for start in range(0, len(flat), _BLOCK)])


def _varint_block(flat: Tensor) -> bytes:
    """Return the varints of many integers at once: a matrix of seven-bit groups, masked to those in use."""
    numbers = flat.astype(np.int64).view(np.uint64) if flat.dtype.kind in "ib" else flat.astype(np.uint64)
    highest = int(numbers.max())
    if highest < 0x80:
        return numbers.astype(np.uint8).tobytes()
    width = (highest.bit_length() + 6) // 7
    shifted = numbers[:, None] >> (np.arange(width, dtype=np.uint64) * np.uint64(7))
    groups = shifted.astype(np.uint8) & np.uint8(0x7F)
    used = shifted != 0
    used[:, 0] = True
    groups[:, :-1] |= used[:, 1:].view(np.uint8) << np.uint8(7)
    packed: bytes = groups[used].tobytes()
    return packed


def encode_predict_response(outputs: dict[str, Tensor], model_spec: bytes, as_content: bool) -> bytes:
    """Return a serialized PredictResponse of `outputs` by alias and an already serialized ModelSpec."""
    chunks: list[bytes] = []
    for alias, tensor in outputs.items():
        body = encode_tensor(tensor, as_content)
        key = alias.encode()
        key = b"\x0a" + _field(key)
        size = _varint(sum(map(len, body)))
        entry = len(key) + 1 + len(size) + sum(map(len, body))
        chunks += (b"\x0a" + _varint(entry), key, b"\x12" + size, *body)
    chunks += (b"\x12" + _varint(len(model_spec)), model_spec)
    return b"".join(chunks)
