"""Which model and what a REST path asks for (http_rest_api_util.cc). Paths are matched whole, the query included."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from serving.embedded.core import ModelSpec
from serving.embedded.status import Code, ServingError, invalid_argument

_VERSION = rb"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_POST = re.compile(rb"/v1/models/([^/:]+)" + _VERSION + rb":(classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rb"/v1/models(?:/([^/:]+))?" + _VERSION + rb"(?:/(metadata))?", re.IGNORECASE)
_API = re.compile(rb"/v1/.*", re.IGNORECASE)
_PATH_CHARACTER = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})"
_TARGET = re.compile(
    rb"(?:(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*)?("
    + _PATH_CHARACTER
    + rb"*)(\?(?:"
    + _PATH_CHARACTER
    + rb"|\?)*)?(#(?:"
    + _PATH_CHARACTER
    + rb"|\?)*)?"
)
_MAX_INT64 = (1 << 63) - 1

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""HTTP status of every code; those left out (UNKNOWN, INTERNAL, DATA_LOSS) are 500."""


@dataclass(frozen=True)
class Target:
    """A request's target: the path, and the path with query and fragment, which is what routes are matched against."""

    path: bytes
    full: bytes

    @property
    def is_api(self) -> bool:
        """Whether it lies under /v1/."""
        return _API.fullmatch(self.full) is not None


@dataclass(frozen=True)
class Route:
    """`action` is predict, classify, regress, status or metadata; `version_fits` is False for numbers beyond int64."""

    spec: ModelSpec
    action: str
    version_fits: bool = True


def split_target(target: bytes) -> Target | None:
    """Return the target's parts, or None if it is no proper URI (libevent answers those itself)."""
    match = _TARGET.fullmatch(target)
    if match is None:
        return None
    path = match[1] or b"/"
    return Target(path, path + (match[2] or b"") + (match[3] or b""))


def find_route(method: str, target: Target) -> Route:
    """Return what the request asks for. Raises ServingError INVALID_ARGUMENT `Malformed request: «verb» «path»`."""
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(target.full) if pattern else None
    if match is None:
        raise _malformed(method, target)
    model, version, label, action = match.groups()
    if method == "POST" and action != action.lower():
        raise _malformed(method, target)
    if model is None:
        raise invalid_argument("Missing model name in request.")
    spec = ModelSpec(
        name=_decode(model),
        version=int(version) if version and int(version) <= _MAX_INT64 else None,
        label=_decode(label) if label else None,
    )
    if method == "GET":
        action = b"metadata" if action == b"metadata" else b"status"
    return Route(spec, action.decode(), version_fits=not version or spec.version is not None)


def _malformed(method: str, target: Target) -> ServingError:
    return invalid_argument(f"Malformed request: {method} {target.full.decode('utf-8', 'surrogateescape')}")


def _decode(quoted: bytes) -> str:
    return unquote_to_bytes(quoted).decode("utf-8", "surrogateescape")
