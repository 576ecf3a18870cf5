"""One loaded SavedModel version: its session, its signatures, and the one way to run it.

The graph is run by TensorFlow's own Session::Run, as TensorFlow Serving does, so that dtype errors, the absence of
shape checks, and deadlines are TensorFlow's. The private `_call_tf_sessionrun` is used because `Session.run` casts
dtypes and refuses shapes on the Python side, which the real server does not.
"""

import contextlib
import ctypes
import gc
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.config_pb2 import ConfigProto, RunOptions
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from serving.embedded.number_format import all_nodes, widen
from serving.embedded.status import Code, ServingError
from serving.embedded.turns import Turns

log = logging.getLogger("serving.embedded")

Tensor = npt.NDArray[np.generic]

VARIABLES_INDEX = "variables/variables.index"
_VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})


BRIEF_SECONDS = 1e-3
_IN_CALLER = pywrap_tf_session.TF_NewBufferFromString(RunOptions(inter_op_thread_pool=-1).SerializeToString())


class Runner(Protocol):
    """Runs tensors through a graph: a bare session, or one behind a batching queue."""

    def __call__(self, feeds: Mapping[str, Tensor], fetches: Sequence[str], timeout_ms: int | None) -> list[Tensor]:
        """Return the value of each name in `fetches`, in order. Raises ServingError."""
        ...

    def close(self) -> None:
        """Give everything back; called once, when no request is running any more."""
        ...


class SessionRunner:
    """A TensorFlow session with the tensor names of its graph looked up once."""

    def __init__(self, session: tf.compat.v1.Session, turns: Turns | None = None) -> None:
        self._session = session
        self._turns = turns
        self._session._extend_graph()
        self._outputs: dict[str, object] = {}
        self._brief = False

    def __call__(self, feeds: Mapping[str, Tensor], fetches: Sequence[str], timeout_ms: int | None) -> list[Tensor]:
        """Run the graph once, ended with DEADLINE_EXCEEDED after `timeout_ms` (None: never)."""
        known = self._outputs
        try:
            feed = {known[name]: tensor for name, tensor in feeds.items()}
            fetch = [known[name] for name in fetches]
        except KeyError:
            self._look_up(feeds, "FeedInputs: unable to find feed output {}")
            self._look_up(fetches, "FetchOutputs node {}: not found")
            return self(feeds, fetches, timeout_ms)
        if timeout_ms is not None and timeout_ms <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline passed before the run was started")
        if self._turns is None or self._brief:
            return self._run_once(feed, fetch, timeout_ms)
        with self._turns.one(timeout_ms) as left_ms:
            return self._run_once(feed, fetch, left_ms)

    def _run_once(self, feed: dict[object, Tensor], fetch: list[object], timeout_ms: int | None) -> list[Tensor]:
        if timeout_ms is None:
            return self._run_briefly(feed, fetch)
        buffer = pywrap_tf_session.TF_NewBufferFromString(RunOptions(timeout_in_ms=timeout_ms).SerializeToString())
        try:
            return self._run(buffer, feed, fetch)
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)

    def _run_briefly(self, feed: dict[object, Tensor], fetch: list[object]) -> list[Tensor]:
        """Run without a deadline; in this very thread, without waking TensorFlow's, while the last run was a short one.

        Waking one takes 0.1 ms. A network's run is 3 % faster across several, and a deadline needs another to keep it.
        """
        started = time.perf_counter()
        values = self._run(_IN_CALLER if self._brief else None, feed, fetch)
        self._brief = time.perf_counter() - started < BRIEF_SECONDS
        return values

    def _run(self, run_options: object, feed: dict[object, Tensor], fetch: list[object]) -> list[Tensor]:
        try:
            values = self._session._call_tf_sessionrun(run_options, feed, fetch, [], None)
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error
        return [value if isinstance(value, np.ndarray) else _scalar(value) for value in values]

    def _look_up(self, names: Iterable[str], error_text: str) -> None:
        """Note what tensors `names` stand for; a name without an output number means the first, as in C++."""
        for name in names:
            element = name if ":" in name else f"{name}:0"
            try:
                self._outputs[name] = self._session.graph.as_graph_element(element)._as_tf_output()
            except (KeyError, ValueError) as error:
                raise ServingError(Code.NOT_FOUND, error_text.format(name)) from error

    def close(self) -> None:
        """Close the session and hand its memory back to the system."""
        self._session.close()
        self._outputs.clear()
        del self._session
        give_back_memory()


@dataclass(frozen=True)
class BoundSignature:
    """A SignatureDef made ready for the request path: aliases in order, the tensors they stand for, and defaults."""

    name: str
    definition: SignatureDef
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    defaults: Mapping[str, TensorProto]


def bind(name: str, definition: SignatureDef) -> BoundSignature:
    """Return `definition` with its maps sorted by alias."""
    inputs = {alias: definition.inputs[alias].name for alias in sorted(definition.inputs)}
    outputs = {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)}
    return BoundSignature(name, definition, inputs, outputs, dict(definition.defaults))


def give_back_memory() -> None:
    """Free what loading or unloading left behind: Python's graph objects are cyclic garbage, and glibc keeps pages."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Servable:
    """A model version that can be run; `signatures` holds every SignatureDef of its meta graph."""

    def __init__(self, name: str, version: int, path: str, signatures: Mapping[str, SignatureDef], run: Runner) -> None:
        self.name = name
        self.version = version
        self.path = path
        self.signatures = signatures
        self.bound = {key: bind(key, definition) for key, definition in signatures.items()}
        self.run = run


def _scalar(value: object) -> Tensor:
    return np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """Return TensorFlow's error with its own code and text, without the Python stack of the node's making."""
    return ServingError(Code(error.error_code), str(error.message).split("\n\nOriginal stack trace", 1)[0])


def load_saved_model(
    path: str, tags: Sequence[str], config: ConfigProto, *, widened: bool = False, turns: Turns | None = None
) -> tuple[dict[str, SignatureDef], SessionRunner]:
    """Load the SavedModel in `path` into a session of its own: graph, variables, assets and its init op.

    Returns its signatures too, copied: a part of a message keeps the whole of it in memory, here the graph. `widened`
    computes in float32 what the graph computes in bfloat16 (see number_format); `turns` says when runs begin (None: at
    once). Raises ServingError with the code and the words of TensorFlow's C++ loader (cc/saved_model/loader.cc).
    """
    if not any(tf.io.gfile.exists(f"{path}/{name}") for name in ("saved_model.pb", "saved_model.pbtxt")):
        text = (
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. Check that the "
            "directory exists and that you have the right permissions for accessing it."
        )
        raise ServingError(Code.NOT_FOUND, text)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    try:
        loader = SavedModelLoader(path)
        meta_graph = loader.get_meta_graph_def_from_tags(list(tags))  # the loader's own, which it then imports
        if widened and widen(meta_graph):
            log.info("computing in float32, the processor has no bfloat16 path=%s", path)
        with session.graph.as_default():
            saver, _ = loader.load_graph(session.graph, list(tags))
            if _has_variables(meta_graph) or tf.io.gfile.exists(f"{path}/{VARIABLES_INDEX}"):
                loader.restore_variables(session, saver)
            loader.run_init_ops(session, list(tags))
            runner = SessionRunner(session, turns)
        return {name: _copied(definition) for name, definition in meta_graph.signature_def.items()}, runner
    except Exception as error:
        session.close()
        raise _load_error(error, path, tags) from error


def _has_variables(meta_graph: MetaGraphDef) -> bool:
    """Return whether the graph or one of its functions makes variables: then they must have been saved with it."""
    return any(node.op in _VARIABLE_OPS for node in all_nodes(meta_graph))


def _innermost(error: tf.errors.OpError) -> tf.errors.OpError:
    """Return the error of the C++ runtime; TensorFlow's Python layers wrap it in sentences of their own."""
    innermost, context = error, error.__context__
    while context is not None:
        if isinstance(context, tf.errors.OpError):
            innermost = context
        context = context.__context__
    return innermost


def _copied(definition: SignatureDef) -> SignatureDef:
    copy = SignatureDef()
    copy.CopyFrom(definition)
    return copy


def _load_error(error: Exception, path: str, tags: Sequence[str]) -> ServingError:
    if isinstance(error, tf.errors.OpError):
        return from_tensorflow(_innermost(error))
    if isinstance(error, ValueError) and "not a valid checkpoint" in str(error):
        return ServingError(Code.NOT_FOUND, f"{path}/{VARIABLES_INDEX}; No such file or directory")
    if isinstance(error, RuntimeError) and "associated with tags" in str(error):
        text = (
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(tags))} }}. To inspect "
            "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        )
        return ServingError(Code.NOT_FOUND, text)
    if isinstance(error, OSError | DecodeError) and "parse" in str(error):
        binary = tf.io.gfile.exists(f"{path}/saved_model.pb")
        file = "saved_model.pb as binary proto" if binary else "saved_model.pbtxt as text proto"
        return ServingError(Code.DATA_LOSS, f"Can't parse {path}/{file}")
    if isinstance(error, OSError):
        return ServingError(Code.NOT_FOUND, str(error))
    return ServingError(Code.INVALID_ARGUMENT, f"{path} does not load: {error}")
