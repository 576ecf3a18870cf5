"""The worklist as HTML: pure functions from rows and progress to text, every foreign word escaped."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ui.signs import FAILED, LOOKS, OUTSIDE, Look, escape, icon, sentence
from ui.words import count, percent
from ui.worklist import NO_FINDING, NOT_READ, OUTCOMES, Progress, Row, View, Worklist

ROWS_A_PAGE: Final = 50

LOOK_OF: Final[dict[str, Look]] = {**LOOKS, NO_FINDING: OUTSIDE, NOT_READ: FAILED}
COLUMNS: Final = {"file": "File", "finding": "Finding", "probability": "Probability"}


def empty() -> str:
    """Return what the worklist says before the first file."""
    return (
        '<section class="empty list-empty"><h2>A list of radiographs</h2>'
        "<p>Drop hundreds of files, or ZIP archives of them. Each is read by itself, the highest probability comes "
        "first, and a file that cannot be read does not stop the others. A row opens in the reader.</p>"
        "<p>Of each picture only a thumbnail is kept. Leave the page open while the list is read.</p></section>"
    )


def progress(now: Progress) -> str:
    """Return how far a running list is, with the time left."""
    share = now.done / now.total if now.total else 0.0
    said = f"{now.done} of {count(now.total, 'file')} read"
    left = "" if now.seconds_left is None else f", {time_words(now.seconds_left)} left"
    return (
        f'<div class="list-progress"><p><span class="pulse"></span>{said}{left}</p>'
        f'<div class="track" role="progressbar" aria-label="Files read" aria-valuemin="0" aria-valuemax="{now.total}" '
        f'aria-valuenow="{now.done}" aria-valuetext="{said}{left}"><i style="--done:{share:.4f}"></i></div></div>'
    )


def summary(worklist: Worklist, stopped: str = "") -> str:
    """Return what became of the files, why the list stopped before its end, and remarks on archives."""
    rows = worklist.rows()
    waiting = len(worklist) - len(rows)
    told = f"{count(len(rows), 'file')} in the list" + (f", {waiting} more not read yet" if waiting else "")
    said = " ".join(filter(None, (stopped, *worklist.remarks)))
    return f'<p class="list-summary" role="status">{told}. {sentence(said)}</p>' if len(worklist) else ""


def table(worklist: Worklist) -> str:
    """Return filters, the rows of the present page and the way to other pages; nothing before the first row."""
    rows, view, shown = worklist.rows(), worklist.view, worklist.shown()
    if not rows:
        return ""
    pages = -(-len(shown) // ROWS_A_PAGE)
    page = min(view.page, max(0, pages - 1))
    part = shown[page * ROWS_A_PAGE : (page + 1) * ROWS_A_PAGE]
    heads = "".join(_head(column, title, view) for column, title in COLUMNS.items())
    body = "".join(map(_row, part))
    return (
        f'{_filters(rows, view)}<table class="results worklist">'
        f"<caption>{_caption(page, part, len(shown))}</caption>"
        f'<thead><tr><th scope="col"><span class="unseen">Picture</span></th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>{_pager(page, pages)}"
    )


def time_words(seconds: float) -> str:
    """Return a time left in words: ``a few seconds``, ``about 40 s``, ``about 3 min``."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 3600:
        return f"about {max(1, round(seconds / 60))} min"
    return f"about {seconds / 3600:.1f} h"


def _filters(rows: Sequence[Row], view: View) -> str:
    counts = Counter(row.outcome for row in rows)
    chips = [_chip("", "All", len(rows), view, "")]
    for outcome in OUTCOMES:
        if counts[outcome] or view.outcome == outcome:
            look = LOOK_OF[outcome]
            chips.append(_chip(outcome, look.title, counts[outcome], view, icon(look)))
    return f'<div class="chips" role="group" aria-label="Show">{"".join(chips)}</div>'


def _chip(outcome: str, title: str, number: int, view: View, sign: str) -> str:
    pressed = "true" if view.outcome == outcome else "false"
    return (
        f'<button type="button" data-action="filter" data-value="{outcome}" aria-pressed="{pressed}">'
        f"{sign}{title} <b>{number}</b></button>"
    )


def _head(column: str, title: str, view: View) -> str:
    here = view.sort == column
    order = f' aria-sort="{"descending" if view.descending else "ascending"}"' if here else ""
    arrow = ("▼" if view.descending else "▲") if here else "↕"
    number = ' class="number"' if column == "probability" else ""
    return (
        f'<th scope="col"{number}{order}><button type="button" data-action="sort" data-value="{column}">{title} '
        f'<span class="arrow" aria-hidden="true">{arrow}</span></button></th>'
    )


def _row(row: Row) -> str:
    look = LOOK_OF[row.outcome]
    picture = base64.b64encode(row.thumbnail).decode("ascii")
    shown = f'<img alt="" src="data:image/jpeg;base64,{picture}">' if picture else icon(look)
    error = row.told.get("error")
    why = f'<span class="why">{sentence(str(error))}</span>' if error else ""
    probability = "–" if row.probability is None else percent(row.probability)
    return (
        f'<tr class="{look.kind}"><td class="thumb"><span>{shown}</span></td>'
        f'<td><button type="button" data-place="{row.place}">{escape(row.file)}</button>{why}</td>'
        f'<td><span class="with-icon">{icon(look)}{look.title}</span></td>'
        f'<td class="number">{probability}</td></tr>'
    )


def _caption(page: int, part: Sequence[Row], total: int) -> str:
    if not part:
        return "No file with this finding"
    first = page * ROWS_A_PAGE + 1
    return (
        f"{first} to {first + len(part) - 1} of {count(total, 'file')}" if total > len(part) else count(total, "file")
    )


def _pager(page: int, pages: int) -> str:
    if pages < 2:
        return ""
    return (
        '<nav class="pager" aria-label="Pages of the list">'
        f"{_turn('Previous', page - 1, pages)}<span>Page {page + 1} of {pages}</span>{_turn('Next', page + 1, pages)}"
        "</nav>"
    )


def _turn(title: str, page: int, pages: int) -> str:
    there = "" if 0 <= page < pages else " disabled"
    return f'<button type="button" data-action="page" data-value="{page}"{there}>{title}</button>'
