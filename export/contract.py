"""The served contract: what every version of the model promises to every caller.

This is the one place for the names of signatures, tensors and findings and for the schema of the model card.
It imports no TensorFlow, so that the client and the page can use it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

MODEL_NAME: Final = "fracture"

SIGNATURE_IMAGE: Final = "serving_default"
"""Takes ``image`` uint8 [N,S,S,1], made by ``radiograph.prepare``."""
SIGNATURE_BYTES: Final = "classify_bytes"
"""Takes ``image_bytes`` string [N]: whole JPEG or PNG files."""

INPUT_IMAGE: Final = "image"
INPUT_BYTES: Final = "image_bytes"

PROBABILITY: Final = "probability"
"""float32 [N], calibrated, 0..1."""
FINDING: Final = "finding"
"""string [N], one of ``FINDINGS``."""
THRESHOLDS: Final = "thresholds"
"""float32 [N,2]: suspicion, fracture."""
HEATMAP: Final = "heatmap"
"""float32 [N,H,W], 0..1, H = W >= S/16, zero where the input was padded."""
NOVELTY: Final = "novelty"
"""float32 [N]; 1.0 is the 99th percentile of the training images; above 1 is outside what the model knows."""
OUTPUTS: Final = (PROBABILITY, FINDING, THRESHOLDS, HEATMAP, NOVELTY)

NO_FRACTURE: Final = "no fracture seen"
SUSPICION: Final = "suspicion"
FRACTURE: Final = "fracture"
FINDINGS: Final = (NO_FRACTURE, SUSPICION, FRACTURE)
"""From the weakest to the strongest."""

NOVELTY_LIMIT: Final = 1.0

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""What a version is asked to compute in; "auto" leaves it to measuring (``export.precision``)."""
CARD_PATH: Final = Path("assets.extra") / "model_card.json"
WARMUP_PATH: Final = Path("assets.extra") / "tf_serving_warmup_requests"


class CardError(Exception):
    """A model card is missing, or is not one of ours."""


@dataclass(frozen=True)
class Metric:
    """One figure with the number of cases behind it and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class DataSource:
    """One data set the model was trained on; ``sha256`` is that of its manifest."""

    name: str
    licence: str
    images: int
    sha256: str
    citation: str = ""


@dataclass(frozen=True)
class CalibrationBin:
    """The share of fractured among the test radiographs whose probability lies in ``low``..``high``.

    ``fractured`` carries their number and Wilson's interval; ``high`` itself belongs to the next bin, 1.0 to the last.
    """

    low: float
    high: float
    fractured: Metric

    def holds(self, probability: float) -> bool:
        """Return whether a probability lies in this bin."""
        return self.low <= probability < self.high or probability == self.high == 1.0


@dataclass(frozen=True)
class Companion:
    """A further network of a version that serves the mean of several: the file of its weights, and its recipe."""

    weights_sha256: str
    recipe: dict[str, Any]


@dataclass(frozen=True)
class ModelCard:
    """What a version says of itself; written to ``assets.extra/model_card.json``.

    ``thresholds`` are (suspicion, fracture) as calibrated probabilities; ``temperature`` and ``bias`` are the
    calibration ``sigmoid(logit / temperature + bias)``; ``metrics`` maps ``"<data set>/<split>/<figure>"`` to a
    ``Metric``; ``region_rule`` is how regions are cut from the heat map (``radiograph.regions.RegionRule``);
    ``recipe`` names the preprocessing and training configuration; ``git`` is the commit of the code that exported it;
    ``calibration`` counts test radiographs by their probability (empty on older cards); ``mirrored`` says that each
    picture is read together with its mirror image; ``companions`` are the networks beside that of ``recipe`` and
    ``weights_sha256`` where the mean of several is served.
    """

    name: str
    backbone: str
    input_size: int
    heatmap_size: int
    preprocessing: str
    thresholds: tuple[float, float]
    temperature: float
    bias: float
    precision: str
    git: str
    created: str
    sources: tuple[DataSource, ...]
    metrics: dict[str, Metric]
    recipe: dict[str, Any]
    intended_use: str
    limits: tuple[str, ...]
    split: str = ""
    weights_sha256: str = ""
    region_rule: dict[str, Any] = field(default_factory=dict)
    calibration: tuple[CalibrationBin, ...] = ()
    mirrored: bool = False
    companions: tuple[Companion, ...] = ()

    def to_json(self) -> str:
        """Return the card as indented JSON text that ``from_json`` reads back to an equal card."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Return the card written by ``to_json``; raise ``CardError`` on text that is not such a card."""
        try:
            raw = json.loads(text)
            known = {f.name for f in fields(cls)}
            unknown = set(raw) - known
            if unknown:
                raise CardError(f"The model card has fields this program does not know: {', '.join(sorted(unknown))}.")
            raw["thresholds"] = tuple(raw["thresholds"])
            raw["limits"] = tuple(raw["limits"])
            raw["sources"] = tuple(DataSource(**source) for source in raw["sources"])
            raw["metrics"] = {key: Metric(**metric) for key, metric in raw["metrics"].items()}
            raw["calibration"] = tuple(
                CalibrationBin(entry["low"], entry["high"], Metric(**entry["fractured"]))
                for entry in raw.get("calibration", ())
            )
            raw["companions"] = tuple(Companion(**entry) for entry in raw.get("companions", ()))
            return cls(**raw)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CardError(f"This is not a model card of this program: {error}.") from error


def read_card(version_dir: Path) -> ModelCard:
    """Return the card of the exported version in ``version_dir``; raise ``CardError`` where there is none."""
    path = version_dir / CARD_PATH
    try:
        return ModelCard.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CardError(
            f"{version_dir} has no readable model card ({CARD_PATH}); was it made by osteo export?"
        ) from error
