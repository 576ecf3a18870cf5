"""``radiograph.read`` and ``radiograph.prepare`` once more, inside the graph: JPEG or PNG bytes to the model's input.

For callers without Python. What it does is what those two do to JPEG and PNG files, orientation mark included; a test
holds both ways to the same probability.
"""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from radiograph.prepare import HIGH_PERCENTILE, LOW_PERCENTILE, MIN_RANGE

Tensor = Any

_EXIF_MARK: Final = [int(byte) for byte in b"Exif\0\0"]
_EXIF_REACH: Final = 65536
_ORIENTATION_TAG: Final = 0x0112
_PNG_DEPTH_AT: Final = 24
_WIDE_LOW, _WIDE_HIGH = 0.1, 99.9


def decode_and_prepare(files: Tensor, size: int) -> Tensor:
    """Return the model input uint8 [N,size,size,1] of whole JPEG or PNG ``files``, string [N]."""
    signature = tf.TensorSpec([size, size, 1], tf.uint8)
    return tf.map_fn(lambda file: prepare_grey(decode_grey(file), size), files, fn_output_signature=signature)


def decode_grey(file: Tensor) -> Tensor:
    """Return one file's picture, float32 [H,W,1] of whole grey levels 0..255, upright."""
    is_jpeg = tf.equal(tf.strings.substr(file, 0, 2), b"\xff\xd8")
    return tf.cond(is_jpeg, lambda: _jpeg(file), lambda: _png(file))


def prepare_grey(grey: Tensor, size: int) -> Tensor:
    """Return uint8 [size,size,1]: scaled with an antialiased triangle filter, stretched, centred on black."""
    shape = tf.cast(tf.shape(grey)[:2], tf.float64)
    scale = tf.cast(size, tf.float64) / tf.reduce_max(shape)
    inner = tf.clip_by_value(tf.cast(tf.round(shape * scale), tf.int32), 1, size)
    # as Pillow does: along the rows first, and whole grey levels between the two passes
    across = _scaled(grey, tf.stack([tf.shape(grey)[0], inner[1]]))
    content = _stretch(_scaled(across, inner))
    before = (size - inner) // 2
    after = size - inner - before
    padded = tf.pad(content, tf.stack([[before[0], after[0]], [before[1], after[1]], [0, 0]]))
    return tf.ensure_shape(tf.cast(padded, tf.uint8), [size, size, 1])


def _scaled(grey: Tensor, size: Tensor) -> Tensor:
    # halves go up there, not to the even level
    return tf.clip_by_value(tf.floor(tf.image.resize(grey, size, "bilinear", antialias=True) + 0.5), 0.0, 255.0)


def _stretch(content: Tensor) -> Tensor:
    low, high = _levels(content, 256, LOW_PERCENTILE, HIGH_PERCENTILE)
    stretched = tf.clip_by_value(tf.round((content - low) * (255.0 / tf.maximum(high - low, 1.0))), 0.0, 255.0)
    return tf.where(high - low < MIN_RANGE, content, stretched)


def _levels(grey: Tensor, count: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return the first grey levels at which the cumulated histogram reaches two percentiles, float32."""
    flat = tf.cast(tf.reshape(grey, [-1]), tf.int32)
    histogram = tf.math.bincount(flat, minlength=count, maxlength=count, dtype=tf.int32)
    cumulated = tf.cast(tf.cumsum(histogram), tf.float64)
    wanted = cumulated[-1] * tf.constant([low / 100.0, high / 100.0], tf.float64)
    found = tf.cast(tf.searchsorted(cumulated, wanted), tf.float32)
    return found[0], found[1]


def _jpeg(file: Tensor) -> Tensor:
    grey = tf.io.decode_jpeg(file, channels=1, dct_method="INTEGER_ACCURATE")
    return _upright(tf.cast(grey, tf.float32), _orientation(file))


def _png(file: Tensor) -> Tensor:
    """Grey of any PNG, 16 bit windowed to its 0.1st to 99.9th percentile as ``radiograph.prepare`` does.

    Colour becomes luma (ITU-R BT.601), transparency shows black.
    """
    rgba = tf.cast(tf.io.decode_png(file, channels=4, dtype=tf.uint16), tf.float32)
    luma = tf.reduce_sum(rgba[..., :3] * [0.299, 0.587, 0.114], -1, keepdims=True)
    grey = luma * rgba[..., 3:] / 65535.0
    depth = tf.io.decode_raw(tf.strings.substr(file, _PNG_DEPTH_AT, 1), tf.uint8)[0]

    def wide() -> Tensor:
        low, high = _levels(grey, 65536, _WIDE_LOW, _WIDE_HIGH)
        return (tf.round(grey) - low) * (255.0 / tf.maximum(high - low, 1.0))

    eight = tf.cond(tf.equal(depth, 16), wide, lambda: grey / 257.0)
    return tf.clip_by_value(tf.round(eight), 0.0, 255.0)


def _upright(grey: Tensor, orientation: Tensor) -> Tensor:
    """Apply EXIF orientation 1 to 8 (CIPA DC-008, tag 0x0112)."""

    def turned(mirror: bool, flip: bool, swap: bool) -> Tensor:
        picture = tf.transpose(grey, [1, 0, 2]) if swap else grey
        picture = picture[:, ::-1] if mirror else picture
        return picture[::-1] if flip else picture

    ways = [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (False, True, False),
        (False, False, True),
        (True, False, True),
        (True, True, True),
        (False, True, True),
    ]
    branches = {index: (lambda way=way: turned(*way)) for index, way in enumerate(ways)}
    return tf.switch_case(tf.clip_by_value(orientation, 1, 8) - 1, branches)


def _orientation(file: Tensor) -> Tensor:
    """Return the EXIF orientation of a JPEG file, int32, 1 where there is none."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 0, _EXIF_REACH), tf.uint8), tf.int32)
    length = tf.size(head)
    reach = tf.maximum(length - len(_EXIF_MARK), 0)
    hits = tf.fill([reach], True)
    for offset, value in enumerate(_EXIF_MARK):
        hits &= tf.equal(head[offset : offset + reach], value)

    def parse() -> Tensor:
        start = tf.cast(tf.argmax(tf.cast(hits, tf.int32)), tf.int32) + len(_EXIF_MARK)
        return _tiff_orientation(head, start, length)

    return tf.cond(tf.reduce_any(hits), parse, lambda: tf.constant(1))


def _tiff_orientation(head: Tensor, start: Tensor, length: Tensor) -> Tensor:
    little = tf.equal(tf.gather(head, tf.minimum(start, length - 1)), 0x49)

    def number(at: Tensor, width: int) -> Tensor:
        steps = tf.range(width)
        places = tf.clip_by_value(tf.expand_dims(at, -1) + steps, 0, length - 1)
        powers = tf.where(little, steps, width - 1 - steps)
        return tf.reduce_sum(tf.bitwise.left_shift(tf.gather(head, places), 8 * powers), -1)

    directory = start + tf.clip_by_value(number(start + 4, 4), 0, length)
    count = tf.clip_by_value(number(directory, 2), 0, 512)
    entries = directory + 2 + 12 * tf.range(count)
    values = number(entries + 8, 2)
    found = tf.boolean_mask(values, tf.equal(number(entries, 2), _ORIENTATION_TAG))
    return tf.cond(tf.size(found) > 0, lambda: found[0], lambda: tf.constant(1))
