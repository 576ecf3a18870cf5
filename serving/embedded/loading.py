"""From a version's folder to a servable that may take requests: session options, load, batching, warm-up."""

import logging
import time

import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import ConfigProto
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from serving.embedded.batching import BatchingRunner, BatchScheduler
from serving.embedded.batching_options import BatchingOptions, check, global_options, per_model_options
from serving.embedded.metrics import Metrics
from serving.embedded.number_format import has_bfloat16
from serving.embedded.options import ServerOptions
from serving.embedded.protos import read_text_proto
from serving.embedded.servable import Runner, Servable, give_back_memory, load_saved_model
from serving.embedded.status import ServingError
from serving.embedded.turns import Turns
from serving.embedded.warmup import warm_up

log = logging.getLogger("serving.embedded")


def session_config(options: ServerOptions) -> ConfigProto:
    """Return the config all sessions are made with. Raises ServingError for an unreadable config file.

    Sessions share one set of threads: one set each would swamp a laptop as soon as two versions are loaded.
    """
    config = ConfigProto(use_per_session_threads=False)
    if options.tensorflow_session_config_file:
        read_text_proto(options.tensorflow_session_config_file, config)
    if options.per_process_gpu_memory_fraction > 0:
        config.gpu_options.per_process_gpu_memory_fraction = options.per_process_gpu_memory_fraction
    parallelism = options.tensorflow_session_parallelism
    intra = options.tensorflow_intra_op_parallelism or parallelism
    inter = options.tensorflow_inter_op_parallelism or parallelism
    if intra > 0:
        config.intra_op_parallelism_threads = intra
    if inter > 0:
        config.inter_op_parallelism_threads = inter
    if options.mixed_precision == "bfloat16":
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = RewriterConfig.ON
    elif options.mixed_precision:
        log.warning("mixed precision not known, only bfloat16 is value=%s", options.mixed_precision)
    return config


class Loader:
    """Loads versions for one server; called by the version manager as `load(model, version, path)`."""

    def __init__(self, options: ServerOptions, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics
        self._config = session_config(options)
        self._tags = [tag for tag in options.saved_model_tags.split(",") if tag]
        self._widened = not has_bfloat16()
        # a GPU orders its own work, and the processors idle meanwhile
        self._turns = None if tf.config.list_physical_devices("GPU") else Turns()
        self._batching = global_options(options)
        self._scheduler: BatchScheduler | None = None
        if self._batching is not None:
            threads, pool = self._batching.num_batch_threads, self._batching.thread_pool_name
            self._scheduler = BatchScheduler(threads, pool, metrics)

    def __call__(self, model: str, version: int, path: str) -> Servable:
        """Return the version in `path`, warmed up. Raises ServingError, leaving nothing loaded."""
        log.info("loading model=%s version=%d path=%s", model, version, path)
        batching = self._batching_of(path)
        started = time.perf_counter()
        try:
            signatures, session = load_saved_model(
                path, self._tags, self._config, widened=self._widened, turns=self._turns
            )
        except ServingError:
            self._metrics.load_attempt_count.add(path, "fail")
            raise
        self._metrics.load_attempt_count.add(path, "success")
        self._metrics.load_latency.add(path, amount=int((time.perf_counter() - started) * 1e6))
        runner: Runner = session
        if batching is not None and self._scheduler is not None:
            runner = BatchingRunner(session, self._scheduler, batching)
        servable = Servable(model, version, path, signatures, runner)
        try:
            records = warm_up(servable, self._options, self._metrics)
        except BaseException:
            servable.run.close()
            raise
        give_back_memory()
        if records:
            log.info("warmed up model=%s version=%d records=%d", model, version, records)
        return servable

    def _batching_of(self, path: str) -> BatchingOptions | None:
        batching = self._batching
        if batching is not None and self._options.enable_per_model_batching_parameters:
            batching = per_model_options(path, batching)
        if batching is not None:
            check(batching)
        return batching

    def waiting_requests(self) -> int:
        """Return how many requests must be able to wait at once for batches to fill and queues to overflow."""
        batching = self._batching
        if batching is None:
            return 0
        return (batching.max_enqueued_batches + batching.num_batch_threads + 1) * batching.max_execution_batch_size
