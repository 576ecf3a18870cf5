"""Trained weights as one small file: float16 by layer, read back into the same network for further training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from training.array_file import write_arrays
from training.recipe import Recipe, recipe_from_dict

_SMALL = 1024
"""Arrays up to this many elements (statistics, biases) stay float32: they cost nothing and matter most."""


class WeightsError(Exception):
    """The file is not one of ours, or belongs to another network; the message says which."""


def save_weights(network: keras.Model, recipe: Recipe, path: Path) -> str:
    """Write the weights of ``network`` with their recipe to ``path`` (``.npz``) and return the file's SHA-256.

    Raises ``WriteError``, with the file that was there untouched.
    """
    arrays = {}
    for layer in network.layers:
        for index, weight in enumerate(layer.get_weights()):
            small = weight.size <= _SMALL or weight.dtype != np.float32
            arrays[f"{layer.name}/{index}"] = weight if small else weight.astype(np.float16)
    write_arrays(path, {"recipe": np.array(json.dumps(recipe.as_dict())), **arrays})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recipe_of(path: Path) -> Recipe:
    """Return the recipe that the weights in ``path`` were trained by; raise ``WeightsError`` on any other file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return recipe_from_dict(json.loads(str(saved["recipe"])))
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise WeightsError(f"{path} is not a weights file of this program: {error}.") from error


def load_weights(network: keras.Model, path: Path) -> None:
    """Put the weights in ``path`` into ``network``; raise ``WeightsError`` where they belong to another one."""
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; a run keeps its own as best.npz in its folder.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            for layer in network.layers:
                count = len(layer.get_weights())
                layer.set_weights([saved[f"{layer.name}/{index}"] for index in range(count)])
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise WeightsError(f"{path} does not fit this network: {error}.") from error
