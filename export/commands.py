"""The exporting and measuring verbs of the command line. What is heavy is imported when a verb runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from export.contract import Precision
from training.commands import Data

MODELS: Final = Path(__file__).resolve().parents[1] / "models" / "fracture"

Base = Annotated[str, typer.Option(help="Folder of the versions, or a path of object storage (gs://, s3://).")]

versions_app = typer.Typer(
    help="The published versions: what is there, and whether it is still what was published.", no_args_is_help=True
)


def export(
    runs: Annotated[
        list[Path], typer.Argument(help="Folder of a training run, or a weights file (.npz); of several, their mean.")
    ],
    data: Data,
    base: Annotated[Path, typer.Option(help="Folder of the versions.")] = MODELS,
    version: Annotated[int | None, typer.Option(help="Version number; default: the next.")] = None,
    report: Annotated[bool, typer.Option(help="Evaluate on the data's test split, for the card.")] = True,
    outside: Annotated[Path | None, typer.Option(help="Pictures that are no limb radiographs, for the card.")] = None,
    folds: Annotated[Path | None, typer.Option(help="Result file of osteo crossval, for the card.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="What it computes in; auto measures on this machine and keeps what answers alike.")
    ] = "auto",
    stride: Annotated[
        int | None, typer.Option("--from-stride", help="Keep maps finer than this stride in float32: 4, 8 or 16.")
    ] = None,
) -> None:
    """Publish trained weights as the next version, calibrated on the data's val split.

    A short format that auto would not choose on this machine, for want of
    instructions for one, can be asked for: it is then not measured.

    Example: osteo export runs/fracture --data fracatlas --data bonedata

    Example: osteo export runs/fracture --data fracatlas --precision bfloat16 --from-stride 8
    """
    from rich.console import Console

    from export.fold import Compute
    from export.precision import STRIDES
    from export.release import ReleaseError, Report, release_weights
    from training.report import json_line, table

    if stride is not None and (precision in ("auto", "float32") or stride not in STRIDES[1:]):
        raise ReleaseError("--from-stride is 4, 8 or 16, and goes with --precision bfloat16 or float16.")
    weights = [run / "best.npz" if run.is_dir() else run for run in runs]
    asked = Report(data, outside, folds) if report else Report(folds=folds)
    compute = None if precision == "auto" else Compute(precision, stride or 1)
    folder, evaluations = release_weights(weights, data, base, version=version, report=asked, compute=compute)
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
    folds: Annotated[
        Path | None, typer.Option(help="Result file of osteo crossval, where the card holds none.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the training run: draw its accuracy and loss too.")
    ] = None,
) -> None:
    """Measure an exported version: every figure with its n and 95 % interval, then one line of JSON.

    On FracAtlas the last table holds the figures against what a shipped model should reach.
    Example: osteo evaluate --data fracatlas --split test --outside out_of_scope --out plots
    """
    from rich.console import Console

    from export.measure import compare_versions, draw_history, measure
    from export.versions import newest
    from training.report import comparison_table, json_line, table

    folder = model or newest(MODELS)
    if compare is not None:
        comparison = compare_versions(folder, compare, data, split)
        Console().print(comparison_table(comparison))
        typer.echo(json_line(comparison))
        return
    if run is not None:
        typer.echo(f"Learning curves: {draw_history(run, out or run)}")
    evaluations = measure(folder, data, split, out, outside, folds)
    for evaluation in evaluations:
        Console().print(table(evaluation))
    typer.echo(json_line(evaluations))


@versions_app.command("list")
def list_versions(base: Base = str(MODELS)) -> None:
    """List every version with its state and the figures of its card; every file is checked against the manifest.

    Verified: every file is what was published. Unverified: published without a manifest. Changed: refused, and why.
    Example: osteo versions list --base gs://models/fracture
    """
    from rich.console import Console
    from rich.table import Table

    from export.registry import listing

    table = Table("version", "state", "created", "input", "AUC")
    entries = listing(base)
    for entry in entries:
        card = entry.card
        auc = (
            next((metric for key, metric in card.metrics.items() if key.endswith("/test/auc")), None) if card else None
        )
        table.add_row(
            str(entry.version),
            entry.state,
            card.created[:10] if card else "",
            f"{card.input_size} px" if card else "",
            f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}, n {auc.n})" if auc else "",
        )
    Console().print(table)
    for entry in entries:
        if entry.says:
            typer.echo(entry.says, err=True)


@versions_app.command()
def verify(
    version: Annotated[int, typer.Argument(help="Version number.")],
    base: Base = str(MODELS),
) -> None:
    """Check every file of a version against its manifest; exit with 1 and the files' names where one differs.

    Example: osteo versions verify 3
    """
    from export import registry

    verified = registry.verify(base, version)
    typer.echo(
        f"Version {version} is what was published."
        if verified
        else f"Version {version} was published without a manifest: unverified."
    )


@versions_app.command("publish")
def publish_version(
    folder: Annotated[Path, typer.Argument(help="Folder of a SavedModel.")],
    base: Base = str(MODELS),
    version: Annotated[int | None, typer.Option(help="Version number; default: the next.")] = None,
) -> None:
    """Copy an exported SavedModel into the versions, whole or not at all, with a manifest; never overwrite one.

    Example: osteo versions publish models/fracture/10 --base gs://models/fracture
    """
    from export.registry import publish_folder

    typer.echo(f"Published {publish_folder(folder, base, version=version)}")
