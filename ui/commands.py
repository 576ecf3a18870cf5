"""The verbs of the page on the command line. What is heavy is imported when a verb runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

ROOT: Final = Path(__file__).resolve().parents[1]
FEEDBACK: Final = Path("state/feedback")
"""Where `osteo up` keeps feedback, and `osteo feedback` looks for it."""


def feedback(
    folder: Annotated[Path, typer.Argument(help="Folder that the page was given by --feedback.")] = FEEDBACK,
) -> None:
    """Show how often readers agreed with each version, with n and 95 % interval (Wilson).

    Of several opinions on one reading the last one counts. Ends with one line of JSON.
    Example: osteo feedback state/feedback
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ui.feedback import agreement, load

    opinions, damaged = load(folder)
    found = agreement(opinions)
    table = Table("model", "version", "finding", "n", "agreed", "share", "95 % interval")
    for line in found:
        table.add_row(
            escape(line.model), str(line.version), line.finding, str(line.n), str(line.agreed), f"{line.share:.3f}",
            f"{line.low:.3f} to {line.high:.3f}",
        )  # fmt: skip
    Console().print(table)
    if damaged:
        typer.echo(f"{damaged} damaged {'line was' if damaged == 1 else 'lines were'} left out.")
    notes, pictures = sum(bool(o.note) for o in opinions), sum(bool(o.picture) for o in opinions)
    typer.echo(json.dumps({"notes": notes, "pictures": pictures, "agreement": [asdict(line) for line in found]}))


def bench_page(
    base: Annotated[Path, typer.Option(help="Folder of the versions; the newest answers.")] = (
        ROOT / "models" / "fracture"
    ),
    runs: Annotated[int, typer.Option(help="How often each file is dropped.", min=1)] = 10,
    starts: Annotated[int, typer.Option(help="How often the page is started.", min=1)] = 3,
) -> None:
    """Measure the page: from drop to answer without the model's run, part by part, and start to first paint.

    It starts a server, the page and a browser, and drops a JPEG of 2,000 × 2,500 and a DICOM file of 16 megapixels.
    CPU time stands beside the clock, for it leaves other work on the machine out.
    Example: osteo bench page --runs 20
    """
    from serving.bench.summary import finish, show
    from ui.bench import run, tables

    figures = run(base, runs, starts)
    for table in tables(figures):
        show(table)
    finish("page", figures)
