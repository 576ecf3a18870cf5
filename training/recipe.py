"""Recipes: everything that decides how a model comes out, as one TOML file and one frozen dataclass."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from training.augment import Augmentation
from training.model import ModelConfig

RECIPES: Final = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """The recipe file is missing or has an entry this program does not know; the message names it."""


@dataclass(frozen=True)
class Stage:
    """Some epochs with the same layers learning; ``first_trainable_block`` None keeps the whole backbone frozen."""

    epochs: int
    learning_rate: float
    first_trainable_block: int | None = None
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"


@dataclass(frozen=True)
class Sampling:
    """How often an epoch shows a source's fractured pictures and its normals.

    A fraction is a random share, drawn afresh each epoch: 0.4 shows 40 %, 2.5 all twice and a random half once more.
    """

    fractured: float = 1
    normals: float = 1.0


@dataclass(frozen=True)
class Loss:
    """Weights of the two losses; ``smoothing`` of the picture's label; ``focus`` is the focal loss' gamma."""

    picture: float = 1.0
    location: float = 3.0
    smoothing: float = 0.03
    focus: float = 2.0


@dataclass(frozen=True)
class Recipe:
    """One way of training, read from ``training/recipes/*.toml``; the defaults are the shipped model's.

    ``start`` is a weights file of an earlier run of the same network, at any input size; "" starts from ImageNet.
    """

    name: str = "fracture"
    seed: int = 7
    batch: int = 16
    weight_decay: float = 1e-4
    ema: float = 0.998
    patience: int = 0
    start: str = ""
    class_weight: Literal["none", "balanced"] = "none"
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Loss = field(default_factory=Loss)
    stages: tuple[Stage, ...] = (Stage(2, 1e-3), Stage(8, 4e-4, 3))
    sampling: Mapping[str, Sampling] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, as the model card keeps it."""
        return asdict(self)


def load_recipe(path: Path) -> Recipe:
    """Return the recipe of a TOML file; a bare name is looked up among the recipes that come with the program."""
    file = path if path.suffix == ".toml" else RECIPES / f"{path}.toml"
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.toml")))
        raise RecipeError(f"There is no recipe {file}; the program comes with {known}.") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{file} is not valid TOML: {error}.") from error
    return recipe_from_dict({"name": file.stem, **raw})


def recipe_from_dict(raw: Mapping[str, Any]) -> Recipe:
    """Return the recipe of plain values; raise ``RecipeError`` naming the first entry that is not known."""
    parts: dict[str, Any] = dict(raw)
    nested: dict[str, type[Any]] = {"model": ModelConfig, "augmentation": Augmentation, "loss": Loss}
    for key, kind in nested.items():
        if key in parts:
            parts[key] = _make(kind, key, parts[key])
    if "dense" in raw.get("model", {}):
        parts["model"] = replace(parts["model"], dense=tuple(raw["model"]["dense"]))
    if "stages" in parts:
        parts["stages"] = tuple(_make(Stage, "stages", stage) for stage in parts["stages"])
    if "sampling" in parts:
        parts["sampling"] = {name: _make(Sampling, "sampling", row) for name, row in parts["sampling"].items()}
    recipe: Recipe = _make(Recipe, "recipe", parts)
    return recipe


def _make(kind: type[Any], where: str, raw: Mapping[str, Any]) -> Any:
    unknown = sorted(set(raw) - {f.name for f in fields(kind)})
    if unknown:
        raise RecipeError(f"[{where}] has an entry this program does not know: {unknown[0]}.")
    try:
        return kind(**raw)
    except TypeError as error:
        raise RecipeError(f"[{where}] is not whole: {error}.") from error
