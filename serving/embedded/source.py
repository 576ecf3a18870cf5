"""Versions on disk: which folders of a base path are to be served, by the model's version policy.

Follows TensorFlow Serving's sources/storage_path/file_system_storage_path_source.cc.
"""

import re
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from serving.embedded.status import Code, ServingError

Aspired = dict[int, str]

_INT64 = 1 << 63
_NUMBER = re.compile(r"\s*([+-]?\d+)\s*", re.ASCII)


def list_versions(model: str, base_path: str) -> Aspired:
    """Return every child of `base_path` whose name reads as an int64 (`00000123` is 123), by its number.

    Of two names for one number the last in order counts.

    Raises ServingError(NOT_FOUND) where the base path itself is missing: that is a fault of the file system, not the
    wish to serve nothing, which is said by an empty folder.
    """
    try:
        names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(base_path))
    except (tf.errors.OpError, OSError) as error:
        raise ServingError(Code.NOT_FOUND, f"Could not find base path {base_path} for servable {model}") from error
    versions: Aspired = {}
    for name in names:
        match = _NUMBER.fullmatch(name)
        if match and -_INT64 <= int(match[1]) < _INT64:
            versions[int(match[1])] = f"{base_path.rstrip('/')}/{name}"
    return versions


def aspired_versions(config: ModelConfig) -> Aspired:
    """Return the versions of one model that shall be served now: number to folder. Raises as `list_versions`."""
    found = list_versions(config.name, config.base_path)
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice") or "latest"
    if choice == "all":
        return found
    if choice == "specific":
        return {version: found[version] for version in policy.specific.versions if version in found}
    newest = sorted(found, reverse=True)[: policy.latest.num_versions or 1]
    return {version: found[version] for version in newest}


def complaint(config: ModelConfig, aspired: Aspired) -> str | None:
    """Return what is amiss with the versions found for a model, for the log; None if nothing is."""
    name, base_path = config.name, config.base_path
    if not aspired:
        return (
            f"No versions of servable {name} found under base path {base_path}. Did you forget to name your leaf "
            "directory as a number (eg. '/1/')?"
        )
    specific: Sequence[int] = config.model_version_policy.specific.versions
    missing = [str(version) for version in specific if version not in aspired]
    if missing:
        return f"Version {', '.join(missing)} of servable {name}, requested to be served, was not found in {base_path}"
    return None


def poll(models: Mapping[str, ModelConfig]) -> dict[str, Aspired]:
    """Return the aspired versions of all models; one missing base path abandons the whole poll, as upstream."""
    return {name: aspired_versions(config) for name, config in models.items()}
