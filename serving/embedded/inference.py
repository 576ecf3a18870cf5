"""Classify, Regress and MultiInference: serialized tf.Examples in, classes or values out.

Follows servables/tensorflow/classifier.cc, regressor.cc and multi_inference.cc, in their order and words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.inference_pb2 import InferenceTask
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from serving.embedded.predict import DEFAULT_SIGNATURE
from serving.embedded.servable import BoundSignature, Servable
from serving.embedded.status import Code, ServingError, invalid_argument

Tensor = npt.NDArray[np.generic]

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_STRING = DataType.Value("DT_STRING")


@dataclass(frozen=True)
class _Plan:
    """What one signature feeds and fetches: the tensor names of its input and of its outputs by alias."""

    feed: str
    fetches: Mapping[str, str]


def serialized_examples(examples: Input) -> Tensor:
    """Return the examples as a string tensor [n]; a shared context stands before each, as bytes.

    Raises ServingError(INVALID_ARGUMENT) if there is none.
    """
    kind = examples.WhichOneof("kind")
    if kind == "example_list":
        serialized = [example.SerializeToString() for example in examples.example_list.examples]
    elif kind == "example_list_with_context":
        listed = examples.example_list_with_context
        context = listed.context.SerializeToString()
        serialized = [context + example.SerializeToString() for example in listed.examples]
    else:
        serialized = []
    if not serialized:
        raise invalid_argument("Input is empty.")
    tensor = np.empty(len(serialized), object)
    tensor[:] = serialized
    return tensor


def _signature(servable: Servable, name: str) -> BoundSignature:
    signature = servable.bound.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name or DEFAULT_SIGNATURE}")
    return signature


def _check_method(definition: SignatureDef, kind: str, method: str) -> None:
    if definition.method_name != method:
        text = f"Expected {kind} signature method_name to be {method}. Was: {definition.method_name}"
        raise invalid_argument(text)


def _classify_plan(signature: BoundSignature, check_method_name: bool) -> _Plan:
    definition = signature.definition
    if check_method_name:
        _check_method(definition, "classification", CLASSIFY)
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {definition}")
    fetches = {alias: signature.outputs[alias] for alias in ("classes", "scores") if alias in signature.outputs}
    if not fetches:
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {definition}"
        )
    return _Plan(signature.inputs["inputs"], fetches)


def _regress_plan(signature: BoundSignature, check_method_name: bool) -> _Plan:
    definition = signature.definition
    if check_method_name:
        _check_method(definition, "regression", REGRESS)
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid_argument(f"No regression inputs found in SignatureDef: {definition}")
    if "outputs" not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {definition}")
    return _Plan(signature.inputs["inputs"], signature.outputs)


def classify(
    servable: Servable, signature_name: str, examples: Input, timeout_ms: int | None, check_method_name: bool
) -> ClassificationResult:
    """Return labels and scores of each example. Raises ServingError."""
    plan = _classify_plan(_signature(servable, signature_name), check_method_name)
    fed = serialized_examples(examples)
    values = servable.run({plan.feed: fed}, list(plan.fetches.values()), timeout_ms)
    return _classification(dict(zip(plan.fetches, values, strict=True)), len(fed))


def regress(
    servable: Servable, signature_name: str, examples: Input, timeout_ms: int | None, check_method_name: bool
) -> RegressionResult:
    """Return one value for each example. Raises ServingError."""
    plan = _regress_plan(_signature(servable, signature_name), check_method_name)
    fed = serialized_examples(examples)
    values = servable.run({plan.feed: fed}, list(plan.fetches.values()), timeout_ms)
    return _regression(values[0], len(fed))


def multi_inference(
    servable: Servable,
    tasks: Sequence[InferenceTask],
    examples: Input,
    timeout_ms: int | None,
    check_method_name: bool,
) -> list[ClassificationResult | RegressionResult]:
    """Return one result for each task, all computed by a single run of the graph. Raises ServingError.

    Signatures may each have an input tensor of their own, as those of TF2 do: all are fed the same examples.
    """
    plans = _multi_plans(servable, tasks, check_method_name)
    fed = serialized_examples(examples)
    names = sorted({name for plan in plans for name in plan.fetches.values()})
    feeds = {plan.feed: fed for plan in plans}
    fetched = dict(zip(names, servable.run(feeds, names, timeout_ms), strict=True))
    results: list[ClassificationResult | RegressionResult] = []
    for task, plan in zip(tasks, plans, strict=True):
        values = {alias: fetched[name] for alias, name in plan.fetches.items()}
        if task.method_name == CLASSIFY:
            results.append(_classification(values, len(fed)))
        else:
            results.append(_regression(values["outputs"], len(fed)))
    return results


def _multi_plans(servable: Servable, tasks: Sequence[InferenceTask], check_method_name: bool) -> list[_Plan]:
    plans: list[_Plan] = []
    seen: set[str] = set()
    for task in tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in seen:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        signature = servable.bound.get(name)
        if signature is None:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name == CLASSIFY:
            plan = _classify_plan(signature, check_method_name)
        elif task.method_name == REGRESS:
            plan = _regress_plan(signature, check_method_name)
        else:
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        plans.append(plan)
    return plans


def _classification(values: Mapping[str, Tensor], count: int) -> ClassificationResult:
    classes, scores = values.get("classes"), values.get("scores")
    if classes is not None:
        _check_classification(classes, "classes", "DT_STRING", count)
    if scores is not None:
        _check_classification(scores, "scores", "DT_FLOAT", count)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = ClassificationResult()
    labels = None if classes is None else classes.tolist()
    numbers = None if scores is None else scores.tolist()
    for row in range(count):
        listed = result.classifications.add().classes
        for column in range(len(labels[row] if labels is not None else (numbers or [])[row])):
            entry = listed.add()
            if labels is not None:
                entry.label = labels[row][column].decode("utf-8", "replace")
            if numbers is not None:
                entry.score = numbers[row][column]
    return result


def _check_classification(tensor: Tensor, alias: str, dtype: str, count: int) -> None:
    if tensor.ndim != 2:
        text = f"Expected Tensor shape: [batch_size num_classes] but got {_shape(tensor)}"
        raise invalid_argument(text)
    if _dtype(tensor) != dtype:
        raise invalid_argument(f"Expected {alias} Tensor of {dtype}. Got: {_dtype(tensor)}")
    if tensor.shape[0] != count:
        raise invalid_argument(f"Expected {alias} output batch size of {count}. Got: {tensor.shape[0]}")


def _regression(values: Tensor, count: int) -> RegressionResult:
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        text = f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(values)}"
        raise invalid_argument(text)
    if values.shape[0] != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {values.shape[0]}")
    if _dtype(values) != "DT_FLOAT":
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(values)}")
    result = RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _shape(tensor: Tensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"


def _dtype(tensor: Tensor) -> str:
    name: str = DataType.Name(_STRING if tensor.dtype == object else tf.as_dtype(tensor.dtype).as_datatype_enum)
    return name
