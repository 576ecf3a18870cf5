"""Golden cases: written from the answers of the SavedModel itself, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export import contract
from export.golden import BLOCKS, CASES, GOLDEN, drawn_pictures, heatmap_digest, read_golden, write_golden
from tests.model_server import SIZE


def test_the_cases_are_the_answers_of_the_saved_model(contract_models: Path) -> None:
    import tensorflow as tf

    folder = contract_models / "small"
    write_golden(folder, SIZE, 0.01)
    golden = read_golden((folder / GOLDEN).read_bytes())
    told = tf.saved_model.load(str(folder)).signatures[contract.SIGNATURE_IMAGE](tf.constant(golden.images))
    assert golden.tolerance == 0.01
    assert golden.images.shape == (CASES, SIZE, SIZE, 1)
    np.testing.assert_allclose(golden.probability, told[contract.PROBABILITY].numpy(), atol=1e-6)
    np.testing.assert_allclose(golden.novelty, told[contract.NOVELTY].numpy(), atol=1e-6)
    assert np.all(np.diff(golden.probability) >= 0)
    digests = [heatmap_digest(heatmap) for heatmap in told[contract.HEATMAP].numpy()]
    np.testing.assert_allclose(golden.heatmap, digests, atol=1e-6)


def test_the_pictures_differ_and_stay_the_same() -> None:
    pictures = drawn_pictures(SIZE, CASES, 1)
    assert pictures.shape == (CASES, SIZE, SIZE, 1)
    assert len({picture.tobytes() for picture in pictures}) == CASES
    np.testing.assert_array_equal(pictures, drawn_pictures(SIZE, CASES, 1))


@pytest.mark.parametrize("sides", [(8, 8), (28, 28), (56, 56), (15, 31)])
def test_a_digest_keeps_the_means_of_the_blocks(sides: tuple[int, int]) -> None:
    heatmap: NDArray[np.float32] = np.zeros(sides, np.float32)
    heatmap[sides[0] * 2 // BLOCKS : sides[0] * 3 // BLOCKS] = 1
    digest = heatmap_digest(heatmap)
    assert digest.shape == (BLOCKS, BLOCKS)
    assert digest[2] == pytest.approx(1)
    assert np.delete(digest, 2, axis=0).max() == 0
    assert heatmap_digest(np.full(sides, 0.25, np.float32)) == pytest.approx(0.25)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_what_holds_no_golden_cases_is_said(content: bytes) -> None:
    with pytest.raises(ValueError, match="no file of golden cases"):
        read_golden(content)
