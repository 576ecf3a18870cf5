"""What a reader without eyes would score, by file properties or the body region: a model must beat its shortcuts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.metrics import Floats, Groups, Labels, Metric, auc, one_class, undefined

_LEAST_GROUPS: Final = 10
FEATURES: Final = ("width", "height", "file bytes", "mean brightness", "brightness spread")


def describe(path: Path) -> tuple[float, float, float, float, float]:
    """Return width, height, file bytes, mean and standard deviation of the grey values (0..255) of one image file.

    Raises ``OSError`` for a file that Pillow cannot decode.
    """
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"), dtype=np.float32)
        width, height = image.size
    return float(width), float(height), float(path.stat().st_size), float(grey.mean()), float(grey.std())


@dataclass(frozen=True)
class Split:
    """One side of a baseline: what is known of each case [N, F] (numbers, or names), its label and its group."""

    features: NDArray[np.generic]
    labels: Labels
    groups: Groups


def metadata_of(paths: Sequence[Path], cache: Path | None = None) -> Floats:
    """Return ``describe`` of each path as float64 [N, 5], from the folder ``cache`` where it holds these files.

    The cache knows a file by path, size and time of change. Raises ``OSError`` as ``describe`` does.
    """
    store = cache / f"metadata-{_fingerprint(paths)}.npy" if cache else None
    if store is not None and store.is_file():
        return np.asarray(np.load(store), dtype=np.float64)
    found = np.array([describe(path) for path in paths], dtype=np.float64).reshape(len(paths), len(FEATURES))
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        partial = store.with_suffix(".partial.npy")
        np.save(partial, found)
        partial.replace(store)
    return found


def _fingerprint(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _linear() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))


def _trees(cases: int) -> ClassifierMixin:
    # Small leaves would learn single files by heart, but a leaf of 20 leaves a small set no shortcut to find.
    leaf = min(20, max(2, cases // 20))
    return GradientBoostingClassifier(max_depth=3, subsample=0.5, min_samples_leaf=leaf, random_state=0)


def _named() -> Pipeline:
    encoder = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(encoder, LogisticRegression(max_iter=1000, class_weight="balanced"))


def metadata_baselines(train: Split, test: Split) -> dict[str, Metric]:
    """Return the test AUC of a logistic regression and of boosted trees that know the file properties alone."""
    return {
        "metadata, linear": _trained(_linear(), train, test),
        "metadata, boosted trees": _trained(_trees(len(train.labels)), train, test),
    }


def named_baseline(train: Split, test: Split) -> Metric:
    """Return the test AUC of a logistic regression on named features (region; region and hardware) alone."""
    return _trained(_named(), train, test)


def _trained(model: Pipeline | ClassifierMixin, train: Split, test: Split) -> Metric:
    if one_class(train.labels) or one_class(test.labels):
        return undefined(len(test.labels))
    model.fit(train.features, train.labels)
    return auc(test.labels, model.predict_proba(test.features)[:, 1], test.groups)


def shortcut_auc(data: Split, folds: int = 5) -> Metric:
    """Return the cross-validated AUC of boosted trees on the file properties, groups kept whole.

    Scores of different folds are ranked within their fold first, so that no fold's level leaks into the figure.
    Undefined below ten groups of each label, where leaving some out tilts the rest and the figure misleads.
    """
    if min(len(np.unique(data.groups[data.labels == label])) for label in (0, 1)) < _LEAST_GROUPS:
        return undefined(len(data.labels))
    scores = np.full(len(data.labels), np.nan)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=0)
    for train, test in splitter.split(data.features, data.labels, data.groups):
        if one_class(data.labels[train]):
            return undefined(len(data.labels))
        model = _trees(len(train)).fit(data.features[train], data.labels[train])
        raw = model.predict_proba(data.features[test])[:, 1]
        scores[test] = np.searchsorted(np.sort(raw), raw, side="left") / len(raw)
    return auc(data.labels, scores, data.groups)
