"""ZIP archives: which of their members may be read, and one member's bytes at a time.

Nothing is ever written to disk, so no name in an archive can lead anywhere, and memory holds one member at most.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from radiograph import RadiographError
from radiograph.limits import MAX_FILE_BYTES, check_file_size

MAX_MEMBERS: Final = 2_000
MAX_UNPACKED: Final = 8 * 2**30
"""Bytes of all members together; a study of a hundred large views stays below, and no bomb does."""
MAX_DIRECTORY: Final = 4 * 2**20
"""Bytes of the list of members, which is read whole: room for several times MAX_MEMBERS."""

_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_END: Final = b"PK\x05\x06"
_END_64: Final = b"PK\x06\x06"
_ENCRYPTED: Final = 0x1
_LEFT_OUT: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini", "dicomdir"})
"""What systems and archive viewers leave beside pictures."""


class ArchiveError(Exception):
    """An archive, or one member of it, is not read; ``sentence`` is for the user, ``code`` for programs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True)
class Member:
    """One file in an archive: its place in the archive's list, its name there, and why it is not read."""

    place: int
    name: str
    fault: ArchiveError | None = None


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a ZIP archive does; False where it cannot be opened."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 – a path may be any text here, and Path refuses some
            return file.read(4) in _STARTS
    except (OSError, ValueError):
        return False


def members(path: str | os.PathLike[str]) -> tuple[tuple[Member, ...], int]:
    """Return the members of an archive, and how many that never are radiographs were left out.

    Raises ArchiveError where the archive is damaged, empty, locked with a password or unpacks to too much.
    """
    try:
        _check_directory(path)
        with ZipFile(path) as archive:
            infos = archive.infolist()
    except (BadZipFile, LargeZipFile, OSError, ValueError, NotImplementedError, UnicodeError):
        raise _damaged() from None
    files = [(place, info) for place, info in enumerate(infos) if not info.is_dir()]
    wanted = [(place, info) for place, info in files if not _is_left_out(info.filename)]
    if not wanted:
        raise ArchiveError(
            "archive_empty", "The archive holds no file that could be a radiograph. Check what was packed."
        )
    if len(wanted) > MAX_MEMBERS:
        raise ArchiveError(
            "archive_too_large",
            f"The archive holds {len(wanted):,} files; at most {MAX_MEMBERS:,} are read. Split it.",
        )
    if all(info.flag_bits & _ENCRYPTED for _, info in wanted):
        raise _locked("The archive is")
    found = tuple(Member(place, _shown(info.filename), _fault(info)) for place, info in wanted)
    unpacked = sum(info.file_size for (_, info), member in zip(wanted, found, strict=True) if not member.fault)
    if unpacked > MAX_UNPACKED:
        raise ArchiveError(
            "archive_too_large",
            f"The archive unpacks to {unpacked / 2**30:,.0f} GB; at most {MAX_UNPACKED >> 30} GB are read. Split it.",
        )
    return found, len(files) - len(wanted)


def member_bytes(path: str | os.PathLike[str], place: int) -> bytes:
    """Return the content of one member; never more than a radiograph's file may have.

    Raises ArchiveError where it is not read, also where it is an archive itself.
    """
    try:
        _check_directory(path)
        with ZipFile(path) as archive:
            info = archive.infolist()[place]
            fault = _fault(info)
            if fault:
                raise fault
            with archive.open(info) as file:
                data = file.read(min(info.file_size, MAX_FILE_BYTES) + 1)
    except (BadZipFile, LargeZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, IndexError):
        raise _damaged("The file in the archive") from None
    except zlib.error:
        raise _damaged("The file in the archive") from None
    if data.startswith(_STARTS):
        raise ArchiveError("archive_nested", "This is an archive inside the archive. Unpack it and give what is in it.")
    return data


def _fault(info: ZipInfo) -> ArchiveError | None:
    """Return why a member is not read, as far as the archive's list tells."""
    parts = PurePosixPath(info.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or info.filename[1:2] == ":":
        return ArchiveError(
            "archive_unsafe", "The file's name leads outside of the archive, so it was not unpacked. Pack it again."
        )
    if info.flag_bits & _ENCRYPTED:
        return _locked("The file in the archive is")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return ArchiveError(
            "archive_method", "The file is packed by a method that is not read. Pack it as a plain ZIP archive."
        )
    try:
        check_file_size(info.file_size)
    except RadiographError as error:
        return ArchiveError(error.code, error.sentence)
    return None


def _check_directory(path: str | os.PathLike[str]) -> None:
    """Raise ArchiveError where the list of members is larger than is read; zipfile would hold millions of them."""
    with open(path, "rb") as file:  # noqa: PTH123 – as above
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - 2**16 - 200))
        tail = file.read()
    sizes = [0]
    end, end_64 = tail.rfind(_END), tail.rfind(_END_64)
    if end >= 0 and tail[end + 12 : end + 16] != b"\xff" * 4:
        sizes.append(int.from_bytes(tail[end + 12 : end + 16], "little"))
    if end_64 >= 0:
        sizes.append(int.from_bytes(tail[end_64 + 40 : end_64 + 48], "little"))
    if max(sizes) > MAX_DIRECTORY:
        raise ArchiveError(
            "archive_too_large", f"The archive holds too many files; at most {MAX_MEMBERS:,} are read. Split it."
        )


def _is_left_out(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not parts or parts[0] == "__MACOSX" or parts[-1].startswith("._") or parts[-1].lower() in _LEFT_OUT


def _shown(name: str) -> str:
    return "".join(letter for letter in name.replace("\\", "/") if letter.isprintable())


def _locked(what: str) -> ArchiveError:
    return ArchiveError("archive_locked", f"{what} locked with a password. Unpack it and give the files.")


def _damaged(what: str = "The archive") -> ArchiveError:
    return ArchiveError("archive_damaged", f"{what} is damaged or incomplete. Copy it or pack it again.")
