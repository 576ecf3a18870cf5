"""Which models are configured, what their labels mean, and the polls that keep both up to date with the disk.

Follows model_servers/server_core.cc (ReloadConfig), with two of its faults left out: a config is taken over only once
all its checks have passed, and waiting for new models is bounded and does not hold up other reloads.
"""

import logging
import threading
from collections.abc import Callable, Mapping

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from serving.embedded import config as rules
from serving.embedded.manager import VersionManager
from serving.embedded.options import ServerOptions
from serving.embedded.protos import read_text_proto
from serving.embedded.source import complaint, poll
from serving.embedded.status import Code, ServingError, invalid_argument

log = logging.getLogger("serving.embedded")

Labels = Mapping[str, Mapping[str, int]]


class Catalog:
    """The configured models; `labels` may be read without a lock, for it is replaced as a whole."""

    def __init__(self, options: ServerOptions, manager: VersionManager) -> None:
        self.labels: Labels = {}
        self._options = options
        self._manager = manager
        self._models: dict[str, ModelConfig] = {}
        self._lock = threading.Lock()
        self._polling = threading.Lock()
        self._stopped = threading.Event()
        self._complaints: dict[str, str | None] = {}

    def resolve_label(self, model: str, label: str) -> int:
        """Return the version `label` stands for. Raises ServingError(INVALID_ARGUMENT)."""
        version = self.labels.get(model, {}).get(label)
        if version is None:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return version

    def apply(self, config: ModelServerConfig, wait_seconds: float | None, give_up: Callable[[], bool]) -> None:
        """Replace the whole config and return once models new in it serve. Raises ServingError, changing nothing,
        for a config that is not allowed; also if a new model does not become available in time.
        """
        if config.WhichOneof("config") is None:
            log.info("empty config: nothing to do")
            return
        if config.WhichOneof("config") != "model_config_list":
            text = (
                "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to "
                "another."
            )
            raise ServingError(Code.FAILED_PRECONDITION, text)
        with self._lock:
            rules.check_models(config)
            rules.check_platform_changes(self._models, config)
            labels = self._checked_labels(config)
            rules.check_platforms(config)
            models = {model.name: model for model in config.model_config_list.config}
            new = [name for name in models if name not in self._models]
            removed = [name for name in self._models if name not in models]
            changed = (models, labels) != (self._models, self.labels)
            with self._polling:
                self._models = models
                self.labels = labels
                for name in removed:
                    self._manager.aspire(name, {})
        if changed:
            log.info("config applied models=%s removed=%s", ",".join(sorted(models)), ",".join(sorted(removed)))
        if self._options.file_system_poll_wait_seconds >= 0:
            self.poll_once()
        self._manager.wait_until_available(new, wait_seconds, lambda: self._stopped.is_set() or give_up())

    def _checked_labels(self, config: ModelServerConfig) -> Labels:
        allow = self._options.allow_version_labels_for_unavailable_models
        labels: dict[str, dict[str, int]] = {}
        for model in config.model_config_list.config:
            current = self.labels.get(model.name, {})
            for label, version in model.version_labels.items():
                unassigned = current.get(label, version) == version
                if not self._manager.is_available(model.name, version) and not (allow and unassigned):
                    text = (
                        f"Request to assign label to version {version} of model {model.name}, which is not currently "
                        "available for inference"
                    )
                    raise ServingError(Code.FAILED_PRECONDITION, text)
            if model.version_labels:
                labels[model.name] = dict(model.version_labels)
        return labels

    def poll_once(self) -> None:
        """Look at every base path and tell the manager which versions are wanted; a fault abandons the whole poll."""
        with self._polling:
            try:
                aspired = poll(self._models)
            except ServingError as error:
                self._complain("", f"file system poll abandoned error={str(error)!r}")
                return
            self._complain("", None)
            for name, versions in aspired.items():
                self._complain(name, complaint(self._models[name], versions))
                self._manager.aspire(name, versions)

    def _complain(self, model: str, text: str | None) -> None:
        """Log a complaint once, not at every poll that finds it."""
        if text is not None and self._complaints.get(model) != text:
            log.warning(text)
        self._complaints[model] = text

    def poll_versions(self) -> None:
        """Start looking at the base paths, as often as the flag says."""
        if self._options.file_system_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_versions, name="version-poll", daemon=True).start()

    def poll_config(self) -> None:
        """Start reading the config file again and again, if the flag says so."""
        if self._options.model_config_file and self._options.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_config, name="config-poll", daemon=True).start()

    def _poll_versions(self) -> None:
        while not self._stopped.wait(self._options.file_system_poll_wait_seconds):
            try:
                self.poll_once()
            except Exception:
                log.exception("file system poll failed unexpectedly")

    def _poll_config(self) -> None:
        # every time, also when the file did not change: a config given over gRPC meanwhile lasts until the next look
        while not self._stopped.wait(self._options.model_config_file_poll_wait_seconds):
            try:
                config = read_text_proto(self._options.model_config_file, ModelServerConfig())
                self.apply(config, self._options.max_reload_wait_seconds, self._stopped.is_set)
            except ServingError as error:
                log.error("config file not taken over path=%s error=%r", self._options.model_config_file, str(error))
            except Exception:
                log.exception("config poll failed unexpectedly")

    def stop(self) -> None:
        """End the polls and every wait for a model."""
        self._stopped.set()
