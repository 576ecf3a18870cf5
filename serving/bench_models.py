"""Tiny versions that keep the served contract, for trying a rollout: each answers in a way that tells which it was.

    python -m serving.bench_models DIR 1 2 3=0.2      writes DIR/1, DIR/2 and DIR/3, which adds 0.2 to its probabilities

A picture's probability is its mean grey level / 255, and the novelty is the version's number / 100.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

SIZE: Final = 32
"""Side of the pictures they take, px."""
THRESHOLDS: Final = (0.3, 0.7)
CELLS: Final = 8


def write_version(folder: Path, version: int, shift: float = 0.0, *, without: str = "") -> None:
    """Write a SavedModel with golden cases into ``folder``; ``without`` names an output it shall lack."""
    import tensorflow as tf

    from export import contract
    from export.golden import write_golden

    module = tf.Module()
    module.shift = tf.Variable(shift)

    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        level = tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2, 3])
        probability = tf.clip_by_value(level / 255.0 + module.shift, 0.0, 1.0)
        above = tf.cast(probability >= THRESHOLDS[0], tf.int32) + tf.cast(probability >= THRESHOLDS[1], tf.int32)
        count = tf.shape(level)[0]
        outputs = {
            contract.PROBABILITY: probability,
            contract.FINDING: tf.gather(tf.constant(contract.FINDINGS), above),
            contract.THRESHOLDS: tf.tile(tf.constant([THRESHOLDS]), [count, 1]),
            contract.HEATMAP: tf.ones([1, CELLS, CELLS]) * probability[:, None, None],
            contract.NOVELTY: tf.fill([count], version / 100.0),
        }
        return {name: value for name, value in outputs.items() if name != without}

    def decoded(file: tf.Tensor) -> tf.Tensor:
        picture = tf.io.decode_image(file, channels=1, expand_animations=False)
        return tf.cast(tf.round(tf.image.resize(picture, (SIZE, SIZE))), tf.uint8)

    module.image = tf.function(
        answer, input_signature=[tf.TensorSpec([None, SIZE, SIZE, 1], tf.uint8, name=contract.INPUT_IMAGE)]
    )
    module.files = tf.function(
        lambda files: answer(tf.map_fn(decoded, files, fn_output_signature=tf.TensorSpec([SIZE, SIZE, 1], tf.uint8))),
        input_signature=[tf.TensorSpec([None], tf.string, name=contract.INPUT_BYTES)],
    )
    signatures = {contract.SIGNATURE_IMAGE: module.image, contract.SIGNATURE_BYTES: module.files}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    if not without:
        write_golden(folder, SIZE)


if __name__ == "__main__":
    for word in sys.argv[2:]:
        number, _, rest = word.partition("=")
        lacking = rest if rest and not rest.replace(".", "").isdigit() else ""
        write_version(
            Path(sys.argv[1]) / number, int(number), float(rest or 0) if not lacking else 0.0, without=lacking
        )
