"""Each plot writes a PNG that a reader can use, whatever the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import plots
from training.metrics import auc, average_precision

RANDOM = np.random.default_rng(0)
LABELS = np.r_[np.zeros(70, int), np.ones(30, int)]
SCORES = np.clip(RANDOM.normal(0.35, 0.2, 100) + 0.3 * LABELS, 0, 1)


def sample(label: int, probability: float) -> plots.Sample:
    return plots.Sample(
        image=RANDOM.integers(0, 255, (96, 96), dtype=np.uint8),
        heatmap=RANDOM.random((6, 6)),
        boxes=[(0.2, 0.2, 0.5, 0.4)] if label else [],
        label=label,
        probability=probability,
        name="a.png",
    )


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) >= 300
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return {tuple(int(v) for v in colour) for colour in np.unique(pixels, axis=0)}


def rgb(text: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(text.removeprefix("#")))


DRAWN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "roc": (lambda p: plots.roc(LABELS, SCORES, p, thresholds=(0.4, 0.6)), plots.RED),
    "roc with its area": (lambda p: plots.roc(LABELS, SCORES, p, area=auc(LABELS, SCORES, LABELS)), plots.BLUE),
    "precision and recall": (
        lambda p: plots.precision_recall(LABELS, SCORES, p, precision=average_precision(LABELS, SCORES, LABELS)),
        plots.BLUE,
    ),
    "reliability": (lambda p: plots.reliability(LABELS, {"before": SCORES, "after": SCORES**2}, p), plots.RED),
    "learning curves": (
        lambda p: plots.learning_curves([{"loss": 1.0, "val_loss": 2.0}, {"loss": 0.5, "lr": 0.1}], p),
        plots.BLUE,
    ),
    "grid": (lambda p: plots.grid([sample(1, 0.9), sample(0, 0.1)], p, title="Two"), "#56B4E9"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_is_a_png_with_its_data_drawn(name: str, tmp_path: Path) -> None:
    draw, colour = DRAWN[name]
    path = draw(tmp_path / "new" / "plot.png")
    assert path == tmp_path / "new" / "plot.png"
    assert rgb(colour) in colours(path)


def test_the_confusion_matrix_is_drawn_even_with_one_class(tmp_path: Path) -> None:
    path = plots.confusion_matrix(np.zeros(5, int), np.linspace(0, 1, 5), 0.5, tmp_path / "c.png")
    assert len(colours(path)) > 3


def test_equal_probabilities_make_one_point_of_reliability(tmp_path: Path) -> None:
    path = plots.reliability(LABELS, {"model": np.full(100, 0.3)}, tmp_path / "r.png")
    assert rgb(plots.BLUE) in colours(path)


def test_hits_and_misses_have_a_grid_each_and_empty_kinds_none(tmp_path: Path) -> None:
    written = plots.hits_and_misses([sample(1, 0.9), sample(1, 0.1), sample(0, 0.2)], 0.5, tmp_path)
    assert set(written) == {"hits", "misses", "right_normals"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hits.png", "misses.png", "right_normals.png"]


@pytest.mark.parametrize("draw", [lambda p: plots.grid([], p, title="x"), lambda p: plots.learning_curves([], p)])
def test_nothing_to_draw_is_said(draw: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no"):
        draw(tmp_path / "x.png")


def test_the_same_data_give_the_same_file(tmp_path: Path) -> None:
    first, second = (plots.roc(LABELS, SCORES, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second


def test_learning_curves_show_where_a_stage_begins_and_not_how_long_it_took(tmp_path: Path) -> None:
    def drawn(name: str, stages: tuple[int, int], seconds: float) -> bytes:
        history = [{"epoch": n, "loss": 1 / n, "stage": stages[n - 1], "seconds": seconds * n} for n in (1, 2)]
        return plots.learning_curves(history, tmp_path / name).read_bytes()

    plain = drawn("plain.png", (1, 1), 1)
    assert drawn("slow.png", (1, 1), 9) == plain
    assert drawn("two stages.png", (1, 2), 1) != plain
