"""Ready code: filled with the addresses of this server and page, and harmless whatever these are."""

from __future__ import annotations

import ast
import shlex

import pytest

from ui.settings import PageSettings
from ui.snippets import Where, rest_address, snippets

HERE = Where("10.0.0.5:9500", "http://10.0.0.5:9501", "https://read.example:7860", "fracture", 7)


def code(where: Where) -> dict[str, str]:
    return {snippet.name: snippet.code for snippet in snippets(where)}


def test_every_snippet_names_this_server_or_page_and_the_version() -> None:
    found = code(HERE)
    assert set(found) == {"curl", "grpc", "rest", "read", "worklist"}
    for name in ("curl", "rest"):
        assert "http://10.0.0.5:9501/v1/models/fracture/versions/7:predict" in found[name]
    assert '"10.0.0.5:9500"' in found["grpc"]
    assert "version.value = 7" in found["grpc"]
    for name in ("read", "worklist"):
        assert 'Client("https://read.example:7860")' in found[name]


@pytest.mark.parametrize("login", [False, True])
def test_a_page_with_a_password_is_asked_with_it(login: bool) -> None:
    found = code(Where("a:1", "http://a:2", "http://a:3", "fracture", 1, login))
    assert ("OSTEO_PASSWORD" in found["read"]) == login
    assert ("OSTEO_PASSWORD" in found["worklist"]) == login
    assert "OSTEO_PASSWORD" not in found["grpc"]


@pytest.mark.parametrize("odd", ['"; import os; "', "a b", "$(reboot)", "x'y"])
def test_odd_addresses_stay_text(odd: str) -> None:
    where = Where(odd, odd, odd, odd, 1)
    for snippet in snippets(where):
        if snippet.language == "python":
            texts = {node.value for node in ast.walk(ast.parse(snippet.code)) if isinstance(node, ast.Constant)}
            assert any(odd in text for text in texts if isinstance(text, str))
        else:
            assert f"{odd}/v1/models/{odd}/versions/1:predict" in shlex.split(snippet.code)


@pytest.mark.parametrize(
    ("server", "rest", "address"),
    [
        ("127.0.0.1:8500", None, "http://127.0.0.1:8501"),
        ("model.example:9000", None, "http://model.example:8501"),
        ("[::1]:8500", None, "http://[::1]:8501"),
        ("127.0.0.1:8500", "127.0.0.1:9501", "http://127.0.0.1:9501"),
        ("127.0.0.1:8500", "https://model.example", "https://model.example"),
    ],
)
def test_the_rest_address_is_the_one_given_or_the_usual_one(server: str, rest: str | None, address: str) -> None:
    assert rest_address(PageSettings(server, rest=rest)) == address
