"""The models as HTML: the versions in a table, and one version's card with its figures; foreign words escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from export import contract
from ui import figures
from ui.models import Models, Version
from ui.signs import escape, sentence
from ui.words import count, percent

NO_CARD: Final = (
    "No model card is at hand for this version. Start the page with `osteo ui --card FOLDER`, the folder of the "
    "versions, to see how good it is."
)
NAMES: Final = {
    "auc": "ROC AUC",
    "average_precision": "Average precision",
    "sensitivity_at_suspicion": "Sensitivity at suspicion",
    "specificity_at_suspicion": "Specificity at suspicion",
    "sensitivity_at_fracture": "Sensitivity at fracture",
    "specificity_at_fracture": "Specificity at fracture",
    "ece": "Calibration error (ECE)",
    "brier": "Brier score",
    "pointing_game": "Heat map’s maximum inside a true box",
    "map50": "mAP50 of regions",
    "flagged": "Limb radiographs called outside the scope",
}
"""Figures that everybody should see, in this order; all others stand behind a switch."""
COLUMNS: Final = {
    "auc": "AUC",
    "sensitivity_at_suspicion": "Sens. at suspicion",
    "specificity_at_fracture": "Spec. at fracture",
}
_PREDICTIVE: Final = re.compile(r"([pn])pv_at_(\w+)_prevalence_(\d+)%")


def versions(models: Models, picked: Version | None) -> str:
    """Return the versions as a table whose rows can be chosen, or the sentence that says why there is none."""
    if models.fault:
        return f'<p class="fault" role="status">{sentence(models.fault)}</p>'
    rows = "".join(_line(version, version is picked) for version in models.versions)
    heads = "".join(f'<th scope="col" class="number">{title}</th>' for title in COLUMNS.values())
    canary = (
        f'<p class="note">The version labelled canary answers {models.canary_percent:g} % of the studies.</p>'
        if models.canary_percent
        else ""
    )
    return (
        f'<div class="wide"><table class="results"><caption>{count(len(models.versions), "version")} of the model '
        f'{escape(models.name)}</caption><thead><tr><th scope="col">Version</th><th scope="col">State</th>'
        f'<th scope="col">Labels</th><th scope="col">Made</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{canary}"
    )


def details(version: Version | None) -> str:
    """Return a version's card: what it is, its thresholds, figures with intervals, plots, data and limits."""
    if version is None:
        return ""
    title = f"<h2>Version {version.number}</h2>"
    card = version.card
    if card is None:
        return f'<section class="model">{title}<p>{sentence(NO_CARD)}</p></section>'
    suspicion, fracture = card.thresholds
    facts = {
        "Network": f"{card.backbone}, {card.input_size} × {card.input_size} px",
        "Made": f"{card.created[:10]}, code {card.git}",
        # what else was tried, and how that did, is for the card alone
        "Precision": card.precision.partition(";")[0],
        "Suspicion from": percent(suspicion),
        "Fracture from": percent(fracture),
        "Split": card.split,
    }
    told = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items() if value)
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in card.limits)
    return (
        f'<section class="model" aria-label="Version {version.number}">{title}'
        f'<p>{escape(card.intended_use)}</p><dl class="facts">{told}</dl>{_plots(card)}{_metrics(card.metrics)}'
        f"<h3>Trained on</h3>{_sources(card)}<h3>Limits</h3><ul>{limits}</ul></section>"
    )


def figure_name(key: str) -> str:
    """Return the name of a figure of a model card in words."""
    predictive = _PREDICTIVE.fullmatch(key)
    if predictive:
        kind = "Positive" if predictive[1] == "p" else "Negative"
        return f"{kind} predictive value at {predictive[2]}, {predictive[3]} % prevalence"
    if key.endswith("_uncalibrated"):
        return f"{figure_name(key.removesuffix('_uncalibrated'))} before calibration"
    return NAMES.get(key, key.replace("_", " ").capitalize())


def _line(version: Version, picked: bool) -> str:
    card = version.card
    metrics = {key.rpartition("/")[2]: m for key, m in card.metrics.items() if "/test/" in key} if card else {}
    cells = "".join(
        f'<td class="number">{f"{metrics[key].value:.3f}" if key in metrics else "–"}</td>' for key in COLUMNS
    )
    current = ' aria-current="true"' if picked else ""
    return (
        f'<tr{" class=chosen" if picked else ""}><td><button type="button" data-index="{version.number}"{current}>'
        f"Version {version.number}</button></td><td>{escape(version.state)}</td>"
        f"<td>{escape(', '.join(version.labels)) or '–'}</td><td>{escape(card.created[:10]) if card else '–'}</td>"
        f"{cells}</tr>"
    )


def _plots(card: contract.ModelCard) -> str:
    reliability, roc = figures.reliability(card), figures.roc(card)
    parts = []
    if reliability:
        parts.append(
            f"<figure>{reliability}<figcaption><b>Reliability.</b> Line: share of fractured among test radiographs of "
            "this stated probability; band: its 95 % interval. On the diagonal a probability means what it says."
            "</figcaption></figure>"
        )
    if roc:
        curve = (
            "Line: the curve at the edges of the card’s ranges of probability."
            if figures.roc_points(card.calibration)
            else "The card holds no counts by probability, so the curve between them is not drawn."
        )
        parts.append(
            f"<figure>{roc}<figcaption><b>ROC.</b> Signs: the operating points, with 95 % intervals as arms. {curve}"
            "</figcaption></figure>"
        )
    missing = (
        ""
        if reliability
        else '<p class="note">This card was made before cards counted fractures by probability, so there is no '
        "reliability plot.</p>"
    )
    return f'<div class="plots">{"".join(parts)}</div>{missing}' if parts or missing else ""


def _metrics(metrics: Mapping[str, contract.Metric]) -> str:
    """Return a table a data set and split: first the figures everybody should see, the others behind a switch."""
    groups: dict[str, dict[str, contract.Metric]] = {}
    for key, metric in metrics.items():
        place, _, figure = key.rpartition("/")
        groups.setdefault(place, {})[figure] = metric
    told = ""
    for place, found in groups.items():
        first = {key: found[key] for key in NAMES if key in found}
        others = {key: metric for key, metric in found.items() if key not in first}
        name, _, split = place.rpartition("/")
        told += f"<h3>On {escape(name)}, {escape(split)} split</h3>{_table(first)}"
        if others:
            told += f"<details><summary>{count(len(others), 'more figure')}</summary>{_table(others)}</details>"
    return told


def _table(found: Mapping[str, contract.Metric]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(figure_name(key))}</th><td class="number">{metric.value:.3f}</td>'
        f'<td class="number">{metric.low:.3f} to {metric.high:.3f}</td><td class="number">{metric.n}</td></tr>'
        for key, metric in found.items()
    )
    return (
        '<div class="wide"><table class="results metrics"><thead><tr><th scope="col">Figure</th>'
        '<th scope="col" class="number">Value</th><th scope="col" class="number">95 % interval</th>'
        f'<th scope="col" class="number">n</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _sources(card: contract.ModelCard) -> str:
    rows = "".join(
        f"<li>{escape(source.name)}, {count(source.images, 'radiograph')}, licence: {escape(source.licence)}"
        f"{f'. {escape(source.citation)}' if source.citation else ''}</li>"
        for source in card.sources
    )
    return f"<ul>{rows}</ul>"
