"""JSON text to Python values, with the conduct of the parser inside TensorFlow Serving.

That parser is RapidJSON 1.1.0, iterative, with NaN and Inf allowed and stopping after the first value: trailing bytes
are ignored, bytes that are not UTF-8 pass through, and an error names its byte offset. `parse` tries orjson first and
keeps its answer only where both agree; everything else goes through `parse_exact`, which is slower and follows
RapidJSON's states (rapidjson/reader.h) to the letter.
"""

import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias, TypeGuard

import orjson

from serving.embedded.status import invalid_argument

MAX_DEPTH = 1 << 18
"""Open lists and objects at once. RapidJSON has no bound; a server that must not run out of memory needs one."""


@dataclass(frozen=True)
class RepeatedKeys:
    """An object in which a name occurs twice: its members in order of the text. All other objects are plain dicts."""

    pairs: tuple[tuple[str, "Json"], ...]


JsonObject: TypeAlias = "dict[str, Json] | RepeatedKeys"
Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"
"""Integers lie in -2**63 .. 2**64-1 (others are floats). Strings hold bytes that are not UTF-8 as surrogate escapes."""

_BLANK = re.compile(rb"[ \t\n\r]*")
_PLAIN_STRING = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_NUMBER_RUN = re.compile(rb"(?:-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?[ \t\n\r]*,[ \t\n\r]*)++")
"""Numbers of a list that no rule can refuse, up to the last comma: orjson reads them much faster than this module."""
_NOT_FINITE = re.compile(rb"NaN|Inf(?:inity)?")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = {0x22: b'"', 0x2F: b"/", 0x5C: b"\\", 0x62: b"\b", 0x66: b"\f", 0x6E: b"\n", 0x72: b"\r", 0x74: b"\t"}
_LITERALS: dict[int, tuple[bytes, bool | None]] = {
    0x6E: (b"null", None),
    0x74: (b"true", True),
    0x66: (b"false", False),
}
_QUOTE, _COMMA, _COLON, _OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = b'",:[]{}'

_EMPTY = "The document is empty."
_BAD_VALUE = "Invalid value."
_NO_NAME = "Missing a name for object member."
_NO_COLON = "Missing a colon after a name of object member."
_NO_END_OF_OBJECT = "Missing a comma or '}' after an object member."
_NO_END_OF_LIST = "Missing a comma or ']' after an array element."
_BAD_HEX = "Incorrect hex digit after \\u escape in string."
_BAD_SURROGATE = "The surrogate pair in string is invalid."
_BAD_ESCAPE = "Invalid escape character in string."
_NO_QUOTE = "Missing a closing quotation mark in string."
_TOO_BIG = "Number too big to be stored in double."
_NO_FRACTION = "Miss fraction part in number."
_NO_EXPONENT = "Miss exponent in number."


def is_object(value: Json) -> TypeGuard[JsonObject]:
    """Return whether the value is a JSON object, in either of its two forms."""
    return isinstance(value, dict | RepeatedKeys)


def members(value: JsonObject) -> tuple[tuple[str, Json], ...]:
    """Return the members in order of the text, repeated names included."""
    return value.pairs if isinstance(value, RepeatedKeys) else tuple(value.items())


def find_members(value: JsonObject) -> dict[str, Json]:
    """Return the members by name; of a repeated name the first, as RapidJSON's FindMember does."""
    return dict(reversed(value.pairs)) if isinstance(value, RepeatedKeys) else value


def parse(body: bytes) -> Json:
    """Return the first JSON value of the text.

    Raises ServingError INVALID_ARGUMENT, `JSON Parse error: «what» at offset: «byte»`, in RapidJSON's words.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return parse_exact(body)
    # orjson keeps the last of repeated names. As many colons in the text as in the value: no name was lost. (A colon
    # written as an escape could hide one.)
    if body.count(b":") == _count_colons(value) and b"\\u003" not in body:
        return value
    return parse_exact(body)


def _count_colons(root: Json) -> int:
    """Return the number of colons in the value's text, or fewer where a list begins with a number and holds others."""
    count = 0
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            count += value.count(":")
        elif isinstance(value, dict):
            count += len(value) + sum(name.count(":") for name in value)
            pending.extend(item for item in value.values() if isinstance(item, str | dict | list))
        elif isinstance(value, list):
            first: Json = value
            while isinstance(first, list) and first:
                first = first[0]
            if isinstance(first, str | dict):
                pending.extend(value)
    return count


def parse_exact(body: bytes, max_depth: int = MAX_DEPTH) -> Json:
    """Return the first JSON value of the text, by RapidJSON's own rules and without recursion; errors as `parse`."""
    text = body + b"\0"  # RapidJSON reads the end of the text as a NUL, and a NUL as the end of the text
    position = _skip_byte_order_mark(text)
    position = _skip_blank(text, position)
    if text[position] in b"\0],:}":
        _fail(_EMPTY, position)
    lists: list[list[Json]] = []  # the values of each open list or object, outermost first
    names: list[list[str] | None] = []  # the names that belong to them, None for a list
    while True:
        value: Json
        if names and names[-1] is None and (run := _NUMBER_RUN.match(text, position)):
            lists[-1].extend(orjson.loads(b"[%b]" % run[0].rstrip(b", \t\n\r")))
            position = run.end()
        opening = text[position]
        if opening in (_OPEN_LIST, _OPEN_OBJECT):
            if len(lists) >= max_depth:
                _fail(f"Nesting deeper than {max_depth} levels.", position)
            is_list = opening == _OPEN_LIST
            position = _skip_blank(text, position + 1)
            if text[position] != (_CLOSE_LIST if is_list else _CLOSE_OBJECT):
                lists.append([])
                names.append(None if is_list else [])
                if not is_list:
                    position = _read_name(text, position, names[-1])
                continue
            value = [] if is_list else {}
            position += 1
        else:
            value, position = _read_scalar(text, position)
        position, finished = _attach(text, position, value, lists, names)
        if not lists:
            return finished


def _attach(
    text: bytes, position: int, value: Json, lists: list[list[Json]], names: list[list[str] | None]
) -> tuple[int, Json]:
    """Add a finished value to what is open, close what ends there; return where the next value begins, and the last."""
    while lists:
        lists[-1].append(value)
        own_names = names[-1]
        position = _skip_blank(text, position)
        byte = text[position]
        if byte == _COMMA:
            position = _skip_blank(text, position + 1)
            if own_names is not None:
                position = _read_name(text, position, own_names)
            break
        if byte != (_CLOSE_LIST if own_names is None else _CLOSE_OBJECT):
            _fail(_NO_END_OF_LIST if own_names is None else _NO_END_OF_OBJECT, position)
        position += 1
        names.pop()
        items = lists.pop()
        value = items if own_names is None else _make_object(own_names, items)
    return position, value


def _make_object(names: list[str], values: list[Json]) -> JsonObject:
    plain = dict(zip(names, values, strict=True))
    return plain if len(plain) == len(names) else RepeatedKeys(tuple(zip(names, values, strict=True)))


def _read_name(text: bytes, position: int, names: list[str] | None) -> int:
    """Read `"name" :` into `names`; return where its value begins."""
    if text[position] != _QUOTE:
        _fail(_NO_NAME, position)
    name, position = _read_string(text, position)
    if names is not None:
        names.append(name)
    position = _skip_blank(text, position)
    if text[position] != _COLON:
        _fail(_NO_COLON, position)
    return _skip_blank(text, position + 1)


def _read_scalar(text: bytes, position: int) -> tuple[Json, int]:
    byte = text[position]
    if byte == _QUOTE:
        return _read_string(text, position)
    if byte in _LITERALS:
        word, value = _LITERALS[byte]
        if not text.startswith(word, position):
            _fail(_BAD_VALUE, _first_difference(text, position, word))
        return value, position + len(word)
    return _read_number(text, position)


def _read_string(text: bytes, position: int) -> tuple[str, int]:
    """Read the string whose opening quote is at `position`; return it and the position behind its closing quote."""
    match = _PLAIN_STRING.match(text, position + 1)
    end = match.end() if match else position + 1
    pieces = [text[position + 1 : end]]
    while text[end] != _QUOTE:
        if text[end] == 0:
            _fail(_NO_QUOTE, end)
        if text[end] < 0x20:
            _fail(_BAD_ESCAPE, end)
        piece, end = _read_escape(text, end)
        pieces.append(piece)
        start = end
        match = _PLAIN_STRING.match(text, start)
        end = match.end() if match else start
        pieces.append(text[start:end])
    return b"".join(pieces).decode("utf-8", "surrogateescape"), end + 1


def _read_escape(text: bytes, position: int) -> tuple[bytes, int]:
    """Read the escape at `position` as UTF-8; a lone low surrogate is written as three bytes, as RapidJSON does."""
    escaped = text[position + 1]
    if escaped in _ESCAPES:
        return _ESCAPES[escaped], position + 2
    if escaped != 0x75:
        _fail(_BAD_ESCAPE, position)
    code, end = _read_hex4(text, position + 2, position)
    if 0xD800 <= code <= 0xDBFF:
        if not text.startswith(b"\\u", end):
            _fail(_BAD_SURROGATE, position)
        low, end = _read_hex4(text, end + 2, position)
        if not 0xDC00 <= low <= 0xDFFF:
            _fail(_BAD_SURROGATE, position)
        code = ((code - 0xD800) << 10 | (low - 0xDC00)) + 0x10000
    return chr(code).encode("utf-8", "surrogatepass"), end


def _read_hex4(text: bytes, position: int, escape: int) -> tuple[int, int]:
    match = _HEX4.match(text, position)
    if not match:
        _fail(_BAD_HEX, escape)
    return int(match[0], 16), match.end()


def _read_number(text: bytes, position: int) -> tuple[int | float, int]:
    match = _NUMBER.match(text, position)
    if not match:
        return _read_not_finite(text, position)
    integer, fraction, exponent = match.groups()
    end = match.end()
    if len(integer) > 308 and float(integer[:-1]) >= 1.7976931348623157e307:
        _fail(_TOO_BIG, position)
    if exponent is not None:
        limit = 308 + _counted_fraction_digits(integer, fraction or b"")
        digits = exponent.lstrip(b"+0")
        if not exponent.startswith(b"-") and (len(digits) > 9 or int(digits or b"0") > limit):
            _fail(_TOO_BIG, position)
        return float(match[0]), end
    if fraction is None and text[end] == 0x2E:
        _fail(_NO_FRACTION, end + 1)
    if text[end] in b"eE":
        _fail(_NO_EXPONENT, end + (2 if text[end + 1] in b"+-" else 1))
    if fraction is None and len(integer) <= 20:
        value = int(match[0])
        if -(1 << 63) <= value < 1 << 64:
            return value, end
    return float(match[0]), end


def _read_not_finite(text: bytes, position: int) -> tuple[float, int]:
    start = position + (text[position] == 0x2D)
    match = _NOT_FINITE.match(text, start)
    if match and not (match[0] == b"Inf" and text[match.end()] == 0x69):
        value = float(match[0])
        return -value if start > position else value, match.end()
    word = b"NaN" if text[start] == 0x4E else b"Infinity"
    return _fail(_BAD_VALUE, _first_difference(text, start, word))


def _counted_fraction_digits(integer: bytes, fraction: bytes) -> int:
    """Return how many fraction digits RapidJSON takes into its significand: they move its largest exponent."""
    whole = int(integer) if len(integer) <= 20 else 1 << 64
    significand, significant, counted = whole, len(integer) - 1, 0
    for digit in fraction:
        if significand <= (1 << 53) - 1 and whole < 1 << 64:
            significand = significand * 10 + digit - 0x30
        elif significant >= 17:
            break
        counted += 1
        significant += significand != 0
    return counted


def _first_difference(text: bytes, position: int, word: bytes) -> int:
    return next((position + i for i, byte in enumerate(word) if text[position + i] != byte), position)


def _skip_byte_order_mark(text: bytes) -> int:
    position = 0
    for byte in b"\xef\xbb\xbf":
        position += text[position] == byte
    return position


def _skip_blank(text: bytes, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _fail(what: str, offset: int) -> NoReturn:
    raise invalid_argument(f"JSON Parse error: {what} at offset: {offset}")
