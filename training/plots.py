"""Pictures of an evaluation: each function writes one PNG and returns its path.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; every picture states its n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from radiograph.prepare import Box
from training.calibration import calibration_bins
from training.metrics import Labels, Metric, Rates, Scores, rates, wilson

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
GREY: Final = "#666666"
HEAT: Final = "#FF8C1A"
"""Bright on black film and still seen on white bone."""
_NOT_LEARNT: Final = frozenset({"epoch", "stage", "seconds", "images_per_second"})
_FIRST_PANELS: Final = ("loss", "accuracy", "auc", "ap", "score", "pointing", "location_loss", "learning_rate")
_SAID: Final = {
    "auc": "AUC",
    "ap": "average precision",
    "score": "validation score",
    "pointing": "map's maximum in a true box",
}
CYCLE: Final = (BLUE, RED, GREEN, ORANGE, "#CC79A7", "#56B4E9")


@dataclass(frozen=True)
class Sample:
    """One picture of a grid: grey uint8 [H, W], its map [h, w] over the same frame, true boxes, and what was said.

    ``probability`` is NaN where no model was asked.
    """

    image: NDArray[np.uint8]
    heatmap: NDArray[np.floating]
    boxes: Sequence[Box]
    label: int
    probability: float
    name: str = ""


def _axes(title: str, size: tuple[float, float] = (5.5, 5.0)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    return path


def _counted(labels: Labels) -> str:
    return f"n {len(labels)}, {int(np.sum(labels == 1))} fractured"


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _rates(point: Rates) -> str:
    return f"sensitivity {point.sensitivity.value:.2f}, specificity {point.specificity.value:.2f}"


def roc(
    labels: Labels, scores: Scores, path: Path, *, area: Metric | None = None, thresholds: Sequence[float] = ()
) -> Path:
    """Write the ROC curve, with the operating points of ``thresholds`` marked where given; return ``path``."""
    figure, axes = _axes(f"ROC ({_counted(labels)})")
    false_rate, true_rate, _ = roc_curve(labels, scores)
    axes.plot(false_rate, true_rate, color=BLUE, label=f"AUC {area}" if area else "model")
    axes.plot((0, 1), (0, 1), color=GREY, linestyle=":", label="chance")
    for threshold, marker, name in zip(thresholds, "os", ("suspicion", "fracture"), strict=False):
        point = rates(labels, scores, threshold)
        at = (1 - point.specificity.value, point.sensitivity.value)
        axes.plot(*at, marker, color=RED, label=f"{name} {threshold:.3f}: {_rates(point)}")
    _unit(axes, "1 − specificity", "sensitivity")
    axes.legend(loc="lower right")
    return _save(figure, path)


def precision_recall(labels: Labels, scores: Scores, path: Path, *, precision: Metric | None = None) -> Path:
    """Write the precision-recall curve with the prevalence as its floor; return ``path``."""
    figure, axes = _axes(f"Precision and recall ({_counted(labels)})")
    found, recall, _ = precision_recall_curve(labels, scores)
    axes.step(recall, found, where="post", color=BLUE, label=f"AP {precision}" if precision else "model")
    share = float(np.mean(labels))
    axes.axhline(share, color=GREY, linestyle=":", label=f"prevalence {share:.2f}")
    _unit(axes, "recall (sensitivity)", "precision (positive predictive value)")
    axes.legend(loc="lower left")
    return _save(figure, path)


def reliability(labels: Labels, series: Mapping[str, Scores], path: Path, *, bins: int = 10) -> Path:
    """Write observed against stated probability, one line a named series (before and after calibration).

    Points are bins of equal mass with Wilson's 95 % interval of the share observed. Returns ``path``.
    """
    figure, axes = _axes(f"Reliability ({_counted(labels)})")
    axes.plot((0, 1), (0, 1), color=GREY, linestyle=":", label="perfect")
    for colour, marker, (name, probabilities) in zip(CYCLE, "osD^v<", series.items(), strict=False):
        member = calibration_bins(probabilities, bins)
        stated, shares = [], []
        for index in np.unique(member):
            inside = member == index
            stated.append(float(np.mean(probabilities[inside])))
            shares.append(wilson(int(np.sum(labels[inside])), int(inside.sum())))
        observed = np.array([share.value for share in shares])
        spread = np.array([(s.value - s.low, s.high - s.value) for s in shares]).T
        axes.errorbar(
            stated,
            observed,
            yerr=np.maximum(spread, 0),
            color=colour,
            marker=marker,
            capsize=2,
            linewidth=1,
            label=name,
        )
    _unit(axes, "stated probability", "observed share of fractures")
    axes.legend(loc="upper left")
    return _save(figure, path)


def confusion_matrix(labels: Labels, probabilities: Scores, threshold: float, path: Path) -> Path:
    """Write the confusion matrix at ``threshold``, counts and shares of each true class; return ``path``."""
    counts = np.array(rates(labels, probabilities, threshold).confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes(f"At threshold {threshold:.3f} ({_counted(labels)})", (5.0, 4.4))
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    names = ("not fractured", "fractured")
    axes.set_xticks((0, 1), names)
    axes.set_yticks((0, 1), names, rotation=90, va="center")
    axes.set(xlabel="said", ylabel="truth")
    return _save(figure, path)


def learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> Path:
    """Write one panel a figure over the epochs, its ``val_`` twin in the same panel; return ``path``.

    ``history`` has one mapping an epoch; a figure missing in some epochs is drawn over those that have it. The key
    ``epoch`` is the number of the epoch where given, and where ``stage`` changes there is a line. How fast it went is
    left out. Raises ``ValueError`` for an empty history.
    """
    names = {key.removeprefix("val_") for row in history for key in row} - _NOT_LEARNT
    if not names:
        raise ValueError("There is no epoch to draw: the history is empty.")
    epochs = [row.get("epoch", at) for at, row in enumerate(history, start=1)]
    stages = [row.get("stage", 1) for row in history]
    begins = [epochs[at] - 0.5 for at in range(1, len(history)) if stages[at] != stages[at - 1]]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    lines = f", a new stage at the grey line{'s' * (len(begins) > 1)}" if begins else ""
    figure.suptitle(f"Learning curves (epochs: {len(history)}{lines})")
    for index, name in enumerate(sorted(names, key=_panel_order), start=1):
        axes = figure.add_subplot(rows, columns, index)
        axes.set(title=_SAID.get(name, name.replace("_", " ")), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        for begin in begins:
            axes.axvline(begin, color=GREY, linewidth=1)
        for key, colour, style, said in ((name, BLUE, "-", "training"), (f"val_{name}", RED, "--", "validation")):
            drawn = [(epoch, row[key]) for epoch, row in zip(epochs, history, strict=True) if key in row]
            if drawn:
                axes.plot(*zip(*drawn, strict=True), color=colour, linestyle=style, marker=".", label=said)
        if name == "learning_rate":
            axes.set_yscale("log")
        else:
            axes.legend(fontsize=8)
    return _save(figure, path)


def _panel_order(name: str) -> tuple[int, str]:
    return (_FIRST_PANELS.index(name) if name in _FIRST_PANELS else len(_FIRST_PANELS), name)


def grid(samples: Sequence[Sample], path: Path, *, title: str, columns: int = 4) -> Path:
    """Write the pictures side by side with the map laid over (orange) and true boxes (blue); return ``path``.

    Raises ``ValueError`` without pictures.
    """
    if not samples:
        raise ValueError("There is no picture for the grid.")
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(3.0 * columns, 3.3 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title} (n {len(samples)})")
    for index, sample in enumerate(samples, start=1):
        axes = figure.add_subplot(rows, columns, index)
        axes.set_axis_off()
        height, width = sample.image.shape[:2]
        frame = (0.0, float(width), float(height), 0.0)
        axes.imshow(sample.image.squeeze(), cmap="gray", vmin=0, vmax=255, extent=frame)
        axes.imshow(_heat(sample.heatmap), extent=frame, interpolation="bilinear")
        for x0, y0, x1, y1 in sample.boxes:
            corner = (x0 * width, y0 * height)
            size = ((x1 - x0) * width, (y1 - y0) * height)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#56B4E9", linewidth=1.5))
        truth = "fractured" if sample.label else "not fractured"
        said = "" if np.isnan(sample.probability) else f", said {sample.probability:.2f}"
        axes.set_title(f"{_short(sample.name)}\n{truth}{said}".strip(), fontsize=8)
    return _save(figure, path)


def _heat(heatmap: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the map as one colour, the more opaque the higher: float32 [h, w, 4] in 0..1."""
    colour = np.broadcast_to(np.array(to_rgb(HEAT), np.float32), (*heatmap.shape, 3))
    return np.dstack([colour, 0.75 * np.clip(heatmap, 0, 1)]).astype(np.float32)


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"{name[: most - 12]}…{name[-11:]}"


def hits_and_misses(samples: Sequence[Sample], threshold: float, folder: Path, *, most: int = 12) -> dict[str, Path]:
    """Write a grid each of hits, misses, false alarms and right normals at ``threshold`` into ``folder``.

    Each holds the ``most`` extreme probabilities of its kind: surest hits, worst misses. Kinds without a picture have
    no file and no key.
    """
    kinds = {
        "hits": (1, True, "Fractures found"),
        "misses": (1, False, "Fractures missed"),
        "false_alarms": (0, True, "Normals called fractured"),
        "right_normals": (0, False, "Normals called normal"),
    }
    written = {}
    for kind, (label, called, title) in kinds.items():
        chosen = [s for s in samples if s.label == label and (s.probability >= threshold) == called]
        chosen.sort(key=lambda sample: sample.probability, reverse=called)
        if chosen:
            written[kind] = grid(chosen[:most], folder / f"{kind}.png", title=title)
    return written
