"""The batching parameters file: its defaults and its rules (servables/tensorflow/session_bundle_config.proto)."""

import bisect
import itertools
import os
from dataclasses import dataclass, replace

from google.protobuf.message import Message

from serving.embedded.options import ServerOptions
from serving.embedded.protos import new_message, read_text_proto
from serving.embedded.status import invalid_argument

DEFAULT_POOL = "model_server_batch_threads"
PER_MODEL_FILE = "batching_params.pbtxt"


@dataclass(frozen=True)
class BatchingOptions:
    """Sizes are counted in rows (dimension 0), `timeout` in seconds."""

    max_batch_size: int = 1000
    max_execution_batch_size: int = 1000
    timeout: float = 0.0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    thread_pool_name: str = DEFAULT_POOL
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False

    def allowed_size(self, rows: int) -> int:
        """Return the smallest allowed size that holds `rows`; `rows` itself if none does or none is listed."""
        index = bisect.bisect_left(self.allowed_batch_sizes, rows)
        return self.allowed_batch_sizes[index] if index < len(self.allowed_batch_sizes) else rows


def global_options(options: ServerOptions) -> BatchingOptions | None:
    """Return what the flags ask for, None without --enable_batching. Raises ServingError for a bad file."""
    if not options.enable_batching or options.platform_config_file:
        return None
    if not options.batching_parameters_file:
        return BatchingOptions()
    found = _from_file(options.batching_parameters_file)
    if found.num_batch_threads < 1:
        raise invalid_argument(f"num_batch_threads must be positive; was {found.num_batch_threads}")
    return found


def per_model_options(version_path: str, shared: BatchingOptions) -> BatchingOptions | None:
    """Return the parameters beside one version, with the shared thread fields; None if there are none."""
    path = os.path.join(version_path, PER_MODEL_FILE)  # noqa: PTH118  # version folders may be URIs
    if not os.path.exists(path):  # noqa: PTH110
        return None
    own = _from_file(path)
    return replace(own, num_batch_threads=shared.num_batch_threads, thread_pool_name=shared.thread_pool_name)


def check(options: BatchingOptions) -> None:
    """Raise ServingError(INVALID_ARGUMENT) for sizes and times that do not fit; found when a model is loaded.

    The allowed sizes come first, as upstream; the others are those of TensorFlow's shared_batch_scheduler.h (AddQueue).
    """
    _check_allowed_sizes(options)
    if options.max_batch_size < 1:
        raise invalid_argument(f"input_batch_size_limit must be positive; was {options.max_batch_size}")
    if options.timeout < 0:
        raise invalid_argument(f"batch_timeout_micros must be non-negative; was {round(options.timeout * 1e6)}")
    if options.max_enqueued_batches < 1:
        raise invalid_argument(f"max_enqueued_batches must be positive; was {options.max_enqueued_batches}")
    if options.enable_large_batch_splitting and options.max_execution_batch_size > options.max_batch_size:
        raise invalid_argument(
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            # upstream runs the flag and both numbers into the sentence
            f"max_execution_batch_size.1{options.max_batch_size}{options.max_execution_batch_size}"
        )


def _check_allowed_sizes(options: BatchingOptions) -> None:
    sizes = options.allowed_batch_sizes
    if not sizes:
        return
    if any(later <= earlier for earlier, later in itertools.pairwise(sizes)):
        raise invalid_argument("allowed_batch_sizes entries must be monotonically increasing")
    if options.enable_large_batch_splitting and sizes[-1] != options.max_execution_batch_size:
        raise invalid_argument(
            "Last entry in allowed_batch_sizes must be equal to max_execution_batch_size; last entry was "
            f"{sizes[-1]}; expected {options.max_execution_batch_size}"
        )
    if not options.enable_large_batch_splitting and sizes[-1] != options.max_batch_size:
        raise invalid_argument(
            f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; expected "
            f"{options.max_batch_size}"
        )


def _from_file(path: str) -> BatchingOptions:
    parameters = read_text_proto(path, new_message("BatchingParameters"))
    default = BatchingOptions()
    largest = _number(parameters, "max_batch_size", default.max_batch_size)
    splitting = bool(_wrapped(parameters, "enable_large_batch_splitting", False))
    execution = _number(parameters, "max_execution_batch_size", largest) if splitting else largest
    return BatchingOptions(
        max_batch_size=largest,
        max_execution_batch_size=execution,
        timeout=_number(parameters, "batch_timeout_micros", 0) / 1e6,
        max_enqueued_batches=_number(parameters, "max_enqueued_batches", default.max_enqueued_batches),
        num_batch_threads=_number(parameters, "num_batch_threads", default.num_batch_threads),
        thread_pool_name=str(_wrapped(parameters, "thread_pool_name", DEFAULT_POOL)),
        allowed_batch_sizes=tuple(getattr(parameters, "allowed_batch_sizes")),  # noqa: B009  # built at run time
        pad_variable_length_inputs=bool(getattr(parameters, "pad_variable_length_inputs")),  # noqa: B009
        enable_large_batch_splitting=splitting,
    )


def _wrapped(parameters: Message, name: str, default: int | str | bool) -> int | str | bool:
    value: int | str | bool = getattr(parameters, name).value if parameters.HasField(name) else default
    return value


def _number(parameters: Message, name: str, default: int) -> int:
    return int(_wrapped(parameters, name, default))
