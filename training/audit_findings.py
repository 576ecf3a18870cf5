"""What an audit found, as figures: distinct radiographs with all their files, copies, leaks, balance, shortcuts."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.audit_files import Scan
from training.metrics import Metric


@dataclass(frozen=True)
class Distinct:
    """One radiograph: every file that shows it, the one to keep first; ``group`` joins it with its relatives."""

    files: tuple[Scan, ...]
    group: str

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits its files stand in, sorted."""
        return tuple(sorted({scan.item.split for scan in self.files}))

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels its files carry, sorted."""
        return tuple(sorted({scan.item.label for scan in self.files if scan.item.label is not None}))


@dataclass(frozen=True)
class AuditReport:
    """What the audit of ``root`` found; ``radiographs`` are the distinct ones, in the order of their first files.

    ``files`` counts the pictures looked at, ``families`` the sets of names equal but for marks of copying, ``near`` the
    sets that only looking at the pictures joined; ``shortcuts`` are AUCs of the label by file properties alone.
    """

    root: Path
    files: int
    families: int
    broken: tuple[Scan, ...]
    radiographs: tuple[Distinct, ...]
    exact: tuple[tuple[Scan, ...], ...]
    misnamed: tuple[Scan, ...]
    filled: tuple[Scan, ...]
    near: int
    shortcuts: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def distinct(self) -> int:
        """How many different radiographs the readable files show."""
        return len(self.radiographs)

    @property
    def across_splits(self) -> tuple[Distinct, ...]:
        """Radiographs that stand in more than one split: they leak."""
        return tuple(radiograph for radiograph in self.radiographs if len(radiograph.splits) > 1)

    @property
    def both_labels(self) -> tuple[Distinct, ...]:
        """Radiographs called fractured in one file and normal in another."""
        return tuple(radiograph for radiograph in self.radiographs if len(radiograph.labels) > 1)

    @property
    def groups_across_splits(self) -> tuple[str, ...]:
        """Groups, given or found, with files in more than one split."""
        splits: dict[str, set[str]] = defaultdict(set)
        for radiograph in self.radiographs:
            splits[radiograph.group].update(radiograph.splits)
        return tuple(sorted(group for group, found in splits.items() if len(found) > 1))

    @property
    def kept(self) -> tuple[Distinct, ...]:
        """Radiographs of the cleaned manifest: those with one label."""
        return tuple(radiograph for radiograph in self.radiographs if len(radiograph.labels) == 1)

    def balance(self) -> dict[tuple[str, int | None], tuple[int, int]]:
        """Return for each (split, label) the number of readable files, and of the distinct radiographs kept there."""
        files = Counter((s.item.split, s.item.label) for r in self.radiographs for s in r.files)
        distinct: Counter[tuple[str, int | None]] = Counter((r.files[0].item.split, r.labels[0]) for r in self.kept)
        return {key: (files[key], distinct[key]) for key in sorted(files, key=str)}

    @property
    def imbalance(self) -> float:
        """How many kept radiographs of the commoner class stand against one of the rarer; NaN where one has none."""
        fractured = sum(radiograph.labels == (1,) for radiograph in self.kept)
        fewer, more = sorted((fractured, len(self.kept) - fractured))
        return more / fewer if fewer else math.nan

    def json_line(self) -> str:
        """Return the figures of the report as one line of JSON."""
        figures = {
            "files": self.files,
            "broken": len(self.broken),
            "families": self.families,
            "distinct": self.distinct,
            "exact_copies": sum(len(same) - 1 for same in self.exact),
            "near_copies_found_by_content": self.near,
            "copies_across_splits": len(self.across_splits),
            "copies_with_both_labels": len(self.both_labels),
            "groups_across_splits": len(self.groups_across_splits),
            "misnamed": len(self.misnamed),
            "filled": len(self.filled),
            "kept": len(self.kept),
            "balance": {f"{split or 'all'}/{label}": counts for (split, label), counts in self.balance().items()},
            "imbalance": None if math.isnan(self.imbalance) else round(self.imbalance, 3),
            "shortcuts": {
                name: None if math.isnan(m.value) else [round(m.value, 4), round(m.low, 4), round(m.high, 4), m.n]
                for name, m in self.shortcuts.items()
            },
        }
        return json.dumps(figures, ensure_ascii=False)
