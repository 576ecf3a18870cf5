"""TensorFlow Serving's official generated API classes, imported without starting TensorFlow.

The classes of the package ``tensorflow-serving-api`` import message modules from ``tensorflow.core``, and with them
all of TensorFlow: seconds of start and half a gigabyte. Those message modules need nothing but protobuf, so while they
are imported a bare package with TensorFlow's own search path stands in for it. It is taken away afterwards; TensorFlow
itself can still be imported later in the same process, and finds the very same message classes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def _bare_tensorflow() -> Iterator[None]:
    """Let ``tensorflow.core`` be imported without running ``tensorflow/__init__.py``, unless that has already run."""
    spec = None if "tensorflow" in sys.modules else find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        yield
        return
    bare = ModuleType("tensorflow")
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = bare
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with _bare_tensorflow():
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
    from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2_grpc",
    "tensor_pb2",
    "types_pb2",
]
