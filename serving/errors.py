"""Everything that can go wrong between a caller and the model server, as sentences for users.

  ServingError
   ├─ ServerUnavailable     nothing answers at this address
   │   └─ ServerBusy        the server's queue is full
   ├─ DeadlineExceeded      no answer in the time given
   ├─ ModelNotFound         the server has no such model or version
   │   └─ LabelNotFound     the model bears no such label
   ├─ ModelLoading          the model is there, but no version of it is ready yet
   ├─ WrongProtocol         something else than TensorFlow Serving's gRPC API answers there
   ├─ BadRequest            the request was refused
   │   └─ InputSizeMismatch the pictures were prepared for a version that takes another size
   ├─ ContractMismatch      the model does not give the inputs and outputs of ``export.contract``
   └─ ServerFault           the server failed on its own

``code`` names the class for programs (snake_case, in JSON answers); ``str(error)`` is the sentence.
"""

# ruff: noqa: N818 – named for what happened, as HTTP and gRPC libraries name theirs

from __future__ import annotations

import re
from typing import ClassVar

import grpc


class ServingError(Exception):
    """Root of the tree; ``code`` is stable, the message is a sentence that says what to do."""

    code: ClassVar[str] = "serving_error"


class ServerUnavailable(ServingError):
    """Nothing answers at the address."""

    code = "server_unavailable"


class ServerBusy(ServerUnavailable):
    """The server answers, but its queue is full."""

    code = "server_busy"


class DeadlineExceeded(ServingError):
    """No answer came in the time given."""

    code = "deadline_exceeded"


class ModelNotFound(ServingError):
    """The server has no such model or version."""

    code = "model_not_found"


class LabelNotFound(ModelNotFound):
    """No version of the model bears the label."""

    code = "label_not_found"


class ModelLoading(ServingError):
    """The server knows the model, and is not ready to answer for it."""

    code = "model_loading"


class WrongProtocol(ServingError):
    """The address is no gRPC address of TensorFlow Serving."""

    code = "wrong_protocol"


class BadRequest(ServingError):
    """The server, or the client before it, refused the request."""

    code = "bad_request"


class InputSizeMismatch(BadRequest):
    """The served version takes pictures of another size; ask ``info()`` again and prepare them anew."""

    code = "input_size_mismatch"


class ContractMismatch(ServingError):
    """The model served under this name does not keep ``export.contract``."""

    code = "contract_mismatch"


class ServerFault(ServingError):
    """The server failed while answering."""

    code = "server_fault"


_NAMED_TARGET = re.compile(r"(unix|unix-abstract|ipv4|ipv6|dns|xds|vsock):\S+")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")


def check_target(target: str) -> None:
    """Raise ``WrongProtocol`` unless ``target`` is ``host:port`` or one of gRPC's own names (``unix:``, ``dns:`` …)."""
    match = _HOST_PORT.fullmatch(target)
    if match and 0 < int(match["port"]) < 65536:
        return
    if "://" in target and target.startswith("http"):
        raise WrongProtocol(
            f"{target} is a web address. Give the server's gRPC address as host:port, for example 127.0.0.1:8500."
        )
    if match is None and _NAMED_TARGET.fullmatch(target):
        return
    raise WrongProtocol(f"{target!r} is not an address. Give it as host:port, for example 127.0.0.1:8500.")


def translate(error: grpc.RpcError, target: str, seconds: float) -> ServingError:
    """Return the error of the tree that a failed call to ``target`` with a deadline of ``seconds`` stands for."""
    status, details = error.code(), error.details() or ""
    code = grpc.StatusCode
    if status is code.UNAVAILABLE:
        return _unavailable(details, target)
    if status in (code.DEADLINE_EXCEEDED, code.CANCELLED):
        return DeadlineExceeded(
            f"The model server at {target} did not answer within {seconds:g} seconds. It may be busy, or something "
            "else may be listening there: try again, or allow it more time."
        )
    if status is code.NOT_FOUND or "servable version label" in details:
        kind = ModelNotFound if status is code.NOT_FOUND else LabelNotFound
        return kind(f"The server at {target} does not serve this model: {_first_line(details)}")
    if status is code.UNIMPLEMENTED:
        return WrongProtocol(
            f"A gRPC server answers at {target}, but not with TensorFlow Serving's API. Is the address right?"
        )
    if status is code.FAILED_PRECONDITION:
        return ContractMismatch(
            f"The model served at {target} is not one that osteo export made: {_first_line(details)}"
        )
    if status in (code.INVALID_ARGUMENT, code.OUT_OF_RANGE):
        return BadRequest(f"The model server at {target} refused the request: {_first_line(details)}")
    if status is code.RESOURCE_EXHAUSTED:
        return ServerBusy(f"The model server at {target} has too much to do ({_first_line(details)}). Try again.")
    return ServerFault(f"The model server at {target} failed ({status.name}): {_first_line(details)}")


def _unavailable(details: str, target: str) -> ServingError:
    text = details.lower()
    if "queue" in text and "full" in text:
        return ServerBusy(f"The model server at {target} has more requests than it can hold. Try again in a moment.")
    if "http/2" in text or "http1" in text:
        return WrongProtocol(
            f"Something answers at {target}, but it does not speak gRPC. This may be the server's REST port: "
            "give its gRPC port, which is 8500 unless it was changed."
        )
    if "resolv" in text:
        return ServerUnavailable(f"No machine of the name in {target} can be found. Is the address right?")
    return ServerUnavailable(
        f"No model server answers at {target}. Is it running? Start it with `osteo serve` or `make run`. "
        "A server that has just been started answers once its model is loaded: try again in a few seconds."
    )


def _first_line(details: str) -> str:
    """Return the server's own words on one line of bounded length."""
    line = " ".join(details.split())
    return line if len(line) <= 300 else line[:300] + " …"
