"""BentoML on the same SavedModel, with its batching: `bentoml serve serving.bench.peer_bentoml:Fracture`.

It takes no plain body where it batches, so a picture is base64 inside JSON: {"pictures": ["…"]}. The version's folder
stands in the environment, for BentoML imports this module in workers of its own.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Final

import bentoml
import numpy as np

from serving.bench.peer_servers import MAX_BATCH, all_told, load, pixels, side_of

VERSION_VARIABLE: Final = "OSTEO_BENCH_VERSION"


@bentoml.service(workers=1)
class Fracture:
    """One worker with the model."""

    def __init__(self) -> None:
        version = Path(os.environ[VERSION_VARIABLE])
        self.run, self.side = load(version), side_of(version)

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH)  # type: ignore[untyped-decorator]
    def predict(self, pictures: list[str]) -> list[dict[str, Any]]:
        """Return the outputs of each picture."""
        return all_told(self.run(np.stack([pixels(base64.b64decode(picture), self.side) for picture in pictures])))
