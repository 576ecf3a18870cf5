"""The exporting and measuring verbs of the command line. What is heavy is imported when a verb runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from training.commands import Data

MODELS: Final = Path(__file__).resolve().parents[1] / "models" / "fracture"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or a weights file (.npz).")],
    data: Data,
    base: Annotated[Path, typer.Option(help="Folder of the versions.")] = MODELS,
    version: Annotated[int | None, typer.Option(help="Version number; default: the next.")] = None,
    report: Annotated[bool, typer.Option(help="Evaluate on the data's test split, for the card.")] = True,
) -> None:
    """Publish trained weights as the next version, calibrated on the data's val split.

    Example: osteo export runs/fracture --data fracatlas --data bonedata
    """
    from rich.console import Console

    from export.release import release_weights
    from training.report import json_line, table

    weights = run / "best.npz" if run.is_dir() else run
    folder, evaluations = release_weights(weights, data, base, version=version, report=report)
    for evaluation in evaluations:
        Console().print(table(evaluation))
    typer.echo(f"Published {folder}")
    if evaluations:
        typer.echo(json_line(evaluations))


def evaluate(
    data: Data,
    model: Annotated[Path | None, typer.Option(help="Folder of an exported version; default: the newest.")] = None,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Write plots and grids of hits and misses here.")] = None,
    compare: Annotated[Path | None, typer.Option(help="A second version, for DeLong's and McNemar's tests.")] = None,
    outside: Annotated[Path | None, typer.Option(help="Pictures that are no limb radiographs: how many pass?")] = None,
) -> None:
    """Measure an exported version: every figure with its n and 95 % interval, then one line of JSON.

    Example: osteo evaluate --data fracatlas --split test
    """
    from rich.console import Console

    from export.measure import compare_versions, measure
    from export.versions import newest
    from training.report import comparison_table, json_line, table

    folder = model or newest(MODELS)
    if compare is not None:
        comparison = compare_versions(folder, compare, data, split)
        Console().print(comparison_table(comparison))
        typer.echo(json_line(comparison))
        return
    evaluations = measure(folder, data, split, out, outside)
    for evaluation in evaluations:
        Console().print(table(evaluation))
    typer.echo(json_line(evaluations))
