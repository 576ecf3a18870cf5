"""`python -m serving.embedded --port=8500 --rest_api_port=8501 --model_name=… --model_base_path=…`.

Takes tensorflow_model_server's flags, and answers a wrong command line before TensorFlow is imported.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from serving.embedded.config import check_models, check_options, check_platforms, initial_config
from serving.embedded.options import parse_command_line, usage
from serving.embedded.status import ServingError

PROGRAM = "tensorflow_model_server"
FAILURE = 255


def main(arguments: Sequence[str]) -> int:
    """Return the exit status of a server started with `arguments`: 255 for a start that failed, as upstream."""
    line = parse_command_line(arguments)
    if line.errors or line.help_wanted:
        for error in line.errors:
            print(error, file=sys.stderr)
        print(usage(PROGRAM), end="", flush=True)
        return FAILURE
    if line.options.version:
        print(f"TensorFlow ModelServer: {metadata.version('tensorflow-serving-api')}")
        print(f"TensorFlow Library: {metadata.version('tensorflow')}", flush=True)
        return 0
    if line.unknown:
        for argument in line.unknown:
            print(f"unknown argument: {argument}")
        print(usage(PROGRAM), end="", flush=True)
    try:
        check_options(line.options)
        config = initial_config(line.options)
        check_models(config)
        if not any(model.version_labels for model in config.model_config_list.config):  # labels are checked first
            check_platforms(config)
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return FAILURE
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_stderr():
        from serving.embedded.server import run

    return run(line.options)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep TensorFlow's native start-up chatter, which no log level holds back, off the console."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # TensorFlow's and gRPC's threads may still be winding down; nothing they hold outlives the process.
    os._exit(status)
