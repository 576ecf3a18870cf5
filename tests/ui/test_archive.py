"""ZIP archives are read member by member; what is wrong with one is a sentence, and never a file on the disk."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph import RadiographError, read
from tests.radiograph import files
from ui import archive
from ui.sources import Failure, Listing, Source, unpack

PICTURE = files.encoded(files.grey(), "PNG")


def _zip(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def _listed(folder: Path, data: bytes) -> Listing:
    path = folder / "study.zip"
    path.write_bytes(data)
    return unpack([Source("study.zip", path)])


def _contents(listing: Listing) -> list[str]:
    """Return what became of each entry: "picture", or the code of what was wrong with it."""
    return [_fate(entry)[0] for entry in listing.entries]


def _fate(entry: Source | Failure) -> tuple[str, str]:
    """Return "picture", or a code and a sentence."""
    if isinstance(entry, Failure):
        return entry.code, entry.error
    try:
        read(entry.content())
    except (archive.ArchiveError, RadiographError) as error:
        return error.code, error.sentence
    return "picture", ""


def _directory_entry(data: bytes, name: bytes) -> int:
    """Return where a member stands in the archive's list."""
    return data.index(name, data.index(b"PK\x01\x02")) - 46


def _patched(data: bytes, name: bytes, offset: int, value: int, size: int) -> bytes:
    """Return an archive whose list states another number for a member."""
    start = _directory_entry(data, name) + offset
    return data[:start] + value.to_bytes(size, "little") + data[start + size :]


def _encrypted(data: bytes, name: bytes) -> bytes:
    local = data.index(name) - 30
    data = data[: local + 6] + b"\x01" + data[local + 7 :]
    return _patched(data, name, 8, 1, 2)


def test_members_are_read_in_order_under_their_own_names(tmp_path: Path) -> None:
    listing = _listed(tmp_path, _zip({"series/b.png": PICTURE, "a.dcm": files.dicom()}))
    assert [entry.name for entry in listing.entries if isinstance(entry, Source)] == [
        "study.zip/series/b.png",
        "study.zip/a.dcm",
    ]
    assert _contents(listing) == ["picture", "picture"]
    assert listing.remarks == ()


def test_other_files_are_left_as_they_are(tmp_path: Path) -> None:
    sources = [Source("a.png", tmp_path / "a.png"), Source("missing.zip", tmp_path / "missing.zip")]
    (tmp_path / "a.png").write_bytes(PICTURE)
    assert unpack(sources).entries == tuple(sources)


def test_what_systems_add_is_left_out_with_a_remark(tmp_path: Path) -> None:
    junk = ("__MACOSX/._a.png", "._a.png", "sub/.DS_Store", "Thumbs.db", "desktop.ini", "DICOMDIR")
    listing = _listed(tmp_path, _zip({"a.png": PICTURE, "folder/": b"", **dict.fromkeys(junk, b"x")}))
    assert _contents(listing) == ["picture"]
    assert listing.remarks[0].startswith("6 files were left out")


FAULTS: dict[str, tuple[bytes, list[str]]] = {
    "password": (_encrypted(_zip({"a.png": PICTURE}), b"a.png"), ["archive_locked"]),
    "password on one": (_encrypted(_zip({"a.png": PICTURE, "b": PICTURE}), b"a.png"), ["archive_locked", "picture"]),
    "nested": (_zip({"in.zip": _zip({"a.png": PICTURE}), "b.png": PICTURE}), ["archive_nested", "picture"]),
    "upwards": (_zip({"../../a.png": PICTURE, "b.png": PICTURE}), ["archive_unsafe", "picture"]),
    "upwards, other slashes": (_zip({"x\\..\\..\\a.png": PICTURE, "b.png": PICTURE}), ["archive_unsafe", "picture"]),
    "absolute": (_zip({"/etc/a.png": PICTURE, "b.png": PICTURE}), ["archive_unsafe", "picture"]),
    "drive": (_zip({"C:/a.png": PICTURE, "b.png": PICTURE}), ["archive_unsafe", "picture"]),
    "3 GB": (_patched(_zip({"a.png": PICTURE, "b.png": PICTURE}), b"a.png", 24, 3 << 30, 4), ["too_large", "picture"]),
    "longer than stated": (_patched(_zip({"a.png": PICTURE, "b.png": PICTURE}), b"a.png", 24, 9, 4),
                           ["archive_damaged", "picture"]),
    "lzma": (_zip({"a.png": PICTURE}, zipfile.ZIP_LZMA), ["archive_method"]),
    "text": (_zip({"readme.txt": b"Dear colleague", "b.png": PICTURE}), ["unknown_format", "picture"]),
    "empty": (_zip({}), ["archive_empty"]),
    "junk alone": (_zip({".DS_Store": b"x"}), ["archive_empty"]),
    "cut": (_zip({"a.png": PICTURE})[:-30], ["archive_damaged"]),
    "start alone": (b"PK\x03\x04" + bytes(200), ["archive_damaged"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_a_sentence_and_spoils_no_other_member(tmp_path: Path, name: str) -> None:
    data, expected = FAULTS[name]
    listing = _listed(tmp_path, data)
    assert _contents(listing) == expected
    for code, said in map(_fate, listing.entries):
        assert code == "picture" or len(said.split(". ")) >= 2, "says what was wrong, then what to do"
    assert [path.name for path in tmp_path.iterdir()] == ["study.zip"]


def test_flipped_bytes_are_damage_or_read_and_nothing_else(tmp_path: Path) -> None:
    whole = _zip({"a.png": PICTURE, "b.dcm": files.dicom()})
    for place in range(0, len(whole), max(1, len(whole) // 100)):
        _contents(_listed(tmp_path, whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]))


def _bomb() -> bytes:
    """Return a small archive that stands for 10 GB: 100 members of 100 MB that share their bytes."""
    data = _zip({"m.png": bytes(100 << 20)})
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    count = 100
    tail = data[end:]
    counts = count.to_bytes(2, "little") * 2 + (count * (end - start)).to_bytes(4, "little")
    return data[:start] + data[start:end] * count + tail[:8] + counts + tail[16:]


def _crowd() -> bytes:
    return _zip(dict.fromkeys((f"{number}.png" for number in range(2001)), b""), zipfile.ZIP_STORED)


def _long_list() -> bytes:
    """Return an archive whose list of members is said to have 5 MB."""
    data = _zip({"a.png": PICTURE})
    end = data.rindex(b"PK\x05\x06")
    return data[:end] + data[end : end + 12] + (5 << 20).to_bytes(4, "little") + data[end + 16 :]


@pytest.mark.parametrize("made", [_bomb, _crowd, _long_list], ids=["bomb", "crowd", "long list"])
def test_a_bomb_is_refused_from_its_list_alone(tmp_path: Path, made: Callable[[], bytes]) -> None:
    data = made()
    tracemalloc.start()
    listing = _listed(tmp_path, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert _contents(listing) == ["archive_too_large"]
    assert peak < 20 << 20
