"""REST paths: which model, version, label and method each one names, and what is malformed."""

from __future__ import annotations

import pytest

from serving.embedded.core import ModelSpec
from serving.embedded.rest_routes import HTTP_STATUS, find_route, split_target
from serving.embedded.status import Code, ServingError

ROUTES = [
    ("POST", "/v1/models/m:predict", "predict", ModelSpec("m")),
    ("POST", "/v1/models/m:classify", "classify", ModelSpec("m")),
    ("POST", "/v1/models/m:regress", "regress", ModelSpec("m")),
    ("POST", "/V1/MODELS/m:predict", "predict", ModelSpec("m")),
    ("POST", "/v1/models/m/versions/00012:predict", "predict", ModelSpec("m", 12)),
    ("POST", "/v1/models/m/versions/9223372036854775807:predict", "predict", ModelSpec("m", 2**63 - 1)),
    ("POST", "/v1/models/m/labels/canary:regress", "regress", ModelSpec("m", None, "canary")),
    ("POST", "/v1/models/a%2Fb%3Ac%20d:predict", "predict", ModelSpec("a/b:c d")),
    ("POST", "/v1/models/%C3%A9/labels/%2B:predict", "predict", ModelSpec("é", None, "+")),
    ("POST", "/v1/models/a+b?x=1:predict", "predict", ModelSpec("a+b?x=1")),
    ("POST", "http://host:1/v1/models/m:predict", "predict", ModelSpec("m")),
    ("POST", "//host/v1/models/m:predict", "predict", ModelSpec("m")),
    ("GET", "/v1/models/m", "status", ModelSpec("m")),
    ("GET", "/v1/models/m/versions/3", "status", ModelSpec("m", 3)),
    ("GET", "/v1/models/m/labels/stable", "status", ModelSpec("m", None, "stable")),
    ("GET", "/v1/models/m/metadata", "metadata", ModelSpec("m")),
    ("GET", "/v1/models/m/versions/3/metadata", "metadata", ModelSpec("m", 3)),
    ("GET", "/v1/models/m/labels/l/metadata", "metadata", ModelSpec("m", None, "l")),
    ("GET", "/v1/models/m/METADATA", "status", ModelSpec("m")),
    ("GET", "/v1/models/metadata", "status", ModelSpec("metadata")),
    ("GET", "/v1/models/m?query", "status", ModelSpec("m?query")),
]


@pytest.mark.parametrize(("method", "path", "action", "spec"), ROUTES)
def test_a_path_names_model_version_and_method(method: str, path: str, action: str, spec: ModelSpec) -> None:
    target = split_target(path.encode())
    assert target is not None
    assert target.is_api
    route = find_route(method, target)
    assert (route.action, route.spec, route.version_fits) == (action, spec, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/"),
        ("POST", "/v1/models"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:PREDICT"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m:predict?x"),
        ("POST", "/v1/models/m:explain"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/1/labels/l:predict"),
        ("POST", "/v1/models/m/labels/l/versions/1:predict"),
        ("POST", "/v1/models/:predict"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/m:predict"),
        ("GET", "/v1/models/m/versions/x"),
        ("GET", "/v1/models/m/metadata?x"),
        ("GET", "/v1/models/m/metadata/"),
        ("GET", "/v1/other"),
        ("HEAD", "/v1/models/m"),
        ("PUT", "/v1/models/m:predict"),
        ("DELETE", "/v1/models/m"),
        ("PATCH", "/v1/models/m"),
    ],
)
def test_other_paths_and_verbs_are_malformed(method: str, path: str) -> None:
    target = split_target(path.encode())
    assert target is not None
    assert target.is_api
    with pytest.raises(ServingError) as raised:
        find_route(method, target)
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert raised.value.message == f"Malformed request: {method} {path}"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/versions/3", "/V1/models"])
def test_a_model_has_to_be_named(path: str) -> None:
    target = split_target(path.encode())
    assert target is not None
    with pytest.raises(ServingError, match=r"^INVALID_ARGUMENT: Missing model name in request\.$"):
        find_route("GET", target)


@pytest.mark.parametrize("path", ["/v1/models/m/versions/9223372036854775808", "/v1/models/m/versions/" + "9" * 40])
def test_a_version_beyond_int64_does_not_fit(path: str) -> None:
    target = split_target(path.encode())
    assert target is not None
    assert not find_route("GET", target).version_fits


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models/m", "/foo", "", "*", "/favicon.ico?/v1/"])
def test_paths_outside_v1_are_not_the_apis(path: str) -> None:
    target = split_target(path.encode())
    assert target is None or not target.is_api


@pytest.mark.parametrize(
    "path", ["/v1/models/a%zz", "/v1/models/a%2", '/v1/models/"a"', "/v1/models/a|b", "/a\\b", "/a^"]
)
def test_what_is_no_uri_is_recognised(path: str) -> None:
    assert split_target(path.encode()) is None


def test_query_and_fragment_belong_to_the_full_path() -> None:
    target = split_target(b"/a/b?c=%20d#e?")
    assert target is not None
    assert (target.path, target.full) == (b"/a/b", b"/a/b?c=%20d#e?")


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ({Code.OK}, 200),
        ({Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE}, 400),
        ({Code.UNAUTHENTICATED}, 401),
        ({Code.PERMISSION_DENIED}, 403),
        ({Code.NOT_FOUND}, 404),
        ({Code.ALREADY_EXISTS, Code.ABORTED}, 409),
        ({Code.RESOURCE_EXHAUSTED}, 429),
        ({Code.CANCELLED}, 499),
        ({Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS}, 500),
        ({Code.UNIMPLEMENTED}, 501),
        ({Code.UNAVAILABLE}, 503),
        ({Code.DEADLINE_EXCEEDED}, 504),
    ],
)
def test_every_code_has_its_http_status(codes: set[Code], status: int) -> None:
    assert {code for code in Code if HTTP_STATUS.get(code, 500) == status} == codes
