"""The training verbs of the command line. What is heavy is imported when a verb runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(help="Look into data sets before training on them, and fetch them.", no_args_is_help=True)

Data = Annotated[list[Path], typer.Option("--data", help="Data set folder; give it again for more than one.")]


def _ask_for_onednn() -> None:
    """Have TensorFlow, which is imported after this, compute with oneDNN on every processor that can.

    By itself it does so only on newer ones. Others read single pictures faster without, so servers are not told.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def _recipes() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "recipes").glob("*.toml"))


def train(
    data: Data,
    config: Annotated[
        Path, typer.Option(help=f"Recipe: a TOML file, or one that comes along: {', '.join(_recipes())}.")
    ] = Path("fracture-384"),
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; one that is there goes on. Default: runs/<recipe>.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="efficientnet-lite0, -lite2 or resnet152v2 instead of the recipe's.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet, or none for random weights.")] = None,
    start: Annotated[Path | None, typer.Option("--from", help="Go on from the weights of another run (.npz).")] = None,
    track: Annotated[
        bool, typer.Option("--tracking/--no-tracking", help="Write the figures for TensorBoard and MLflow too.")
    ] = True,
) -> None:
    """Train a model. Stopped at any moment, the same command goes on where it was.

    Data is a folder with a manifest.csv, as osteo data fetch makes it, or a
    tree train|val/fractured|not fractured. Without a val split a sixth of the
    groups is held out. Several GPUs share each batch.

    The run's folder gets the weights with the best validation score (best.npz),
    history.json and learning_curves.png. Look on while it trains, with
    tensorboard --logdir runs, or with
    mlflow ui --backend-store-uri sqlite:///runs/mlflow.db
    Where MLFLOW_TRACKING_URI is set, MLflow writes there instead.

    Example: osteo train --data fracatlas

    Example: osteo train --data fracatlas --config resnet152v2 --run runs/deep

    Next: osteo export runs/fracture-384 --data fracatlas
    """
    from dataclasses import replace

    from rich.console import Console

    _ask_for_onednn()
    from training.recipe import load_recipe
    from training.run import load_splits
    from training.run import train as train_run

    recipe = load_recipe(config)
    shape = recipe.model
    shape = replace(shape, backbone=backbone or shape.backbone, weights=weights or shape.weights)
    recipe = replace(recipe, model=shape, start=str(start) if start else recipe.start)
    folder = run or Path("runs") / recipe.name
    best = train_run(recipe, load_splits(data, recipe), folder, Console(), track=track)
    typer.echo(f"Weights: {best}. Next: osteo export {folder} " + " ".join(f"--data {path}" for path in data))


def crossval(
    data: Data,
    of: Annotated[str, typer.Option("--of", help="The set that is read in folds; the others always train.")],
    config: Annotated[Path, typer.Option(help="Recipe: a TOML file, or the name of one that comes along.")] = Path(
        "fracture"
    ),
    folds: Annotated[int, typer.Option(help="Number of folds; groups stay whole.")] = 5,
    run: Annotated[Path | None, typer.Option(help="Folder of the folds' runs; one that is there goes on.")] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Weights (.npz) that never saw the set, or a finished cross-validation's run."),
    ] = None,
    together: Annotated[
        list[Path] | None,
        typer.Option(help="Run of a finished cross-validation; of several, read the mean and train nothing."),
    ] = None,
) -> None:
    """Cross-validate a recipe on a small set: each radiograph is read by a network that never saw its group.

    A recipe that goes on from another one goes on from its folds: each from
    the one that held out the same radiographs.

    Example: osteo crossval --config fracture --data fracatlas --data bonedata
    --of bonedata --from models/weights/fracture-body.npz

    Example: osteo crossval --data fracatlas --data bonedata --of bonedata
    --together runs/fracture-folds --together runs/other-folds
    """
    import json
    from dataclasses import replace

    from rich.console import Console

    _ask_for_onednn()
    from training.crossval import cross_validate, read_together, table
    from training.recipe import load_recipe

    console = Console()
    if together:
        result = read_together(together, data, of, run or Path("runs") / "together", console)
    else:
        recipe = load_recipe(config)
        recipe = replace(recipe, start=str(start) if start else recipe.start)
        result = cross_validate(recipe, data, of, folds, run or Path("runs") / f"{recipe.name}-folds", console)
    console.print(table(result))
    typer.echo(json.dumps(result.as_dict()))


def validate(
    weights: Annotated[Path, typer.Argument(help="Weights of a training run (.npz), or the run's folder.")],
    data: Data,
) -> None:
    """Measure trained weights on validation, with intervals, without exporting them; test stays unread.

    Example: osteo validate runs/fracture-384 --data fracatlas
    """
    import json

    from rich.console import Console

    _ask_for_onednn()
    from training.fit import WEIGHTS
    from training.validation_report import report_on, report_table

    report = report_on(weights / WEIGHTS if weights.is_dir() else weights, data)
    Console().print(report_table(report))
    typer.echo(json.dumps(report.as_dict()))


@data_app.command("audit")
def audit(
    folder: Annotated[Path, typer.Argument(help="A folder tree or a folder with manifest.csv.")],
    out: Annotated[Path, typer.Option(help="Where the HTML page and the cleaned manifest go.")] = Path("audit"),
) -> None:
    """Find copies, leaks, broken files and shortcuts; count the distinct radiographs.

    Example: osteo data audit bonedata --out audit
    """
    from rich.console import Console

    from training.audit import run_audit

    run_audit(folder, out, Console())


@data_app.command("paste")
def paste(
    folder: Annotated[Path, typer.Argument(help="A data set with manifest.csv, boxes.json, a train and a val split.")],
    out: Annotated[Path, typer.Option(help="Folder to put the new set into.")] = Path("data"),
    config: Annotated[
        Path, typer.Option(help="Recipe that will train on it: its size, seed and left-out files count.")
    ] = Path("fracture-body"),
) -> None:
    """Paste fractures into normals of the same region: more fractured pictures to train on than a set has.

    Each has its fracture from one radiograph of the train split and its
    surroundings from another one, where the two look alike; controls have a
    patch without a fracture. The set is called NAME-pasted and is for
    training alone. Look at sheet.png in it.

    Example: osteo data paste data/fracatlas

    Next: osteo train --config fracture-body --from runs/fracture-renewed/best.npz
    --data data/fracatlas --data data/fracatlas-pasted
    """
    from rich.console import Console

    from training.paste_set import write_pasted
    from training.recipe import load_recipe

    write_pasted(folder, out, load_recipe(config), Console())


@data_app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="fracatlas or bonedata.")],
    out: Annotated[Path, typer.Option(help="Folder to fetch into.")] = Path("data"),
) -> None:
    """Fetch a public data set and clean it; goes on where it was interrupted.

    Example: osteo data fetch fracatlas --out data
    """
    from rich.console import Console

    from training.fetch import run_fetch

    run_fetch(name, out, Console())
