"""Recipes: those that come along, and what is said of one that is not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import RECIPES, Recipe, RecipeError, Stage, load_recipe, recipe_from_dict


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_every_recipe_that_comes_along_is_whole(name: str) -> None:
    recipe = load_recipe(Path(name))
    assert recipe.name == name
    assert recipe.model.input_size % 32 == 0
    assert recipe_from_dict(recipe.as_dict()) == recipe


def test_an_unknown_entry_of_a_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[model]\ncolour = 3\n")
    with pytest.raises(RecipeError, match="colour"):
        load_recipe(tmp_path / "r.toml")


def test_a_missing_recipe_lists_those_that_come_along() -> None:
    with pytest.raises(RecipeError, match="fracture"):
        load_recipe(Path("gone"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch = 'many'", r"\[recipe\] batch cannot be 'many': it is a whole number"),
        ("batch = 0", "a batch of at least one"),
        ("stages = []", "at least one stage"),
        ("[[stages]]\nepochs = 0\nlearning_rate = 1e-3", "at least one epoch"),
        ("[[stages]]\nepochs = 3", "not whole.*learning_rate"),
        ("[[stages]]\nepochs = 2\nlearning_rate = 1e-3\nschedule = 'step'", "one of cosine, plateau, constant"),
        ("[augmentation]\nflip_vertical = 1", "true or false"),
        ("[sampling.fracatlas]\nnormals = 'half'", "a number"),
        ("[sampling.fracatlas]\nwithout = [3]", "a list of texts"),
        ("stages = 3", r"tables \[\[stages\]\]"),
        ("stages = [3]", r"\[stages\] is a table of entries, not 3"),
        ("model = 3", r"\[model\] is a table of entries"),
        ("[model]\ndense = 128", "a list of whole numbers"),
        ("[model", "not valid TOML"),
    ],
)
def test_a_recipe_that_is_not_whole_is_told_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=said) as told:
        load_recipe(tmp_path / "r.toml")
    assert "\n" not in str(told.value)


def test_an_entry_that_came_later_is_at_its_default_in_an_older_recipe() -> None:
    older = {"name": "old", "stages": [{"epochs": 2, "learning_rate": 1e-3, "schedule": "plateau"}]}
    assert recipe_from_dict(older) == Recipe(name="old", stages=(Stage(2, 1e-3, schedule="plateau"),))
