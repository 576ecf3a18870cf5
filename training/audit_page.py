"""The audit for people and for training: a table, an HTML page with thumbnails, and the cleaned manifest."""

from __future__ import annotations

import base64
import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from PIL import Image
from rich.table import Table

from radiograph import RadiographError, read
from training.audit_files import Scan
from training.audit_findings import AuditReport, Distinct
from training.audit_registration import thumbnail
from training.datasets import DataError
from training.metrics import Metric

COLUMNS: Final = ("image", "label", "split", "group", "width", "height", "files", "sha256")
_MOST_SETS: Final = 40
_MOST_FILES: Final = 6
_MOST_SHOWN: Final = 24
_THUMBNAIL: Final = 160
_TELLING: Final = 0.55
_UNEVEN: Final = 3
"""Times as many of one class as of the other from which training needs class weights or sampling."""
_STYLE: Final = """
:root { --ink: #1b1f24; --soft: #5a6472; --line: #d8dde3; --ground: #fff; --card: #f5f7f9; --bad: #b02a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #9aa5b1; --line: #343b44; --ground: #14171b; --card: #1d2228; --bad: #ff9a73; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
  color: var(--ink); background: var(--ground); }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .3rem; }
p { margin: .3rem 0 .8rem; max-width: 44rem; } .lead { color: var(--soft); margin-bottom: 1.5rem; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem 3rem; }
table { border-collapse: collapse; width: 100%; } thead th { color: var(--soft); font-size: .85rem; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { text-align: left; font-weight: 400; } .number { text-align: right; font-variant-numeric: tabular-nums; }
tbody .number { white-space: nowrap; }
@media (max-width: 34rem) { th, td { padding-inline: .25rem; } tbody .number { white-space: normal; }
  tbody td:last-child { min-width: 4.6rem; } tbody td:nth-child(3) { min-width: 7.6rem; } }
.bad { color: var(--bad); font-weight: 600; }
.tables h2 { margin-top: 1.5rem; } .tables h2:first-child { margin-top: 0; }
.sets { display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-start; }
.set { display: flex; flex-wrap: wrap; gap: .8rem; padding: .8rem; border-radius: .5rem; background: var(--card); }
figure { margin: 0; width: 8.5rem; } .set p { width: 100%; margin: 0; color: var(--soft); font-size: .85rem; }
figcaption { font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere; margin-top: .3rem; }
figcaption small { display: block; color: var(--soft); font-size: inherit; }
img, .none { display: flex; width: 100%; height: 9rem; object-fit: contain; background: #000; border-radius: .25rem; }
.none { align-items: center; justify-content: center; color: #aaa; font-size: .8rem; }
"""


def facts(report: AuditReport) -> list[tuple[str, str, bool]]:
    """Return (what, how many, whether it is a fault) for each figure of the report, in the order people need them."""
    exact = sum(len(same) - 1 for same in report.exact)
    rows: list[tuple[str, int, bool]] = [
        ("files looked at", report.files, False),
        ("cannot be read (broken, cut short, no radiograph)", len(report.broken), True),
        ("fill of a cut-short file at the bottom", len(report.filled), True),
        ("families by name", report.families, False),
        ("distinct radiographs", report.distinct, False),
        ("copies: equal pixels", exact, True),
        ("copies found by looking, besides those", report.near, True),
        ("copies across splits", len(report.across_splits), True),
        ("copies with both labels", len(report.both_labels), True),
        ("groups across splits", len(report.groups_across_splits), True),
        ("named a copy, but another picture", len(report.misnamed), True),
        ("radiographs in the cleaned manifest", len(report.kept), False),
    ]
    shown = [(what, f"{count:,}", fault and count > 0) for what, count, fault in rows]
    ratio = report.imbalance
    uneven = "one class only" if math.isnan(ratio) else f"{ratio:.1f} to 1"
    return [*shown, ("the commoner class in it to the rarer", uneven, not ratio < _UNEVEN)]


def _label(label: int | None) -> str:
    return {0: "not fractured", 1: "fractured", None: "no label"}[label]


def _said(metric: Metric) -> str:
    if math.isnan(metric.value):
        return "undefined: too few of one class"
    return f"{metric.value:.2f} ({metric.low:.2f} to {metric.high:.2f})"


def _auc_and_interval(metric: Metric) -> tuple[str, str]:
    if math.isnan(metric.value):
        return "undefined", "too few of one class"
    return f"{metric.value:.2f}", f"{metric.low:.2f} to {metric.high:.2f}"


def _tells(metric: Metric) -> bool:
    """Return whether the interval lies clear of chance, on either side."""
    return metric.low > _TELLING or metric.high < 1 - _TELLING


def _lead(report: AuditReport) -> str:
    faults = any(fault for _, _, fault in facts(report))
    what = "What is coloured here needs a look." if faults else "No fault was found in them."
    return f"{report.files:,} files, {report.distinct:,} distinct radiographs. {what}"


def table(report: AuditReport) -> Table:
    """Return the report as one table for a rich console; faults are marked."""
    shown = Table(title=f"Audit of {report.root}", title_justify="left", show_header=False, pad_edge=False)
    shown.add_column("what")
    shown.add_column("count", justify="right")
    for what, count, fault in facts(report):
        shown.add_row(what, count, style="bold red" if fault else "")
    shown.add_section()
    for (split, label), (files, distinct) in report.balance().items():
        shown.add_row(f"{split or 'no split'}, {_label(label)}", f"{files:,} files, {distinct:,} distinct kept")
    shown.add_section()
    for name, metric in report.shortcuts.items():
        words = "all file properties, cross-validated" if name == "all" else name
        shown.add_row(f"AUC of the label by {words}", _said(metric))
    return shown


def _thumbnail(path: Path) -> str:
    """Return the picture as a data URL of a small JPEG, or "" where it cannot be read."""
    try:
        radiograph = read(path)
    except RadiographError:
        return ""
    image = Image.fromarray(thumbnail(radiograph.pixels, radiograph.bits))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _figure(scan: Scan) -> str:
    source = "" if scan.error else _thumbnail(scan.item.path)
    picture = f'<img src="{source}" alt="{escape(scan.item.name)}">' if source else '<div class="none">no picture</div>'
    place = ", ".join(part for part in (scan.item.split, _label(scan.item.label)) if part)
    size = f"{scan.width} × {scan.height} px" if scan.width else escape(scan.error)
    words = f"{escape(scan.item.path.name)}<small>{escape(place)}</small><small>{size}</small>"
    return f'<figure title="{escape(scan.item.name)}">{picture}<figcaption>{words}</figcaption></figure>'


def _pictures(files: Sequence[Scan], most: int) -> str:
    more = f"<p>and {len(files) - most:,} more files</p>" if len(files) > most else ""
    return f'<div class="set">{"".join(_figure(scan) for scan in files[:most])}{more}</div>'


def _sets(title: str, explanation: str, sets: Sequence[Sequence[Scan]]) -> str:
    """Return a section with one box a radiograph, its files side by side."""
    if not sets:
        return ""
    boxes = "".join(_pictures(files, _MOST_FILES) for files in sets[:_MOST_SETS])
    more = f"<p>{len(sets) - _MOST_SETS:,} more are not shown.</p>" if len(sets) > _MOST_SETS else ""
    heading = f"<h2>{escape(title)} ({len(sets):,})</h2><p>{escape(explanation)}</p>"
    return f'{heading}<div class="sets">{boxes}</div>{more}'


def _gallery(title: str, explanation: str, files: Sequence[Scan]) -> str:
    """Return a section with all files in one box."""
    if not files:
        return ""
    heading = f"<h2>{escape(title)} ({len(files):,})</h2><p>{escape(explanation)}</p>"
    return heading + _pictures(files, _MOST_SHOWN)


def _one_a_name(radiographs: Iterable[Distinct]) -> list[list[Scan]]:
    """Return for each radiograph one file a family, so that copies by name do not crowd out the others."""
    return [list({scan.item.family: scan for scan in reversed(r.files)}.values())[::-1] for r in radiographs]


def _sections(report: AuditReport) -> str:
    leaks, contrary = _one_a_name(report.across_splits), _one_a_name(report.both_labels)
    told = {*report.across_splits, *report.both_labels}
    copied = _one_a_name(radiograph for radiograph in report.radiographs if radiograph not in told)
    return "".join(
        (
            _sets("Copies across splits", "Each box is one radiograph. A model would be tested on what it was "
                  "trained on; the cleaned manifest keeps the first file alone.", leaks),
            _sets("Copies with both labels", "Each box is one radiograph, called fractured in one file and not "
                  "fractured in another. The cleaned manifest leaves them out.", contrary),
            _sets("Copies under other names", "Each box is one radiograph. The cleaned manifest keeps the first file.",
                  [files for files in copied if len(files) > 1]),
            _gallery("Named a copy, but another picture", "Kept as radiographs of their own.", report.misnamed),
            _gallery("Cannot be read", "Left out of the cleaned manifest.", report.broken),
            _gallery("Filled at the bottom", "A decoder's filling for missing data; a model can learn it.",
                     report.filled),
            *(_examples(report, label) for label in (1, 0)),
        )
    )  # fmt: skip


def _examples(report: AuditReport, label: int) -> str:
    """Return a section with some of the kept radiographs of one class, from everywhere in the set."""
    kept = [radiograph.files[0] for radiograph in report.kept if radiograph.labels == (label,)]
    shown = kept[:: max(1, -(-len(kept) // (2 * _MOST_FILES)))]
    words = "All of them." if len(shown) == len(kept) else f"{len(shown)} of {len(kept):,}, evenly picked."
    title = f"Distinct radiographs, {_label(label)}"
    return f"<h2>{title}</h2><p>{words}</p>{_pictures(shown, len(shown))}" if shown else ""


def _html_table(rows: Iterable[tuple[Sequence[str], bool]], headings: Sequence[str] = ()) -> str:
    """Return rows of (cells, whether they tell of a fault) as a table; all cells but the first are numbers."""
    bad = {True: ' class="number bad"', False: ' class="number"'}
    head = "".join(f"<th{bad[False] if at else ''}>{escape(heading)}</th>" for at, heading in enumerate(headings))
    body = (
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td{bad[fault]}>{escape(cell)}</td>" for cell in others)
        + "</tr>"
        for (first, *others), fault in rows
    )
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{''.join(body)}</tbody></table>"


def _written(path: Path, content: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}). Give another folder with --out.") from error
    return path


def write_page(report: AuditReport, path: Path) -> Path:
    """Write the report as one HTML file with its pictures inside, which loads nothing from elsewhere; return ``path``.

    Raises ``DataError`` where the file cannot be written.
    """
    balance = [
        ((f"{split or 'no split'}, {_label(label)}", f"{files:,}", f"{distinct:,}"), False)
        for (split, label), (files, distinct) in report.balance().items()
    ]
    shortcuts = [
        (("all of them, cross-validated" if name == "all" else name, *_auc_and_interval(metric)), _tells(metric))
        for name, metric in report.shortcuts.items()
    ]
    found = _html_table(((what, count), fault) for what, count, fault in facts(report))
    title = f"Audit of {escape(report.root.name or str(report.root))}"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><style>{_STYLE}</style></head><body>'
        f'<h1>{title}</h1><p class="lead">{_lead(report)}</p>'
        f'<div class="tables"><section><h2>What was found</h2>{found}</section><section>'
        f"<h2>Balance</h2>{_html_table(balance, ('split and label', 'files', 'distinct, kept'))}"
        "<h2>Shortcuts</h2><p>AUC of the label by file properties alone, without the picture. 0.5 says nothing; far "
        "from it, a model can score without looking at the bone.</p>"
        f"{_html_table(shortcuts, ('property', 'AUC', '95 % interval'))}</section></div>"
        f"{_sections(report)}</body></html>\n"
    )
    return _written(path, page)


def write_manifest(report: AuditReport, path: Path) -> Path:
    """Write one row for each distinct radiograph with one label; return ``path``.

    ``image`` is relative to the manifest's own folder, so that folder can be trained from; ``files`` counts the copies.
    Raises ``DataError`` where the file cannot be written.
    """
    file = io.StringIO(newline="")
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    base = path.parent.resolve()
    for radiograph in report.kept:
        scan = radiograph.files[0]
        image = Path(os.path.relpath(scan.item.path.resolve(), base)).as_posix()
        rows.writerow(
            (image, radiograph.labels[0], scan.item.split, radiograph.group, scan.width, scan.height,
             len(radiograph.files), scan.sha256)
        )  # fmt: skip
    return _written(path, file.getvalue())
