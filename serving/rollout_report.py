"""Checking a staged version, and the report of it: a picture of the scores, and the record that promoting asks for."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export import registry
from serving.following import STABLE
from serving.rollout import Rollout
from serving.rollout_checked import folder_of, record_check
from serving.rollout_checks import (
    Outcome,
    Shadow,
    asking,
    check_golden,
    check_signature,
    check_smoke,
    input_size,
    shadow,
    shadow_pictures,
)
from serving.rollout_config import entry_of, parse
from serving.rollout_files import RolloutError, read_text, replace_bytes, replace_text
from serving.rollout_journal import Journal
from serving.rollout_server import ModelServer


@dataclass(frozen=True, eq=False)
class Report:
    """A check of ``version`` beside ``stable`` (None: nothing else is served); ``folder`` holds report and picture."""

    version: int
    stable: int | None
    outcomes: tuple[Outcome, ...]
    shadow: Shadow | None
    folder: str

    @property
    def passed(self) -> bool:
        """Whether the version may be promoted."""
        return all(outcome.passed for outcome in self.outcomes)

    def figures(self) -> dict[str, Any]:
        """Return what was found, for programs."""
        return {
            "stable": self.stable,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "shadow": self.shadow.figures() if self.shadow else None,
        }


def check(
    rollout: Rollout, version: int, *, pictures: Path | None = None, count: int = 32, tolerance: float | None = None
) -> Report:
    """Check a staged version and write the report; what fails is an outcome, not an error.

    ``tolerance`` is how far a golden case may be off; None leaves it to the version.

    Raises ``RolloutError`` where the version is not loaded, ``VersionError`` where its files are not what was
    published.
    """
    entry = entry_of(parse(read_text(rollout.config) or "", rollout.config), rollout.model, rollout.config)
    base = rollout.base or entry.base_path
    registry.verify(base, version)
    with ModelServer(rollout.server, rollout.model) as server:
        available = server.available()
        if version not in available:
            raise RolloutError(f"Version {version} is not loaded. Load it first: osteo rollout stage {version}")
        others = [number for number in available if number != version]
        stable = server.label(STABLE) or (others[-1] if others else None)
        beside = stable if stable in others else None
        outcomes, shadowed = _outcomes(server, base, version, beside, pictures, count, tolerance)
    folder = folder_of(Journal(rollout.config).folder, version)
    report = Report(version, beside, tuple(outcomes), shadowed, folder)
    if shadowed is not None and beside is not None:
        replace_bytes(f"{folder}/scores.png", _picture(shadowed, beside, version))
    replace_text(f"{folder}/report.md", markdown(report))
    record_check(Journal(rollout.config).folder, base, version, report.passed, report.figures())
    return report


def _outcomes(
    server: ModelServer,
    base: str,
    version: int,
    beside: int | None,
    pictures: Path | None,
    count: int,
    tolerance: float | None,
) -> tuple[list[Outcome], Shadow | None]:
    """Return the outcomes up to the first that makes the next ones pointless, and the shadow where it came to that."""
    signatures = server.signatures(version)
    before = server.signatures(beside) if beside is not None else None
    signature = check_signature(before, signatures)
    if not signature.passed:
        return [signature], None
    size, ask = input_size(signatures), asking(server, version)
    smoke = check_smoke(ask, size)
    if not smoke.passed:
        return [signature, smoke], None
    outcomes = [signature, smoke, check_golden(ask, base, version, size, tolerance)]
    if beside is None or before is None:
        return outcomes, None
    asks, sizes = (asking(server, beside), ask), (input_size(before), size)
    return outcomes, shadow(asks, sizes, shadow_pictures(pictures, count))


def markdown(report: Report) -> str:
    """Return the report as Markdown, which shows the picture beside it."""
    lines = [f"# Check of version {report.version}: {'passed' if report.passed else 'NOT passed'}", ""]
    lines += [
        f"- **{outcome.name}** {'passed' if outcome.passed else 'FAILED'}: {outcome.says}"
        for outcome in report.outcomes
    ]
    if report.shadow is not None:
        lines += [
            "",
            f"The same pictures to the stable version {report.stable}:",
            "",
            "| figure | value |",
            "|---|---|",
        ]
        lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in report.shadow.figures().items()]
        lines += ["", "![Scores of both versions](scores.png)"]
    return "\n".join(lines) + "\n"


def _picture(told: Shadow, stable: int, candidate: int) -> bytes:
    """Return a PNG: the candidate's score over the stable one's for each picture, with both versions' thresholds."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RolloutError("The report's picture needs matplotlib: pip install 'osteo-synergy[train]'") from error
    figure = Figure(figsize=(6.4, 6.4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    pairs = told.pairs
    changed = np.array([a.finding != b.finding for a, b in zip(told.stable, told.candidate, strict=True)])
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    levels = ((told.stable[0].suspicion_threshold, told.candidate[0].suspicion_threshold, ":", "suspicion"),
              (told.stable[0].fracture_threshold, told.candidate[0].fracture_threshold, "--", "fracture"))  # fmt: skip
    for across, up, style, name in levels:
        axes.axvline(across, color="0.6", linestyle=style, linewidth=1, label=f"threshold of {name}")
        axes.axhline(up, color="0.6", linestyle=style, linewidth=1)
    axes.scatter(
        pairs[~changed, 0],
        pairs[~changed, 1],
        s=26,
        color="#2b6cb0",
        alpha=0.8,
        label=f"same finding ({int(np.sum(~changed))})",
    )
    axes.scatter(
        pairs[changed, 0],
        pairs[changed, 1],
        s=34,
        color="#c53030",
        marker="X",
        label=f"other finding ({int(np.sum(changed))})",
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel(f"probability, stable version {stable}")
    axes.set_ylabel(f"probability, version {candidate}")
    figures = told.figures()
    axes.set_title(
        f"{figures['pictures']} pictures, findings agree on {figures['agreement']:.1%}, "
        f"latency × {figures['latency_ratio']:.2f}",
        fontsize=10,
    )
    axes.legend(loc="upper left", fontsize=8, framealpha=0.9)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()
