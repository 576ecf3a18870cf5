"""JSON values to text, laid out as RapidJSON's PrettyWriter does (four spaces, an element a line).

The parts that more than one writer needs (strings, names, error bodies), and `to_text`, which quotes a request's value
in an error message.
"""

import math
import re
from collections.abc import Iterator

from serving.embedded.json_decimal import decimal_text
from serving.embedded.json_parse import Json, JsonObject, is_object, members

_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_SHORT_ESCAPES = {
    b'"': b'\\"',
    b"\\": b"\\\\",
    b"\b": b"\\b",
    b"\f": b"\\f",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\t": b"\\t",
}
_FLOAT_LIMIT = 3.4028234e38
MAX_QUOTED_BYTES = 1 << 20


def to_bytes(text: str) -> bytes:
    """Return the UTF-8 bytes of the text; surrogate escapes become the bytes they stand for again."""
    return text.encode("utf-8", "surrogateescape")


def quote(text: bytes) -> bytes:
    """Return the JSON string; only quotes, backslashes and control characters are escaped, other bytes pass."""
    return b'"%b"' % _SPECIAL.sub(lambda match: _SHORT_ESCAPES.get(match[0]) or b"\\u%04X" % ord(match[0]), text)


def indent(level: int) -> bytes:
    """Return a line break and the blanks of the given nesting level."""
    return b"\n" + b"    " * level


def error_body(message: str) -> bytes:
    """Return the body of every REST error, `{"error": «message»}` over three lines."""
    return b'{\n    "error": %b\n}' % quote(to_bytes(message))


def type_name(value: Json) -> str:
    """Return RapidJSON's name of the value's type, as TensorFlow Serving prints it in errors."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, int | float):
        return "Number"
    return "String" if isinstance(value, str) else "Array" if isinstance(value, list) else "Object"


def to_text(value: Json) -> str:
    """Return the value as TensorFlow Serving's error messages quote it (json_tensor.cc, JsonValueToString).

    A number alone is printed like a tensor's (as float32 where it fits one); inside a list or object PrettyWriter
    prints the shortest digits, and stops for good at the first value that is not finite. Text beyond MAX_QUOTED_BYTES
    is cut, for the indentation of a deep value grows with the square of its depth.
    """
    if isinstance(value, float):
        return decimal_text(value, single=-_FLOAT_LIMIT <= value <= _FLOAT_LIMIT).decode()
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(value):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_QUOTED_BYTES:
            pieces.append(b"...TRUNCATED")
            break
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def _pieces(node: Json) -> Iterator[bytes]:
    """Yield the value's text bit by bit, without recursion: of a deep one nobody may want the whole."""
    open_values: list[tuple[Iterator[tuple[bytes, bytes, Json]], bytes]] = []
    while True:
        if isinstance(node, float) and not math.isfinite(node):
            return
        if isinstance(node, list) and node:
            yield b"["
            open_values.append((((b"," if index else b"", b"", item) for index, item in enumerate(node)), b"]"))
        elif is_object(node) and members(node):
            yield b"{"
            open_values.append((_named(node), b"}"))
        else:
            yield _leaf(node)
        while open_values:
            following = next(open_values[-1][0], None)
            if following is not None:
                break
            closing = open_values.pop()[1]
            yield indent(len(open_values)) + closing
        else:
            return
        comma, name, node = following
        yield comma + indent(len(open_values)) + name


def _named(value: JsonObject) -> Iterator[tuple[bytes, bytes, Json]]:
    for index, (name, item) in enumerate(members(value)):
        yield b"," if index else b"", quote(to_bytes(name)) + b": ", item


def _leaf(value: Json) -> bytes:
    if isinstance(value, str):
        return quote(to_bytes(value))
    if value is None or isinstance(value, bool):
        return {None: b"null", True: b"true", False: b"false"}[value]
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return shortest_decimal(value)
    return b"[]" if isinstance(value, list) else b"{}"


def shortest_decimal(value: float) -> bytes:
    """Return the fewest digits that give the finite value back, in RapidJSON's form (internal/dtoa.h, Prettify)."""
    if value == 0:
        return b"-0.0" if math.copysign(1, value) < 0 else b"0.0"
    sign = b"-" if value < 0 else b""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    if len(digits) <= point <= 21:
        text = digits.ljust(point, "0") + ".0"
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "") + f"e{point - 1}"
    return sign + text.encode()
