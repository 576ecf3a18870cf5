"""A phantom data set and a recipe small enough to train within a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiograph.phantom_dataset import PhantomDataset, write_dataset
from training.datasets import PreparedCases, load, prepare_cases
from training.model import ModelConfig
from training.recipe import Recipe, Stage


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> PhantomDataset:
    """Twenty-four phantoms, half of them fractured, in both layouts."""
    return write_dataset(tmp_path_factory.mktemp("phantoms"), 24, seed=5)


@pytest.fixture(scope="session")
def prepared(phantoms: PhantomDataset) -> dict[str, PreparedCases]:
    """The phantoms of train and val as inputs of 64 px."""
    cases = load(phantoms.by_manifest)
    return {split: prepare_cases([c for c in cases if c.split == split], 64) for split in ("train", "val")}


@pytest.fixture
def tiny_recipe() -> Recipe:
    """Two stages of one epoch each, at 64 px, from random weights."""
    return Recipe(
        name="tiny",
        batch=4,
        model=ModelConfig(weights="none", input_size=64, width=16, dense=(8,)),
        stages=(Stage(1, 1e-3), Stage(1, 1e-3, 10)),
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for prepared pictures."""
    return tmp_path / "cache"
