"""Recipes: everything that decides how a model comes out, as one TOML file and one frozen dataclass."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from training.augment import Augmentation
from training.model import ModelConfig

RECIPES: Final = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """The recipe file is missing or has an entry this program does not know; the message names it."""


@dataclass(frozen=True)
class Stage:
    """Some epochs with the same layers learning; ``first_trainable_block`` None keeps the whole backbone frozen.

    Schedule ``plateau`` multiplies the learning rate by ``plateau_factor``, down to ``minimum_rate``, each time
    ``plateau_figure`` has not got better for ``plateau_patience`` epochs (Keras' ReduceLROnPlateau). The backbone
    learns at ``backbone_rate`` times the rate: a high one drives its features into the flat ends of their ReLUs. With
    ``learns = "picture head"`` its dense layers alone learn, from features and a location map that stay as they are.
    """

    epochs: int
    learning_rate: float
    first_trainable_block: int | None = None
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    plateau_figure: Literal["val_loss", "val_accuracy", "val_auc", "val_score"] = "val_loss"
    plateau_factor: float = 0.5
    plateau_patience: int = 2
    minimum_rate: float = 0.0
    backbone_rate: float = 1.0
    learns: Literal["network", "picture head"] = "network"


@dataclass(frozen=True)
class Sampling:
    """How often an epoch shows a source's fractured pictures and its normals.

    A fraction is a random share, drawn afresh each epoch: 0.4 shows 40 %, 2.5 all twice and a random half once more.
    Files named in ``without`` are left out of training altogether.
    """

    fractured: float = 1
    normals: float = 1.0
    without: tuple[str, ...] = ()


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
    With ``renew_from_block`` the backbone's blocks from that one on begin from ImageNet even so (``training.renew``).
    With ``norms_from_block`` BatchNorm of the backbone learns from that block on (``training.model.freeze``).
    A stage ends early when the validation loss has not fallen for ``patience`` epochs (0: never). ``ema`` is the
    momentum of the averaged weights, which are the ones that are validated and kept; 0 keeps the last step's.
    """

    name: str = "fracture"
    seed: int = 7
    batch: int = 16
    weight_decay: float = 1e-4
    ema: float = 0.998
    patience: int = 0
    start: str = ""
    renew_from_block: int | None = None
    norms_from_block: int | None = None
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
    if "model" in parts:
        parts["model"] = replace(parts["model"], dense=tuple(parts["model"].dense))
    if not isinstance(parts.get("stages", []), list | tuple) or not isinstance(parts.get("sampling", {}), Mapping):
        raise RecipeError("A recipe's stages are tables [[stages]], and its sampling tables [sampling.<data set>].")
    if "stages" in parts:
        parts["stages"] = tuple(_make(Stage, "stages", stage) for stage in parts["stages"])
    if "sampling" in parts:
        rows = {name: _make(Sampling, "sampling", row) for name, row in parts["sampling"].items()}
        parts["sampling"] = {name: replace(row, without=tuple(row.without)) for name, row in rows.items()}
    recipe: Recipe = _make(Recipe, "recipe", parts)
    if recipe.batch < 1 or not recipe.stages or any(stage.epochs < 1 for stage in recipe.stages):
        raise RecipeError("A recipe needs a batch of at least one, and at least one stage, each of at least one epoch.")
    return recipe


def _make(kind: type[Any], where: str, raw: Mapping[str, Any]) -> Any:
    if not isinstance(raw, Mapping):
        raise RecipeError(f"[{where}] is a table of entries, not {raw!r}.")
    hints = get_type_hints(kind)
    for key, value in raw.items():
        if key not in hints:
            raise RecipeError(f"[{where}] has an entry this program does not know: {key}.")
        if not _fits(value, hints[key]):
            raise RecipeError(f"[{where}] {key} cannot be {value!r}: it is {_said(hints[key])}.")
    try:
        return kind(**raw)
    except TypeError as error:
        raise RecipeError(f"[{where}] is not whole: {error}.") from error


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a plain value is one of ``hint``; what is nested was made, and so checked, before."""
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    return isinstance(value, hint) if hint in (str, bool) else True


def _said(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) is tuple:
        return "a list of whole numbers" if get_args(hint)[0] is int else "a list of texts"
    return {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}[hint]
