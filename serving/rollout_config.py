"""The server's config file: one model's entry in it, its versions and its labels.

The file is a text ``ModelServerConfig`` (config/model_server_config.proto). It may list other models; they are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import text_format

from serving.api import model_server_config_pb2
from serving.following import CANARY, STABLE
from serving.rollout_files import RolloutError

PREVIOUS: Final = "previous"
LABELS: Final = (STABLE, CANARY, PREVIOUS)

HEADER: Final = "# Written by `osteo rollout`, which also tells what is served: osteo rollout status.\n"


@dataclass(frozen=True)
class Entry:
    """One model of the config file.

    ``versions`` are those to be loaded, None where the policy names none by number; ``text`` is the whole entry.
    """

    base_path: str
    versions: tuple[int, ...] | None
    labels: Mapping[str, int]
    text: str


def parse(text: str, path: str) -> model_server_config_pb2.ModelServerConfig:
    """Return the config in ``text``, read from ``path``; raise ``RolloutError`` where it is none."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise RolloutError(
            f"{path} is no model config file of TensorFlow Serving ({error}). Put it right, or go back to what was "
            "last rolled out with `osteo rollout rollback`."
        ) from error
    return config


def entry_of(config: model_server_config_pb2.ModelServerConfig, model: str, path: str) -> Entry:
    """Return the entry of ``model``; raise ``RolloutError`` where the config has none."""
    for found in config.model_config_list.config:
        if found.name == model:
            return _entry(found)
    raise RolloutError(f"{path} lists no model {model!r}. Is it the right file, and the right --model?")


def entry_from(text: str) -> Entry:
    """Return the entry whose ``text`` this is."""
    return _entry(text_format.Parse(text, model_server_config_pb2.ModelConfig()))


def changed(entry: Entry, versions: Iterable[int], labels: Mapping[str, int]) -> Entry:
    """Return ``entry`` with exactly these versions to be loaded and exactly these labels."""
    config = text_format.Parse(entry.text, model_server_config_pb2.ModelConfig())
    config.model_version_policy.Clear()
    config.model_version_policy.specific.versions.extend(sorted(set(versions)))
    config.version_labels.clear()
    config.version_labels.update(labels)
    return _entry(config)


def first_entry(model: str, base_path: str, version: int) -> Entry:
    """Return the entry of a model that has not been rolled out before: one version, which is stable."""
    config = model_server_config_pb2.ModelConfig(name=model, base_path=base_path, model_platform="tensorflow")
    return changed(_entry(config), [version], {STABLE: version})


def with_entry(text: str, path: str, entry: Entry) -> str:
    """Return the config file's ``text`` with ``entry`` in the place of the model's former one, all others kept."""
    config = parse(text, path)
    model = text_format.Parse(entry.text, model_server_config_pb2.ModelConfig())
    for found in config.model_config_list.config:
        if found.name == model.name:
            found.CopyFrom(model)
            break
    else:
        config.model_config_list.config.append(model)
    return HEADER + str(text_format.MessageToString(config))


def _entry(config: Any) -> Entry:
    specific = config.model_version_policy.WhichOneof("policy_choice") == "specific"
    versions = tuple(sorted(int(v) for v in config.model_version_policy.specific.versions)) if specific else None
    labels = {str(label): int(version) for label, version in config.version_labels.items()}
    return Entry(str(config.base_path), versions, labels, str(text_format.MessageToString(config)))
