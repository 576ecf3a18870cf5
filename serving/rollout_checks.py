"""Is a staged version fit to serve? Its signature, sane answers, its golden cases, and the stable version beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export import contract, registry
from export.golden import GOLDEN, drawn_pictures, drawn_radiographs, heatmap_digest, read_golden
from radiograph import Radiograph, RadiographError, prepare, read
from serving.answer import Prediction, predictions
from serving.api import types_pb2
from serving.errors import ContractMismatch, ServingError
from serving.rollout_files import RolloutError
from serving.rollout_server import ModelServer
from serving.tensor_proto import uint8_tensor

PREDICT_SECONDS: Final = 120.0
REPEATABLE: Final = 1e-6
SHADOW_SEED: Final = 9000
_FREE_SIZES: Final = (contract.INPUT_IMAGE, contract.HEATMAP)
"""Aliases whose size in pixels or cells a version may choose: clients take it from the served metadata."""


@dataclass(frozen=True)
class Outcome:
    """One part of a check: ``says`` is a sentence, for a failed one what is wrong."""

    name: str
    passed: bool
    says: str


@dataclass(frozen=True, eq=False)
class Shadow:
    """The same N pictures to stable and candidate: probabilities float [N], thresholds, findings, times in ms [N]."""

    stable: tuple[Prediction, ...]
    candidate: tuple[Prediction, ...]

    @property
    def pairs(self) -> NDArray[np.float64]:
        """Both probabilities, float64 [N,2]: stable, candidate."""
        both = zip(self.stable, self.candidate, strict=True)
        return np.array([[first.probability, second.probability] for first, second in both])

    def figures(self) -> dict[str, float | int]:
        """Return agreement, shift of the scores, flips across both thresholds and the ratio of median latencies."""
        shift = np.diff(self.pairs, axis=1)[:, 0]
        same = [a.finding == b.finding for a, b in zip(self.stable, self.candidate, strict=True)]
        latency = [statistics.median(p.milliseconds for p in side) for side in (self.stable, self.candidate)]
        found: dict[str, float | int] = {
            "pictures": len(same),
            "agreement": round(float(np.mean(same)), 4),
            "mean_shift": round(float(np.mean(shift)), 4),
            "largest_shift": round(float(np.max(np.abs(shift))), 4),
            "latency_ratio": round(latency[1] / latency[0], 3),
        }
        for name, at in _LEVELS.items():
            before, after = ([at(p) for p in side] for side in (self.stable, self.candidate))
            found[f"up_across_{name}"] = sum(b and not a for a, b in zip(before, after, strict=True))
            found[f"down_across_{name}"] = sum(a and not b for a, b in zip(before, after, strict=True))
        return found


_LEVELS: Final[Mapping[str, Callable[[Prediction], bool]]] = {
    "suspicion": lambda p: p.probability >= p.suspicion_threshold,
    "fracture": lambda p: p.probability >= p.fracture_threshold,
}


def check_signature(stable: Mapping[str, Any] | None, candidate: Mapping[str, Any]) -> Outcome:
    """Compare the candidate's SignatureDefs with the stable version's; more signatures or outputs are no fault."""
    if stable is None:
        return Outcome(
            "signature", contract.SIGNATURE_IMAGE in candidate, "There is no stable version to compare with."
        )
    faults: list[str] = []
    notes: list[str] = []
    for name, before in sorted(stable.items()):
        if name not in candidate:
            faults.append(f"{name} is missing")
            continue
        after = candidate[name]
        for side, old, new in (("input", before.inputs, after.inputs), ("output", before.outputs, after.outputs)):
            faults += [f"{name} has no {side} {alias}" for alias in sorted(set(old) - set(new))]
            surplus = sorted(set(new) - set(old))
            (faults if side == "input" else notes).extend(f"{name} has a new {side} {alias}" for alias in surplus)
            for alias in sorted(set(old) & set(new)):
                was, now = _shown(old[alias]), _shown(new[alias])
                free = alias in _FREE_SIZES and _kind(old[alias]) == _kind(new[alias])
                if was != now:
                    (notes if free else faults).append(f"{name}'s {side} {alias} was {was} and is {now}")
    if faults:
        return Outcome("signature", False, "It differs from the stable version's: " + "; ".join(faults) + ".")
    return Outcome("signature", True, "As the stable version's" + (": " + "; ".join(notes) if notes else "") + ".")


def check_smoke(ask: Callable[[NDArray[np.uint8]], Prediction], size: int) -> Outcome:
    """Ask about a broken and a whole phantom, black and white, each twice: finite, in range, the same again."""
    flat = [np.full((size, size, 1), level, np.uint8) for level in (0, 255)]
    images = [*drawn_pictures(size, 2, first_seed=1), *flat]
    for image in images:
        try:
            first, again = ask(image), ask(image)
        except ContractMismatch as error:
            return Outcome("smoke", False, str(error))
        moved = float(np.max(np.abs(_numbers(first) - _numbers(again))))
        if not np.isfinite(_numbers(first)).all():
            return Outcome("smoke", False, "An answer holds values that are not finite.")
        if moved > REPEATABLE:
            return Outcome("smoke", False, f"The same picture was answered in two ways, {moved:.2g} apart.")
    return Outcome("smoke", True, f"{len(images)} pictures, finite, in range, the same again.")


def check_golden(
    ask: Callable[[NDArray[np.uint8]], Prediction], base: str, version: int, size: int, tolerance: float | None
) -> Outcome:
    """Ask about the cases recorded at export; none of the answers may be further off than ``tolerance``.

    None stands for what the version itself allows.
    """
    try:
        golden = read_golden(registry.read_file(base, version, GOLDEN))
    except FileNotFoundError:
        return Outcome("golden", True, "Not compared: this version was exported without golden cases.")
    except ValueError as error:
        return Outcome("golden", False, f"{GOLDEN} cannot be read: {error}.")
    if golden.images.shape[1] != size:
        return Outcome("golden", False, f"Recorded at {golden.images.shape[1]} px, but the model takes {size} px.")
    allowed = golden.tolerance if tolerance is None else tolerance
    off = 0.0
    for place, image in enumerate(golden.images):
        try:
            told = ask(image)
        except ContractMismatch as error:
            return Outcome("golden", False, str(error))
        pairs = (
            (told.probability, golden.probability[place]),
            (told.novelty, golden.novelty[place]),
            (heatmap_digest(told.heatmap), golden.heatmap[place]),
        )
        off = max(off, *(float(np.max(np.abs(now - then))) for now, then in pairs))
    says = f"{len(golden.images)} cases, at most {off:.2g} from what was recorded at export"
    if off > allowed:
        return Outcome("golden", False, f"{says}; {allowed:g} is allowed. Is it served in another precision?")
    return Outcome("golden", True, f"{says} ({allowed:g} is allowed).")


def shadow(
    asks: Sequence[Callable[[NDArray[np.uint8]], Prediction]], sizes: Sequence[int], pictures: Sequence[Radiograph]
) -> Shadow:
    """Return the answers of stable and candidate to the same pictures, each prepared at its own size, in turn."""
    told: tuple[list[Prediction], list[Prediction]] = ([], [])
    for picture in pictures:
        for ask, size, answers in zip(asks, sizes, told, strict=True):
            answers.append(ask(prepare(picture, size).image))
    return Shadow(tuple(told[0]), tuple(told[1]))


def shadow_pictures(folder: Path | None, count: int) -> list[Radiograph]:
    """Return the first ``count`` radiographs under ``folder``, or as many phantoms; raise ``RolloutError`` for none."""
    if folder is None:
        return drawn_radiographs(count, SHADOW_SEED)
    pictures: list[Radiograph] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if len(pictures) == count:
            break
        try:
            pictures.append(read(path))
        except RadiographError:
            continue
    if not pictures:
        raise RolloutError(f"{folder} holds no radiograph that can be read. Name another folder with --pictures.")
    return pictures


def asking(server: ModelServer, version: int) -> Callable[[NDArray[np.uint8]], Prediction]:
    """Return a function that asks one version about one prepared picture, uint8 [S,S,1]."""

    def ask(image: NDArray[np.uint8]) -> Prediction:
        started = time.perf_counter()
        tensor = uint8_tensor(image[None])
        response = server.predict(version, contract.SIGNATURE_IMAGE, contract.INPUT_IMAGE, tensor, PREDICT_SECONDS)
        return predictions(response, count=1, milliseconds=(time.perf_counter() - started) * 1e3)[0]

    return ask


def input_size(signatures: Mapping[str, Any]) -> int:
    """Return S of a version's picture input; raise ``ServingError`` where it has none."""
    try:
        dims = signatures[contract.SIGNATURE_IMAGE].inputs[contract.INPUT_IMAGE].tensor_shape.dim
        return int(dims[1].size)
    except (KeyError, IndexError) as error:
        raise ServingError("The version takes no pictures [N,S,S,1].") from error


def _kind(info: Any) -> tuple[int, int]:
    return int(info.dtype), len(info.tensor_shape.dim)


def _shown(info: Any) -> str:
    dims = [int(dim.size) for dim in info.tensor_shape.dim]
    return f"{str(types_pb2.DataType.Name(info.dtype)).removeprefix('DT_').lower()} {dims}"


def _numbers(prediction: Prediction) -> NDArray[np.float64]:
    flat = [prediction.probability, prediction.novelty, prediction.suspicion_threshold, prediction.fracture_threshold]
    return np.concatenate([np.array(flat), prediction.heatmap.ravel().astype(np.float64)])
