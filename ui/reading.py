"""One file to one typed result: the road that the page and ``osteo predict`` share.

    with FractureClient(target) as client:
        for result in Reader(client).read_files(paths):
            print(result.to_json())

Nothing raised while a file is read leaves this module: it becomes a ``Failure`` with a sentence, and the next file
is read.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from traceback import extract_tb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from export import contract
from radiograph import FrameNeeded, Geometry, Radiograph, RadiographError, prepare, read
from serving.client import BadRequest, ContractMismatch, FractureClient, InputSizeMismatch, Prediction, ServingError
from ui.archive import ArchiveError
from ui.sources import Failure as Failure
from ui.sources import FilePath, Source, unpack

log = logging.getLogger(__name__)

OUTSIDE_SCOPE: Final = (
    "This does not look like the limb radiographs the model knows, so its finding means nothing and none is given."
)


@dataclass(frozen=True, eq=False)
class Reading:
    """A file that was read: the picture, the model's answer and the way from the answer's heat map to the picture.

    ``source`` is where it was read from; ``milliseconds`` the time from opening the file to the answer; ``warnings``
    are sentences of the file and of the answer.
    """

    source: Source
    radiograph: Radiograph
    geometry: Geometry
    prediction: Prediction
    milliseconds: float

    @property
    def file(self) -> str:
        """The file as the caller named it."""
        return self.source.name

    @property
    def outside_scope(self) -> bool:
        """Whether the picture is too unlike the training images for any finding."""
        return self.prediction.novelty > contract.NOVELTY_LIMIT

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader of the finding should know, the gravest first."""
        return (*((OUTSIDE_SCOPE,) if self.outside_scope else ()), *self.radiograph.warnings)

    @property
    def heatmap(self) -> NDArray[np.float32]:
        """The heat map on the radiograph, float32 [height, width] in 0..1."""
        return self.geometry.heatmap_to_original(self.prediction.heatmap)

    def with_picture(self, picture: NDArray[np.uint8]) -> Reading:
        """Return the reading with a smaller picture, uint8 [height, width], in place of the file's own pixels.

        Sixteen megapixels become two or less, so that a study of many views can be kept.
        """
        height, width = picture.shape
        radiograph = replace(self.radiograph, pixels=picture, bits=8, overlay=None)
        return replace(self, radiograph=radiograph, geometry=replace(self.geometry, width=width, height=height))

    def to_dict(self) -> dict[str, object]:
        """Return the result for programs; ``finding`` is what was served, void where ``outside_scope`` is true."""
        prediction = self.prediction
        return {
            "file": self.file,
            "finding": prediction.finding,
            "probability": round(prediction.probability, 6),
            "thresholds": [round(prediction.suspicion_threshold, 6), round(prediction.fracture_threshold, 6)],
            "novelty": round(prediction.novelty, 4),
            "outside_scope": self.outside_scope,
            "model": prediction.model,
            "version": prediction.version,
            "label": prediction.label,
            "milliseconds": round(self.milliseconds, 1),
            "warnings": list(self.warnings),
        }

    def to_json(self) -> str:
        """Return ``to_dict`` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


Result = Reading | Failure


class Reader:
    """Reads files with the model behind ``client``; safe for any number of threads."""

    def __init__(self, client: FractureClient) -> None:
        self.client = client

    def read_files(self, paths: Iterable[FilePath], *, frame: int | None = None) -> Iterator[Result]:
        """Yield one result a file, in order, holding one picture at a time; archives are read member by member.

        ``frame`` (from 1) is the one that is read of each file.
        """
        for entry in unpack(Source(os.fspath(path), path) for path in paths).at_frame(frame).entries:
            yield entry if isinstance(entry, Failure) else self.read_source(entry)

    def read_file(self, path: FilePath, *, name: str | None = None) -> Result:
        """Return the result for one file, called ``name`` (by default its path); never raises."""
        return self.read_source(Source(name or os.fspath(path), path))

    def read_source(self, source: Source, *, study: str | None = None) -> Result:
        """Return the result for one source; never raises. A canary answers all sources of a ``study``, or none."""
        file = source.name
        started = time.perf_counter()
        try:
            radiograph = read(source.content(), frame=source.frame)
            geometry, prediction = self._predict(radiograph, study)
        except FrameNeeded as error:
            return Failure(file, error.sentence, error.code, frames=error.count)
        except (RadiographError, ArchiveError) as error:
            return Failure(file, error.sentence, error.code)
        except ServingError as error:
            lasting = isinstance(error, (BadRequest, ContractMismatch))
            return Failure(file, str(error), error.code, passing=not lasting)
        except MemoryError:
            return Failure(file, "There is not enough memory to read this file. Close other programs.", "out_of_memory")
        except Exception as error:
            # The message of an unforeseen error may quote the file, so only its kind and place are logged.
            last = extract_tb(error.__traceback__)[-1]
            log.error("reading_failed kind=%s at=%s:%s", type(error).__name__, last.name, last.lineno)
            return Failure(
                file,
                "The file could not be read for a reason this program does not know. Try it as PNG or JPEG.",
                "unexpected",
            )
        return Reading(source, radiograph, geometry, prediction, (time.perf_counter() - started) * 1e3)

    def _predict(self, radiograph: Radiograph, study: str | None) -> tuple[Geometry, Prediction]:
        """Prepare at the served size and predict; once more if the server has changed the size in between."""
        prepared = prepare(radiograph, self.client.info(study=study).input_size)
        try:
            (prediction,) = self.client.predict(prepared.image[None], study=study)
        except InputSizeMismatch:
            prepared = prepare(radiograph, self.client.info(study=study).input_size)
            (prediction,) = self.client.predict(prepared.image[None], study=study)
        return prepared.geometry, prediction
