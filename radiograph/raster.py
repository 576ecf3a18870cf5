"""JPEG, PNG, TIFF, WebP and BMP files: everything that Pillow decodes.

Pillow's file classes are called directly. ``Image.open`` would try other formats by itself, and its guard against huge
pictures is a global setting and a Python warning; ours is an error, raised from the header alone.
"""

from __future__ import annotations

import logging
import warnings
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from radiograph.errors import ColourPicture, RadiographError, Truncated, UnsupportedPixels
from radiograph.frames import frame_index
from radiograph.image import FileKind, Radiograph
from radiograph.limits import check_picture_size

# Pillow logs the text tags of a TIFF, a name among them, at DEBUG, and warns of metadata that we do not use.
logging.getLogger("PIL").setLevel(logging.INFO)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

COLOUR_CHROMA: Final = 24
"""Difference of the largest and smallest channel (of 255) from which a place counts as coloured."""
COLOUR_SHARE: Final = 0.05
"""Share of coloured places above which a picture is a colour picture; a marker or a note stays below."""
_SURVEY: Final = 256
"""Longer side in px at which colour is looked for: noise and JPEG's chroma blocks average out."""

_FILE_CLASSES: Final[dict[FileKind, type[ImageFile.ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (EXIF 2.32, 4.6.4 A) to the turn that undoes it; 1 and anything else is upright."""

_MOST_PAGES: Final = 1_000
"""Pages of a TIFF that can be asked for: Pillow takes ever longer from one to the next."""
_TIFF_SUBFILE: Final = 254
_REDUCED_OR_MASK: Final = 0b101
"""Bits of NewSubfileType (TIFF 6.0, section 8): a smaller copy of another page, or a transparency mask."""
_TIFF_PHOTOMETRIC: Final = 262
_TIFF_BITS_PER_SAMPLE: Final = 258
_WHITE_IS_ZERO: Final = 0


def read_raster(data: bytes, kind: FileKind, frame: int | None = None) -> Radiograph:
    """Return the radiograph in the bytes of a picture file of the given kind; ``frame`` (from 1) is a TIFF's page.

    uint8, or uint16 for 16 bit grey files with as many bits as their values need (9 to 16). Of a moving picture the
    first is read. Raises FrameNeeded, Truncated, TooLarge and TooSmall (from the header, before decoding),
    ColourPicture and UnsupportedPixels.
    """
    try:
        return _read(data, kind, frame)
    except RadiographError:
        raise
    except Exception as error:  # a decoder may fail in any way on a file that somebody made up
        if isinstance(error, SyntaxError) and str(error).startswith(("cannot handle", "unknown pixel mode")):
            raise _unsupported() from None
        raise _damaged(kind) from None


def _read(data: bytes, kind: FileKind, frame: int | None) -> Radiograph:
    remarks = []
    if kind == "WebP":
        # The WebP class asks for the memory of the whole canvas when it is opened.
        check_picture_size(*_webp_size(data))
    picture = _FILE_CLASSES[kind](BytesIO(data))
    if isinstance(picture, TiffImageFile):
        pages = _pages(data)
        picture.seek(pages[frame_index(kind, "page", len(pages), frame)])
    else:
        frame_index(kind, "picture", 1, frame)
    orientation = _tiff_tag(picture, ExifTags.Base.Orientation)
    size = (picture.height, picture.width) if orientation >= 5 else picture.size
    check_picture_size(*size)
    moving = kind != "TIFF" and getattr(picture, "is_animated", False)
    white_is_zero = _tiff_tag(picture, _TIFF_PHOTOMETRIC, 1) == _WHITE_IS_ZERO
    deep_colour = _has_deep_colour(picture, data)
    picture.load()
    upright: Image.Image = picture
    if not isinstance(picture, TiffImageFile):  # Pillow turns a TIFF upright while it loads
        orientation = _exif_orientation(picture)
        if orientation in _UPRIGHT:
            upright = picture.transpose(_UPRIGHT[orientation])
    pixels, bits = _grey(upright, invert=white_is_zero)
    if orientation in _UPRIGHT:
        remarks.append("The picture was turned or mirrored as the orientation mark in its file asks.")
    if moving:
        remarks.append("The file holds several pictures; only the first was read.")
    if deep_colour:
        remarks.append("The file holds 16 bit in colour; 8 bit of grey were read from it.")
    return Radiograph(pixels, bits, size, kind, tuple(remarks))


def _pages(data: bytes) -> list[int]:
    """Return where the pages of a TIFF stand, without those that only repeat or mask another; never empty."""
    picture = TiffImageFile(BytesIO(data))  # one of its own: a search that ends at a broken page leaves it broken
    found = []
    for place in range(_MOST_PAGES if picture.is_animated else 1):
        try:
            picture.seek(place)
        except SyntaxError:  # a page of a kind that Pillow does not know, which is said if it is asked for
            pass
        except Exception:  # the last page was the one before, or nothing behind it can be found
            break
        if not _tiff_tag(picture, _TIFF_SUBFILE) & _REDUCED_OR_MASK:
            found.append(place)
    return found or [0]


def _damaged(kind: FileKind) -> Truncated:
    return Truncated(f"The {kind} file is damaged or incomplete. Copy or export it again.")


def _unsupported() -> UnsupportedPixels:
    return UnsupportedPixels(
        "The file stores its values in a form that is not read, such as 32 bit or floating point. "
        "Export it as grey with 8 or 16 bits a pixel."
    )


def _tiff_tag(picture: ImageFile.ImageFile, tag: int, default: int = 0) -> int:
    value = picture.tag_v2.get(tag, default) if isinstance(picture, TiffImageFile) else default
    return value if isinstance(value, int) else default


def _has_deep_colour(picture: ImageFile.ImageFile, data: bytes) -> bool:
    """Return whether Pillow will cut 16 bit channels to 8, which it does for everything but plain grey."""
    if picture.mode.startswith("I"):
        return False
    if isinstance(picture, TiffImageFile):
        depths = picture.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (8,))
        return isinstance(depths, tuple) and max(depths) > 8
    return isinstance(picture, PngImageFile) and data[24] == 16  # the bit depth in IHDR


def _exif_orientation(picture: ImageFile.ImageFile) -> int:
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken EXIF block must not cost the picture
        return 1
    return value if isinstance(value, int) else 1


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height from a WebP header (RFC 9649, sections 2.5 to 2.7)."""
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8 " and len(body) == 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if chunk == b"VP8L" and len(body) >= 5:
        packed = int.from_bytes(body[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise _damaged("WebP")


def _grey(picture: Image.Image, *, invert: bool) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int]:
    """Return the pixels as grey levels with their bit depth, or raise ColourPicture or UnsupportedPixels.

    Transparency is laid over black: the film beyond the limb is black, and so is the padding of the model's input.
    """
    if picture.mode.startswith("I"):
        return _deep_grey(picture, invert=invert)
    if picture.mode in ("F", "LAB"):
        raise _unsupported()
    if picture.has_transparency_data:
        red, green, blue, _ = picture.convert("RGBA").convert("RGBa").split()
        picture = Image.merge("RGB", (red, green, blue))
    if picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")
        _refuse_colour(picture)
    return np.asarray(picture.convert("L")), 8


def _deep_grey(picture: Image.Image, *, invert: bool) -> tuple[NDArray[np.uint16], int]:
    """Return 16 bit grey levels in as many bits as the largest needs.

    Detectors give 10 to 14 bits, and most programs store them in 16 bit words without saying how many are in use.
    """
    stored = np.asarray(picture)
    top = int(stored.max())
    if int(stored.min()) < 0 or top > 0xFFFF:
        raise _unsupported()
    bits = max(9, top.bit_length())
    pixels = stored.astype(np.uint16, copy=False)
    if invert:
        pixels = np.uint16((1 << bits) - 1) - pixels
    return pixels, bits


def _refuse_colour(picture: Image.Image) -> None:
    """Raise ColourPicture unless the channels of an RGB picture agree nearly everywhere."""
    survey = picture.reduce(max(1, max(picture.size) // _SURVEY))
    channels = np.asarray(survey).astype(np.int16)
    chroma = channels.max(axis=2) - channels.min(axis=2)
    if np.mean(chroma > COLOUR_CHROMA) > COLOUR_SHARE:
        raise ColourPicture(
            "This is a colour picture, not a radiograph. If it is a tinted scan of a film, save it as greyscale first."
        )
