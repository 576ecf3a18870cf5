"""What the server answers, checked against ``export.contract`` and turned into typed results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export import contract
from serving.api import get_model_metadata_pb2, get_model_status_pb2, predict_pb2, tensor_pb2, types_pb2
from serving.errors import ContractMismatch
from serving.tensor_proto import floats, strings


@dataclass(frozen=True)
class ModelInfo:
    """The served model: ``input_size`` is S (px) of its picture input, ``signatures`` its callable signatures."""

    name: str
    version: int
    input_size: int
    signatures: tuple[str, ...]


@dataclass(frozen=True)
class VersionStatus:
    """One version as the server sees it; ``state`` is START, LOADING, AVAILABLE, UNLOADING or END."""

    version: int
    state: str
    error: str = ""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The model's answer for one picture.

    ``probability`` and both thresholds are calibrated probabilities 0..1; ``finding`` is one of ``contract.FINDINGS``;
    ``heatmap`` is float32 [H,W] in 0..1 over the model input; ``novelty`` above ``contract.NOVELTY_LIMIT`` is outside
    what the model knows; ``version`` answered, as bearer of ``label`` where it was asked by one; ``milliseconds`` is
    the time of the whole call, which all its pictures share.
    """

    probability: float
    finding: str
    suspicion_threshold: float
    fracture_threshold: float
    heatmap: NDArray[np.float32]
    novelty: float
    model: str
    version: int
    milliseconds: float
    label: str | None = None


def model_info(response: get_model_metadata_pb2.GetModelMetadataResponse) -> ModelInfo:
    """Return the model's data from its served metadata; raise ``ContractMismatch`` if it is not our model."""
    definitions = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(definitions)
    name = response.model_spec.name
    callable_names = tuple(sorted(key for key in definitions.signature_def if not key.startswith("__")))
    if contract.SIGNATURE_IMAGE not in definitions.signature_def:
        raise _mismatch(name, f"has no signature {contract.SIGNATURE_IMAGE}")
    signature = definitions.signature_def[contract.SIGNATURE_IMAGE]
    missing = [key for key in contract.OUTPUTS if key not in signature.outputs]
    if missing:
        raise _mismatch(name, f"gives no {', '.join(missing)}")
    if set(signature.inputs) != {contract.INPUT_IMAGE}:
        raise _mismatch(name, f"takes {', '.join(sorted(signature.inputs)) or 'nothing'} instead of an image")
    image = signature.inputs[contract.INPUT_IMAGE]
    shape = [dim.size for dim in image.tensor_shape.dim]
    square = len(shape) == 4 and shape[1] == shape[2] > 0 and shape[3] == 1
    if image.dtype != types_pb2.DT_UINT8 or not square:
        raise _mismatch(name, f"takes {types_pb2.DataType.Name(image.dtype)} {shape} instead of uint8 [-1, S, S, 1]")
    return ModelInfo(name, int(response.model_spec.version.value), int(shape[1]), callable_names)


def version_status(response: get_model_status_pb2.GetModelStatusResponse) -> tuple[VersionStatus, ...]:
    """Return the versions of the answer, the newest first."""
    states = get_model_status_pb2.ModelVersionStatus.State
    versions = (
        VersionStatus(int(entry.version), str(states.Name(entry.state)), str(entry.status.error_message))
        for entry in response.model_version_status
    )
    return tuple(sorted(versions, key=lambda entry: entry.version, reverse=True))


def predictions(
    response: predict_pb2.PredictResponse, *, count: int, milliseconds: float, label: str | None = None
) -> tuple[Prediction, ...]:
    """Return the ``count`` predictions of an answer to ``label``; raise ``ContractMismatch`` where it breaks ours."""
    name, version = response.model_spec.name, int(response.model_spec.version.value)
    probability = _output(response, contract.PROBABILITY, (count,))
    thresholds = _output(response, contract.THRESHOLDS, (count, 2))
    heatmap = _output(response, contract.HEATMAP, (count, None, None))
    novelty = _output(response, contract.NOVELTY, (count,))
    findings = _findings(response, count)
    if not (_within_one(probability) and _within_one(thresholds) and _within_one(heatmap)) or np.isnan(novelty).any():
        raise _mismatch(name, "answered with values that are no probabilities")
    return tuple(
        Prediction(
            probability=float(probability[row]),
            finding=findings[row],
            suspicion_threshold=float(thresholds[row, 0]),
            fracture_threshold=float(thresholds[row, 1]),
            heatmap=heatmap[row],
            novelty=float(novelty[row]),
            model=name,
            version=version,
            milliseconds=milliseconds,
            label=label,
        )
        for row in range(count)
    )


def _findings(response: predict_pb2.PredictResponse, count: int) -> tuple[str, ...]:
    try:
        findings = tuple(value.decode("utf-8", "replace") for value in strings(_tensor(response, contract.FINDING)))
    except ValueError as error:
        raise _mismatch(response.model_spec.name, f"gave {error} as {contract.FINDING}") from error
    if len(findings) != count or not set(findings) <= set(contract.FINDINGS):
        raise _mismatch(response.model_spec.name, f"gave a {contract.FINDING} that is none of ours")
    return findings


def _output(response: predict_pb2.PredictResponse, key: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """Return one float output of the given shape; ``None`` in it is any size above 0."""
    try:
        values = floats(_tensor(response, key))
    except ValueError as error:
        raise _mismatch(response.model_spec.name, f"gave {error} as {key}") from error
    fits = len(values.shape) == len(shape) and all(
        size > 0 if wanted is None else size == wanted for size, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits:
        raise _mismatch(response.model_spec.name, f"gave {key} of shape {list(values.shape)}")
    return values


def _tensor(response: predict_pb2.PredictResponse, key: str) -> tensor_pb2.TensorProto:
    if key not in response.outputs:
        raise _mismatch(response.model_spec.name, f"gave no {key}")
    return response.outputs[key]


def _within_one(values: NDArray[np.float32]) -> bool:
    """Tell whether all values lie in 0..1, with room for rounding; NaN does not."""
    return bool(np.all((values >= -1e-3) & (values <= 1.0 + 1e-3)))


def _mismatch(name: str, what: str) -> ContractMismatch:
    return ContractMismatch(
        f"The model served as {name!r} {what}, so it is not a model made by `osteo export`. "
        "Ask for another model, or publish one with `osteo export`."
    )
