"""Plots of the benchmarks: each function writes one PNG. Colours are Okabe and Ito's, told apart by everyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#666666")
Curve = tuple[Sequence[float], Sequence[float]]
"""Places along x, and the values there."""


def bars(path: Path, title: str, unit: str, values: Mapping[str, float]) -> Path:
    """Write horizontal bars, one a name, each with its figure at the end; return ``path``."""
    figure, (axes,) = _figure((8.0, 1.2 + 0.4 * len(values)), 1)
    names = list(values)[::-1]
    drawn = axes.barh(names, [values[name] for name in names], color=COLOURS[0])
    axes.bar_label(drawn, fmt=_number, padding=3)
    axes.margins(x=0.12)
    axes.set_title(title)
    axes.set_xlabel(unit)
    return _save(figure, path)


def grouped_bars(path: Path, title: str, unit: str, values: Mapping[str, Mapping[str, float]]) -> Path:
    """Write groups of horizontal bars, a colour for each name within the groups; return ``path``."""
    within = list(dict.fromkeys(name for group in values.values() for name in group))
    height = 0.8 / len(within)
    figure, (axes,) = _figure((8.0, 1.2 + 0.25 * len(values) * len(within)), 1)
    for number, name in enumerate(within):
        places = [row + number * height for row, group in enumerate(values.values()) if name in group]
        lengths = [group[name] for group in values.values() if name in group]
        drawn = axes.barh(places, lengths, height, label=name, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(drawn, fmt=_number, padding=3, fontsize=8)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(values))], list(values))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.legend(fontsize=8)
    return _save(figure, path)


def curves(path: Path, title: str, along: str, panels: Mapping[str, Mapping[str, Curve]]) -> Path:
    """Write panels side by side, each named by its unit, with named curves over ``along``; return ``path``."""
    figure, axes = _figure((5.5 * len(panels), 4.2), len(panels))
    figure.suptitle(title)
    for place, (unit, lines) in zip(axes, panels.items(), strict=True):
        for number, (name, (x, y)) in enumerate(lines.items()):
            place.plot(x, y, "o-", label=name, color=COLOURS[number % len(COLOURS)], markersize=4)
        places = sorted({value for x, _ in lines.values() for value in x})
        place.set_xscale("log", base=2)
        place.set_xticks(places, [f"{value:g}" for value in places])
        place.minorticks_off()
        place.set_ylim(bottom=0)
        place.set_xlabel(along)
        place.set_ylabel(unit)
    axes[-1].legend(fontsize=8)
    return _save(figure, path)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _figure(size: tuple[float, float], panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
    for place in axes:
        place.grid(visible=True, alpha=0.3)
        place.set_axisbelow(True)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    return path
