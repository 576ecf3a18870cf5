"""Audit of a data set: what is broken, what is a copy of what, what leaks between splits, what shortcuts it offers.

``osteo data audit DIR --out OUT`` writes ``OUT/audit.html`` (to look at) and ``OUT/manifest.csv`` (to train from:
one file a distinct radiograph, with groups), and prints a table and one line of JSON. The data set is only read.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.audit_copies import Advance, all_rings, candidates, components, exact_copies, matched_pairs, sure_links
from training.audit_files import Item, Scan, families, find, scan_family
from training.audit_findings import AuditReport, Distinct
from training.audit_page import table, write_manifest, write_page
from training.baselines import FEATURES, Split, shortcut_auc
from training.metrics import Metric, auc, undefined

HELD_OUT: Final = ("test", "val", "", "train")
"""Where a radiograph that stands in several splits is kept: where it is needed most, out of training."""
LEAST_FILL: Final = 0.02


def audit(path: Path, *, console: Console | None = None, workers: int | None = None) -> AuditReport:
    """Return the audit of a folder tree, or of a manifest; ``console`` shows progress where given.

    Raises ``DataError`` where there is nothing to audit; a file that cannot be read is part of the report.
    """
    items = find(path)
    named = families(items)
    count = workers or min(8, os.cpu_count() or 1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console or Console(quiet=True), transient=True) as progress:

        def bar(words: str, total: int) -> Advance:
            task = progress.add_task(words, total=total)
            return lambda steps: progress.advance(task, steps)

        advance = bar("Reading files", len(items))

        def examined(members: list[Item]) -> list[Scan]:
            found = scan_family(members)
            advance(len(members))
            return found

        with ThreadPoolExecutor(count) as pool:
            scans = [scan for family in pool.map(examined, named) for scan in family]
        links, near = _near_links(scans, count, bar)
    return _report(path, scans, links, near, len(named))


def _near_links(
    scans: Sequence[Scan], workers: int, bar: Callable[[str, int], Advance]
) -> tuple[list[tuple[int, int]], int]:
    """Return all pairs of scans that are one radiograph, and how many distinct sets only looking joined."""
    links = sure_links(scans)
    sets = components(len(scans), links)
    # One picture stands for each set already known to be one radiograph.
    looked = list(
        {int(sets[i]): i for i, scan in reversed(list(enumerate(scans))) if scan.picture is not None}.values()
    )
    pictures = [picture for i in looked if (picture := scans[i].picture) is not None]
    around = all_rings(pictures, workers, bar("Describing", len(pictures)))
    pairs = candidates(pictures, around, workers, bar("Looking for copies", len(pictures)))
    matches = matched_pairs(pictures, around, pairs, workers, bar("Comparing closely", len(pairs)))
    more = [(looked[a], looked[b]) for a, b, _ in matches]
    near = len(np.unique(sets)) - len(np.unique(components(len(scans), links + more)))
    return links + more, near


def _report(path: Path, scans: Sequence[Scan], links: list[tuple[int, int]], near: int, named: int) -> AuditReport:
    sets = components(len(scans), links)
    first: dict[str, int] = {}
    given = [(first.setdefault(s.item.group, i), i) for i, s in enumerate(scans) if s.item.group and not s.error]
    groups = components(len(scans), links + given)
    members: dict[int, list[int]] = defaultdict(list)
    for index, scan in enumerate(scans):
        if not scan.error:
            members[int(sets[index])].append(index)
    numbers = {
        int(group): f"g{n:05d}" for n, group in enumerate(dict.fromkeys(int(groups[m[0]]) for m in members.values()))
    }
    light = [replace(scan, picture=None) for scan in scans]
    radiographs = tuple(
        Distinct(tuple(sorted((light[i] for i in indices), key=_keep_first)), numbers[int(groups[indices[0]])])
        for indices in members.values()
    )
    return AuditReport(
        root=path,
        files=len(scans),
        families=named,
        broken=tuple(scan for scan in light if scan.error),
        radiographs=radiographs,
        exact=tuple(tuple(same) for same in exact_copies(light)),
        misnamed=tuple(scan for scan in light if scan.misnamed),
        filled=tuple(scan for scan in light if scan.fill >= LEAST_FILL),
        near=near,
        shortcuts=_shortcuts(radiographs),
    )


def _keep_first(scan: Scan) -> tuple[int, int, int, str]:
    """Order files of one radiograph: held out before training, then the largest picture, then the shortest name."""
    return HELD_OUT.index(scan.item.split), -scan.width * scan.height, len(scan.item.name), scan.item.name


def _shortcuts(radiographs: Sequence[Distinct]) -> dict[str, Metric]:
    """Return the AUC of the label by all file properties (cross-validated) and by each alone, over readable files."""
    rows = [
        (scan.width, scan.height, scan.size, scan.mean, scan.spread, scan.item.label, radiograph.group)
        for radiograph in radiographs
        for scan in radiograph.files
        if scan.item.label is not None
    ]
    if not rows:
        return {"all": undefined(0)}
    features = np.array([row[:5] for row in rows], dtype=np.float64)
    labels = np.array([row[5] for row in rows], dtype=np.int64)
    groups = np.array([row[6] for row in rows])
    alone = {name: auc(labels, features[:, i], groups) for i, name in enumerate(FEATURES)}
    return {"all": shortcut_auc(Split(features, labels, groups)), **alone}


def run_audit(directory: Path, out: Path, console: Console) -> AuditReport:
    """Audit ``directory``, print the table and the line of JSON, write the page and the manifest into ``out``.

    Raises ``DataError`` where there is nothing to audit or ``out`` cannot be written.
    """
    report = audit(directory, console=console)
    page, manifest = write_page(report, out / "audit.html"), write_manifest(report, out / "manifest.csv")
    console.print(table(report))
    console.print(f"To look at: {page}\nTo train from, one file a radiograph: {manifest}", soft_wrap=True)
    console.print(report.json_line(), soft_wrap=True, highlight=False, markup=False)
    return report
