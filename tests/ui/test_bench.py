"""The page's benchmark: what counts as the page's own, and that its figures can be shown."""

from __future__ import annotations

import io

from rich.console import Console

from serving.bench.summary import Taken
from ui.bench import AIMS, NAMES, Starts, Turns, tables


def test_everything_but_the_models_run_weighs_on_the_page() -> None:
    told = Turns(total=[0.5, 0.7, 0.6], model=[0.1, 0.2, 0.3], cpu=[0.2, 0.2, 0.5]).figures(250.0)
    assert (told["overhead"]["p50_ms"], told["overhead"]["n"]) == (400.0, 3)
    assert (told["total_p50_ms"], told["model_p50_ms"], told["page_cpu_ms"]) == (600.0, 200.0, 300.0)


def test_the_tables_name_every_file_its_aim_and_every_part() -> None:
    turn = Turns(total=[0.5], model=[0.1], cpu=[0.2])
    start = Starts(paint=[3.0], ready=[4.0], cpu=[2.0])
    part = Taken(wall=[0.02], cpu=[0.01]).figures()
    figures = {
        "files": {kind: turn.figures(AIMS[kind]) for kind in NAMES},
        "parts": {kind: {"read the file": part} for kind in NAMES},
        "start": start.figures(AIMS["start"]),
    }
    console = Console(width=160, file=io.StringIO(), record=True)
    for table in tables(figures):
        console.print(table)
    shown = console.export_text()
    assert [word for word in (*NAMES.values(), "read the file", "3,000", "1,000", "250") if word not in shown] == []
