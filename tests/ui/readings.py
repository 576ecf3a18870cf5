"""Readings without a server: real files, with an answer that the test chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export import contract
from radiograph import prepare, read
from serving.answer import Prediction
from ui.reading import Reading
from ui.sources import Source

THRESHOLDS = (0.06, 0.36)
SIZE = 64


def answered(path: Path, probability: float, novelty: float = 0.4, frame: int | None = None) -> Reading:
    """Return the reading of a file as a model would give it whose map points to one place, low on the left."""
    source = Source(path.name, path, frame=frame)
    radiograph = read(source.content(), frame=frame)
    rows, columns = np.mgrid[0:16, 0:16] / 16
    heatmap = np.exp(-((columns - 0.4) ** 2 + (rows - 0.7) ** 2) / 0.01).astype(np.float32) * np.float32(0.8)
    finding = contract.FINDINGS[sum(probability >= threshold for threshold in THRESHOLDS)]
    prediction = Prediction(probability, finding, *THRESHOLDS, heatmap, novelty, "fracture", 7, 3.0)
    return Reading(source, radiograph, prepare(radiograph, SIZE).geometry, prediction, 5.0)
