"""Every reason for which a file is not read as a radiograph, each with a stable code and a sentence for the user."""

# ruff: noqa: N818 – named for what happened, as HTTP and gRPC libraries name theirs
from __future__ import annotations

from typing import ClassVar


class RadiographError(Exception):
    """The file cannot be read as a radiograph; the message is a sentence for the user.

    ``code`` is a stable snake-case word for JSON. ``name`` is the file's name where the caller gave one, and then
    stands before the sentence. Nothing from a DICOM header is ever part of the sentence.
    """

    code: ClassVar[str] = "radiograph_error"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.name: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}" if self.name else self.sentence


class FileMissing(RadiographError):
    """There is no file at the path."""

    code = "file_not_found"


class NotReadable(RadiographError):
    """The path is a folder or a device, or the file may not be opened."""

    code = "not_readable"


class EmptyFile(RadiographError):
    """The file has no content."""

    code = "empty_file"


class UnknownFormat(RadiographError):
    """The content is none of the kinds of file that are read."""

    code = "unknown_format"


class Truncated(RadiographError):
    """The file is of a known kind, but cut short or damaged."""

    code = "truncated"


class TooLarge(RadiographError):
    """The file or the picture in it is larger than is read."""

    code = "too_large"


class TooSmall(RadiographError):
    """The picture has too few pixels to show a bone."""

    code = "too_small"


class ColourPicture(RadiographError):
    """The picture is in colour; radiographs are grey."""

    code = "colour_picture"


class UnsupportedPixels(RadiographError):
    """The file stores values of a kind that no radiograph needs, such as 32 bit or floating point."""

    code = "unsupported_pixels"


class NotARadiograph(RadiographError):
    """A DICOM file of another modality, such as a CT slice."""

    code = "not_a_radiograph"


class NoPixels(RadiographError):
    """A DICOM file without a picture."""

    code = "no_pixels"


class UnsupportedCompression(RadiographError):
    """A DICOM file whose pixels are compressed in a way that cannot be decoded."""

    code = "unsupported_compression"


class FrameNeeded(RadiographError):
    """A file of ``count`` frames or pages, and none of them, or one that is not there, was asked for."""

    code = "frame_needed"

    def __init__(self, sentence: str, count: int) -> None:
        super().__init__(sentence)
        self.count = count

    def __reduce__(self) -> tuple[type[FrameNeeded], tuple[str, int], dict[str, object]]:
        return type(self), (self.sentence, self.count), self.__dict__
