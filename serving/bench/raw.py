"""A SavedModel in this process, run as the stand-in server runs it: what no server can be faster than."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export import contract

BATCHES: Final = (1, 2, 4, 8, 16, 32)
Outputs = list[NDArray[Any]]
"""All outputs of ``serving_default``, in the order of ``export.contract.OUTPUTS``."""


def load(version: Path, *, as_written: bool = False) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Load the SavedModel in ``version``; return the function of its pictures, uint8 [N,S,S,1], to its outputs.

    ``as_written`` keeps bfloat16 also where the stand-in would compute in float32 for want of instructions.
    """
    import tensorflow as tf  # whole and first: serving.api may have left its message modules alone in place

    from serving.embedded.number_format import has_bfloat16
    from serving.embedded.servable import load_saved_model

    widened = not as_written and not has_bfloat16()
    signatures, run = load_saved_model(str(version), ["serve"], tf.compat.v1.ConfigProto(), widened=widened)
    signature = signatures[contract.SIGNATURE_IMAGE]
    fed = signature.inputs[contract.INPUT_IMAGE].name
    fetches = [signature.outputs[name].name for name in contract.OUTPUTS]
    return lambda images: run({fed: images}, fetches, None)
