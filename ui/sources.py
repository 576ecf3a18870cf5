"""Where a radiograph comes from: a file, a member of an archive, one frame of several."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from radiograph.read import content
from ui import archive

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Source:
    """One radiograph to read: ``name`` as people see it, the file at ``path``, its place in an archive, its frame.

    ``frames`` is how many frames or pages the file holds, where it is known to hold several. The file is opened again
    each time it is asked for, so a source holds no pixels.
    """

    name: str
    path: FilePath
    place: int | None = None
    frame: int | None = None
    frames: int | None = None

    def content(self) -> bytes:
        """Return the bytes of the file; raises RadiographError or ArchiveError where it cannot be had."""
        return content(self.path) if self.place is None else archive.member_bytes(self.path, self.place)

    def at_frame(self, frame: int) -> Source:
        """Return the source of one frame (from 1) of the same file, which its name says."""
        file = self.name.removesuffix(f", frame {self.frame}")
        return replace(self, name=f"{file}, frame {frame}", frame=frame)


@dataclass(frozen=True)
class Failure:
    """A file without a result: ``error`` is a sentence for the user, ``code`` the same for programs.

    ``passing`` tells that the server was at fault, so that the same file may be read later; ``frames`` is how many
    frames there are where one must be chosen, by ``Source.at_frame``.
    """

    file: str
    error: str
    code: str
    passing: bool = False
    frames: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the failure for programs; with ``frames`` where one of them must be chosen."""
        chosen_from = {"frames": self.frames} if self.frames else {}
        return {"file": self.file, "error": self.error, "code": self.code, **chosen_from}

    def to_json(self) -> str:
        """Return ``to_dict`` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


@dataclass(frozen=True)
class Listing:
    """What files and archives hold, in order; ``left_out`` counts members that never are radiographs."""

    entries: tuple[Source | Failure, ...]
    left_out: int = 0

    def at_frame(self, frame: int | None) -> Listing:
        """Return the same with one frame (from 1) of each file, or as it is where none is named."""
        if frame is None:
            return self
        entries = (entry if isinstance(entry, Failure) else entry.at_frame(frame) for entry in self.entries)
        return replace(self, entries=tuple(entries))

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence on what was left out, where anything was."""
        if not self.left_out:
            return ()
        what = "1 file was" if self.left_out == 1 else f"{self.left_out} files were"
        return (f"{what} left out of the archive: indexes and what macOS or Windows add.",)


def study_id(paths: Iterable[FilePath]) -> str:
    """Return an id of files that are read together: of their content alone, so the same files are always routed alike.

    Files that cannot be opened have no part in it.
    """
    digests = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:  # noqa: PTH123 – as in ``archive``
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:32]


def unpack(sources: Iterable[Source]) -> Listing:
    """Return the sources with every ZIP archive replaced by its members; what cannot be read is a Failure in place."""
    entries: list[Source | Failure] = []
    left_out = 0
    for source in sources:
        if source.place is not None or not archive.is_archive(source.path):
            entries.append(source)
            continue
        try:
            found, passed_over = archive.members(source.path)
        except archive.ArchiveError as error:
            entries.append(Failure(source.name, error.sentence, error.code))
            continue
        left_out += passed_over
        for member in found:
            name = f"{source.name}/{member.name}"
            if member.fault:
                entries.append(Failure(name, member.fault.sentence, member.fault.code))
            else:
                entries.append(Source(name, source.path, member.place))
    return Listing(tuple(entries), left_out)
