"""The rolling verbs of the command line: `osteo rollout …`. What is heavy is imported when a verb runs."""

from __future__ import annotations

import getpass
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.rollout import Rollout

rollout_app = typer.Typer(
    help="""Roll versions out on a running model server, and back, with nothing dropped.

    The server must read the config file that --config names, with these flags: --model_config_file=FILE
    --model_config_file_poll_wait_seconds=5 --allow_version_labels_for_unavailable_models=true
    --max_num_load_retries=0. `osteo rollout init` writes the first one; `osteo up --config FILE` does all of it.

    One release: stage 2, check 2, canary 2 --percent 10, promote 2; rollback goes back; retire 1 cleans up. Clients
    follow the label stable. State, log and reports stand in FILE.rollout/.
    """,
    no_args_is_help=True,
)

Number = Annotated[int, typer.Argument(help="Version number.")]
Server = Annotated[str, typer.Option(help="gRPC address of the model server, host:port.", envvar="OSTEO_SERVER")]
Config = Annotated[str, typer.Option(help="The config file that the server reads.", envvar="OSTEO_CONFIG")]
Model = Annotated[str, typer.Option(help="Name of the served model.")]
Base = Annotated[
    str | None, typer.Option(help="Folder of the versions as seen from here; default: the base path in the config.")
]
By = Annotated[str, typer.Option(help="Who does it, for the log; default: this user and host.")]
Why = Annotated[str, typer.Option(help="Why, for the log.")]
Seconds = Annotated[float, typer.Option(help="How long to wait for a version to load or unload.", min=1)]
Older = Annotated[bool, typer.Option("--older", help="Take a version lower than the live one, on purpose.")]
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Do it without a passed check.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _rollout(server: str, config: str, model: str, base: str | None, by: str, why: str, seconds: float) -> Rollout:
    from serving.rollout import Rollout

    place = _absolute(base) if base is not None else None
    return Rollout(server, _absolute(config), model, by or _operator(), place, why, seconds)


def _absolute(path: str) -> str:
    """Return a local path in full, for journal and config outlive this working folder; object storage's as it is."""
    return path if "://" in path else str(Path(path).absolute())


def _operator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@rollout_app.command()
def init(
    config: Config,
    base: Annotated[str, typer.Option(help="Folder of the versions, as the server sees it.")],
    version: Annotated[int | None, typer.Option(help="The version to serve; default: the newest.")] = None,
    model: Model = "fracture",
) -> None:
    """Write the first config file: one version, labelled stable. A file that is there is left alone.

    Example: osteo rollout init --config state/models.config --base /models/fracture
    """
    from serving.rollout import first_config

    typer.echo(first_config(_rollout("", config, model, base, "", "", 1.0), version))


@rollout_app.command()
def status(
    config: Config,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    as_json: AsJson = False,
) -> None:
    """Show versions, states, labels and the cards' figures, and say what does not agree.

    Example: osteo rollout status --config state/models.config
    """
    from rich.console import Console
    from rich.table import Column, Table

    from serving.rollout_status import FIGURES
    from serving.rollout_status import status as look

    found = look(_rollout(server, config, model, base, "", "", 1.0))
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    whole = (Column(name, no_wrap=True) for name in ("version", "on disk", "on server", "labels"))
    table = Table(*whole, *FIGURES.values())
    for line in found.versions:
        number = f"{line.version} newest" if line.version == found.newest else str(line.version)
        shown = [f"{line.figures[figure]:.3f}" if figure in line.figures else "" for figure in FIGURES]
        table.add_row(number, line.disk, line.server, ", ".join(line.labels), *shown)
    Console().print(table)
    if found.canary_percent:
        typer.echo(f"{found.canary_percent:g} % of the studies go to the canary.")
    for line in found.versions:
        if line.error:
            typer.echo(f"Version {line.version}: {' '.join(line.error.split())[:300]}")
    for note in found.notes:
        typer.echo(note)


@rollout_app.command()
def stage(
    version: Number,
    config: Config,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    older: Older = False,
    by: By = "",
    why: Why = "",
    seconds: Seconds = 600.0,
) -> None:
    """Load a version beside the stable one and wait for it; where it fails, everything is as it was.

    Example: osteo rollout stage 2 --config state/models.config
    """
    from serving.rollout import stage as run

    typer.echo(run(_rollout(server, config, model, base, by, why, seconds), version, older=older))


@rollout_app.command()
def check(
    version: Number,
    config: Config,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of radiographs for the comparison; default: drawn ones.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many pictures both versions are shown.", min=1)] = 32,
    tolerance: Annotated[
        float | None, typer.Option(help="How far a golden case may be off; default: what the version allows.", min=0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a staged version: signature, sane answers, golden cases, and the stable version beside it.

    Writes FILE.rollout/check-VERSION/ with report.md, scores.png and report.json. Exits with 1 where it fails.
    Example: osteo rollout check 2 --config state/models.config --pictures radiographs
    """
    from serving.rollout_report import check as run

    report = run(
        _rollout(server, config, model, base, "", "", 1.0), version, pictures=pictures, count=count, tolerance=tolerance
    )
    if as_json:
        typer.echo(json.dumps({"version": version, "passed": report.passed, **report.figures()}))
    else:
        for outcome in report.outcomes:
            typer.echo(f"{outcome.name}: {'passed' if outcome.passed else 'FAILED'}. {outcome.says}")
        for name, value in (report.shadow.figures() if report.shadow else {}).items():
            typer.echo(f"  {name.replace('_', ' ')}: {value}")
        typer.echo(f"Version {version} {'passed' if report.passed else 'did not pass'}: {report.folder}/report.md")
    if not report.passed:
        raise typer.Exit(1)


@rollout_app.command()
def canary(
    version: Number,
    config: Config,
    percent: Annotated[float, typer.Option(help="Share of the studies, 0 to 100; 0 ends the canary.")],
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    unchecked: Unchecked = False,
    by: By = "",
    why: Why = "",
    seconds: Seconds = 600.0,
) -> None:
    """Give a version the label canary and a share of the studies of clients that ask for the route.

    The same study always goes the same way. Clients read the share from FILE.rollout/route.json.
    Example: osteo rollout canary 2 --percent 10 --config state/models.config
    """
    from serving.rollout import canary as run

    typer.echo(run(_rollout(server, config, model, base, by, why, seconds), version, percent, unchecked=unchecked))


@rollout_app.command()
def promote(
    version: Number,
    config: Config,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    older: Older = False,
    unchecked: Unchecked = False,
    by: By = "",
    why: Why = "",
    seconds: Seconds = 600.0,
) -> None:
    """Make a version the stable one; the version before stays loaded.

    Example: osteo rollout promote 2 --config state/models.config --why "better on shoulders"
    """
    from serving.rollout import promote as run

    settings = _rollout(server, config, model, base, by, why, seconds)
    typer.echo(run(settings, version, older=older, unchecked=unchecked))


@rollout_app.command()
def rollback(
    config: Config,
    to: Annotated[int | None, typer.Option(help="Go to this version instead of the one before.")] = None,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    by: By = "",
    why: Why = "",
    seconds: Seconds = 600.0,
) -> None:
    """Undo the last move: an interrupted command, a change by hand, a canary, or the last promotion.

    Example: osteo rollout rollback --config state/models.config --why "too many suspicions"
    """
    from serving.rollout_back import rollback as run

    typer.echo(run(_rollout(server, config, model, base, by, why, seconds), to))


@rollout_app.command()
def retire(
    version: Number,
    config: Config,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    base: Base = None,
    by: By = "",
    why: Why = "",
    seconds: Seconds = 600.0,
) -> None:
    """Unload a version that bears no label and move its files out of the numbered folders.

    Example: osteo rollout retire 1 --config state/models.config
    """
    from serving.rollout import retire as run

    typer.echo(run(_rollout(server, config, model, base, by, why, seconds), version))
