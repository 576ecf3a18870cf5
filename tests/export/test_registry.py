"""The registry: a change after publishing is named, a retired number never comes back; the same on object storage."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from export.manifest import MANIFEST
from export.registry import listing, numbers, publish_folder, retire, verify
from export.versions import RETIRED, VersionError, publish


@pytest.fixture(params=["folder", "file://", "memory://"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry in a local folder, under a file URL, and on object storage."""
    places = {"folder": str(tmp_path / "m"), "file://": f"file://{tmp_path}/m", "memory://": f"memory://{uuid.uuid4()}"}
    return places[request.param]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    (folder / "variables").mkdir(parents=True)
    (folder / "assets.extra").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "assets.extra" / "card").write_bytes(b"card")
    return folder


def put(base: str, path: str, content: bytes | None) -> None:
    fs, root = fsspec.core.url_to_fs(base)
    if content is None:
        fs.rm(f"{root}/{path}")
    else:
        fs.pipe_file(f"{root}/{path}", content)


def test_what_is_published_verifies_and_is_listed(base: str, exported: Path) -> None:
    paths = [publish_folder(exported, base) for _ in range(2)]
    assert [path.rpartition("/")[2] for path in paths] == ["1", "2"]
    assert verify(base, 1)
    assert [(entry.version, entry.state) for entry in listing(base)] == [(1, "verified"), (2, "verified")]


def test_the_manifest_lists_every_file_but_itself(tmp_path: Path, exported: Path) -> None:
    folder = Path(publish_folder(exported, tmp_path / "m"))
    recorded = json.loads((folder / MANIFEST).read_text())["files"]
    assert [entry["path"] for entry in recorded] == ["assets.extra/card", "saved_model.pb", "variables/variables.index"]
    assert recorded[1]["bytes"] == len(b"graph")


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("variables/variables.index", b"ind", "variables/variables.index was changed"),
        ("assets.extra/card", b"CARD", "assets.extra/card was changed"),
        ("variables/variables.index", None, "variables/variables.index is missing"),
        ("variables/more", b"x", "variables/more was added"),
        (MANIFEST, b"{", "manifest .* cannot be read"),
    ],
    ids=["truncated", "same size", "missing", "added", "manifest"],
)
def test_a_change_after_publishing_is_refused_and_named(
    base: str, exported: Path, path: str, content: bytes | None, words: str
) -> None:
    publish_folder(exported, base)
    put(base, f"1/{path}", content)
    with pytest.raises(VersionError, match=words):
        verify(base, 1)
    assert [entry.state for entry in listing(base)] == ["changed"]


def test_a_version_without_manifest_is_unverified(base: str, exported: Path) -> None:
    publish_folder(exported, base)
    put(base, f"1/{MANIFEST}", None)
    assert not verify(base, 1)


def test_a_published_number_is_never_overwritten(base: str, exported: Path) -> None:
    publish_folder(exported, base, version=3)
    with pytest.raises(VersionError, match="never overwritten"):
        publish_folder(exported, base, version=3)


def test_a_retired_version_is_gone_and_its_number_too(base: str, exported: Path) -> None:
    for _ in range(2):
        publish_folder(exported, base)
    retire(base, 2, {"stable": 1})
    retire(base, 2, {"stable": 1})
    assert numbers(base) == [1]
    assert publish_folder(exported, base).endswith("/3")
    with pytest.raises(VersionError, match="retired"):
        publish_folder(exported, base, version=2)
    fs, root = fsspec.core.url_to_fs(base)
    assert fs.exists(f"{root}/{RETIRED}/2/saved_model.pb")


def test_a_labelled_version_is_never_retired(base: str, exported: Path) -> None:
    publish_folder(exported, base)
    with pytest.raises(VersionError, match="label 'stable'"):
        retire(base, 1, {"stable": 1})
    assert verify(base, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda base: verify(base, 7), "no version 7"),
        (lambda base: retire(base, 7, {}), "no version 7"),
        (lambda base: publish_folder(Path("/nowhere"), base), "no SavedModel"),
    ],
    ids=["verify", "retire", "publish"],
)
def test_what_is_not_there_is_said_in_a_sentence(base: str, call: Callable[[str], object], words: str) -> None:
    with pytest.raises(VersionError, match=words):
        call(base)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()
    with pytest.raises(VersionError, match="holds no SavedModel"):
        verify(tmp_path, 4)


def test_a_changed_export_is_not_published_as_it_is(tmp_path: Path, exported: Path) -> None:
    first = Path(publish_folder(exported, tmp_path / "m"))
    (first / "saved_model.pb").write_bytes(b"other")
    with pytest.raises(VersionError, match=r"saved_model\.pb was changed"):
        publish_folder(first, tmp_path / "n")
    assert numbers(tmp_path / "n") == []


def test_an_export_comes_with_its_manifest(tmp_path: Path) -> None:
    def build(partial: Path) -> None:
        (partial / "saved_model.pb").write_bytes(b"graph")

    folder = publish(tmp_path, build)
    assert (folder / MANIFEST).is_file()
    assert verify(tmp_path, 1)
