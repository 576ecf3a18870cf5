"""JPEG, PNG, TIFF, WebP and BMP files are read as they are meant to be looked at, in every depth and colour model."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiograph import FrameNeeded, Radiograph, RadiographError, read
from tests.radiograph import files
from tests.radiograph.files import encoded, grey, sample

LOSSY = 12
"""Grey levels that JPEG and WebP may be off by on a small noisy picture."""

_GREY = grey()
_RGB = grey().convert("RGB")
_PIXELS = sample().pixels
_DEEP = sample(16).pixels.astype(np.uint16)
_PAGES = (_PIXELS, np.flipud(_PIXELS), _PIXELS[:100, :80])

KINDS: dict[str, tuple[bytes, str, int]] = {
    "jpeg grey": (encoded(_GREY, "JPEG", quality=95), "JPEG", LOSSY),
    "jpeg grey stored as rgb": (encoded(_RGB, "JPEG", quality=95), "JPEG", LOSSY),
    "jpeg progressive": (encoded(_RGB, "JPEG", quality=95, progressive=True), "JPEG", LOSSY),
    "jpeg cmyk": (encoded(_RGB.convert("CMYK"), "JPEG", quality=95), "JPEG", LOSSY),
    "png grey": (encoded(_GREY, "PNG"), "PNG", 0),
    "png rgb": (encoded(_RGB, "PNG"), "PNG", 0),
    "png palette": (encoded(_GREY.convert("P"), "PNG"), "PNG", 0),
    "png grey with alpha": (encoded(_GREY.convert("LA"), "PNG"), "PNG", 0),
    "png rgb with alpha": (encoded(_RGB.convert("RGBA"), "PNG"), "PNG", 0),
    "tiff grey": (encoded(_GREY, "TIFF"), "TIFF", 0),
    "tiff grey lzw": (encoded(_GREY, "TIFF", compression="tiff_lzw"), "TIFF", 0),
    "tiff rgb": (encoded(_RGB, "TIFF"), "TIFF", 0),
    "webp lossy": (encoded(_RGB, "WEBP", quality=95), "WebP", LOSSY),
    "webp lossless": (encoded(_RGB, "WEBP", lossless=True), "WebP", 0),
    "webp with alpha": (encoded(_RGB.convert("RGBA"), "WEBP", lossless=True), "WebP", 0),
    "bmp grey": (encoded(_GREY, "BMP"), "BMP", 0),
    "bmp rgb": (encoded(_RGB, "BMP"), "BMP", 0),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_gives_its_grey_levels(name: str) -> None:
    data, kind, tolerance = KINDS[name]
    radiograph = read(data)
    assert (radiograph.kind, radiograph.bits, radiograph.pixels.dtype.name) == (kind, 8, "uint8")
    assert radiograph.original_size == (files.WIDTH, files.HEIGHT)
    assert np.abs(radiograph.pixels.astype(int) - _PIXELS).max() <= tolerance


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(Image.fromarray(_DEEP), "PNG"), id="png"),
        pytest.param(encoded(Image.fromarray(_DEEP), "TIFF"), id="tiff little-endian"),
        pytest.param(
            encoded(Image.frombytes("I;16B", (96, 128), _DEEP.astype(">u2").tobytes()), "TIFF"), id="tiff big"
        ),
        pytest.param(encoded(Image.fromarray(_DEEP), "TIFF", compression="tiff_lzw"), id="tiff lzw"),
    ],
)
def test_sixteen_bit_grey_keeps_every_level(data: bytes) -> None:
    radiograph = read(data)
    assert radiograph.pixels.dtype == np.uint16
    assert np.array_equal(radiograph.pixels, _DEEP)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_depth_of_a_sixteen_bit_file_is_what_its_values_need(bits: int) -> None:
    pixels = sample(bits).pixels.copy()
    pixels[0, 0] = (1 << bits) - 1
    radiograph = read(encoded(Image.fromarray(pixels), "PNG"))
    assert radiograph.bits == bits
    assert np.array_equal(radiograph.pixels, pixels)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shallow_png_is_spread_over_eight_bits(depth: int) -> None:
    width = 64
    row = bytes([0]) + bytes([0b10110001] * (width * depth // 8))
    radiograph = read(files.png(width, 40, depth, 0, zlib.compress(row * 40)))
    assert radiograph.bits == 8
    assert set(np.unique(radiograph.pixels)) <= {round(255 * level / ((1 << depth) - 1)) for level in range(1 << depth)}
    assert radiograph.pixels.max() > 200 or depth == 4


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_white_is_zero_tiff_is_turned_round(depth: int, dtype: type[np.generic]) -> None:
    top = (1 << depth) - 1
    pixels = sample(depth).pixels.copy()
    pixels[0, 0] = 0
    stored = (top - pixels).astype(dtype)
    radiograph = read(files.tiff(files.WIDTH, files.HEIGHT, {258: depth, 262: 0}, stored.tobytes()))
    assert np.array_equal(radiograph.pixels, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_mark_is_applied(kind: str, orientation: int) -> None:
    radiograph = read(files.turned(orientation, kind))
    stored = (files.HEIGHT, files.WIDTH) if orientation >= 5 else (files.WIDTH, files.HEIGHT)
    assert radiograph.original_size == stored
    assert radiograph.pixels.shape == _PIXELS.shape
    assert np.abs(radiograph.pixels.astype(int) - _PIXELS).max() <= (LOSSY if kind == "JPEG" else 0)
    assert any("turned" in warning for warning in radiograph.warnings) == (orientation > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_mark_is_applied_to_a_sixteen_bit_tiff(orientation: int) -> None:
    stored = files.stored_as(_DEEP, orientation)
    tags = {258: 16, 262: 1, files.ORIENTATION: orientation}
    radiograph = read(files.tiff(stored.shape[1], stored.shape[0], tags, stored.tobytes()))
    assert np.array_equal(radiograph.pixels, _DEEP)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_does_not_cost_the_picture() -> None:
    data = encoded(_GREY, "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    assert read(data).pixels.shape == _PIXELS.shape


def test_transparent_parts_become_black() -> None:
    picture = grey().convert("LA")
    picture.putalpha(
        Image.fromarray(np.where(np.arange(files.WIDTH) < 40, 0, 255).astype(np.uint8)[None].repeat(128, 0))
    )
    radiograph = read(encoded(picture, "PNG"))
    assert not radiograph.pixels[:, :40].any()
    assert np.array_equal(radiograph.pixels[:, 40:], _PIXELS[:, 40:])


def test_a_coloured_marker_does_not_make_a_colour_picture() -> None:
    picture = grey().convert("RGB")
    picture.paste((230, 20, 20), (4, 4, 20, 24))
    assert read(encoded(picture, "JPEG")).pixels.shape == _PIXELS.shape


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_colour_picture_is_refused(kind: str) -> None:
    with pytest.raises(RadiographError) as caught:
        read(encoded(files.colourful(), kind))
    assert caught.value.code == "colour_picture"


def test_a_colour_palette_is_refused() -> None:
    with pytest.raises(RadiographError) as caught:
        read(encoded(files.colourful().quantize(64), "PNG"))
    assert caught.value.code == "colour_picture"


def _paged(*marks: int) -> bytes:
    """Return a TIFF file of the three pages; ``marks`` are the kinds (NewSubfileType) of its first ones."""
    pages = [Image.fromarray(pixels) for pixels in _PAGES]
    for page, mark in zip(pages, marks, strict=False):
        page.encoderinfo = {"tiffinfo": {254: mark}}
    return encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_of_a_moving_picture_the_first_is_read_with_a_warning(kind: str) -> None:
    data = encoded(_GREY, kind, save_all=True, append_images=[Image.new("L", _GREY.size)], lossless=True)
    radiograph = read(data)
    assert np.array_equal(radiograph.pixels, _PIXELS)
    assert any("first" in warning for warning in radiograph.warnings)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_chosen_page_is_read(page: int) -> None:
    assert np.array_equal(read(_paged(), frame=page).pixels, _PAGES[page - 1])


@pytest.mark.parametrize("page", [None, 0, 4])
def test_pages_that_are_not_there_are_asked_for_again(page: int | None) -> None:
    with pytest.raises(FrameNeeded, match="1 to 3") as caught:
        read(_paged(), frame=page)
    assert caught.value.count == 3


@pytest.mark.parametrize("subfile", [1, 4])
def test_a_smaller_copy_or_a_mask_is_no_page_of_its_own(subfile: int) -> None:
    data = _paged(0, subfile)
    assert np.array_equal(read(data, frame=2).pixels, _PAGES[2])
    with pytest.raises(FrameNeeded, match="1 to 2"):
        read(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_alone_is_its_first_and_has_no_second(kind: str) -> None:
    data = encoded(_GREY, kind)
    assert np.array_equal(read(data, frame=1).pixels, read(data).pixels)
    with pytest.raises(FrameNeeded, match="only"):
        read(data, frame=2)


def test_what_lies_behind_a_page_that_cannot_be_found_is_left_out() -> None:
    data = bytearray(_paged())
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    place = first + 2 + 12 * entries
    data[place : place + 4] = (len(data) + 8).to_bytes(4, "little")
    assert np.array_equal(read(bytes(data)).pixels, _PIXELS)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour_is_read_with_eight_bits_and_a_warning(colour_type: int, channels: int) -> None:
    pixels = np.repeat(_DEEP[:, :, None], channels, axis=2)
    if colour_type != 2:
        pixels[:, :, -1] = 65535
    radiograph = read(files.deep_png(pixels, colour_type))
    assert np.abs(radiograph.pixels.astype(int) - (_DEEP >> 8)).max() <= 1
    assert any("16 bit" in warning for warning in radiograph.warnings)


def test_file_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "radiograph.txt"
    grey().save(path, "PNG")
    assert read(path).kind == "PNG"


def test_path_and_bytes_give_the_same_radiograph(tmp_path: Path) -> None:
    path = tmp_path / "radiograph.png"
    sample(16).write_png(path)
    expected = read(path.read_bytes()).pixels
    assert np.array_equal(read(path).pixels, expected)
    assert np.array_equal(read(str(path)).pixels, expected)


def _warned(radiograph: Radiograph, word: str) -> bool:
    return any(word in warning for warning in radiograph.warnings)


@pytest.mark.parametrize(("size", "low"), [((299, 200), True), ((300, 200), False), ((200, 640), False)])
def test_low_resolution_is_remarked(size: tuple[int, int], low: bool) -> None:
    assert _warned(read(encoded(grey().resize(size), "PNG")), "resolution") == low


@pytest.mark.parametrize(
    ("white", "word", "expected"),
    [((30, 40, 60, 80), "white", True), ((0, 0, 20, 128), "white", False), ((0, 0, 0, 0), "white", False)],
    ids=["burnt-out middle", "collimated margin", "as it is"],
)
def test_clipped_exposure_is_remarked(white: tuple[int, int, int, int], word: str, expected: bool) -> None:
    picture = grey()
    picture.paste(255, white)
    assert _warned(read(encoded(picture, "PNG")), word) == expected


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_level_is_remarked_for_what_it_is(level: int) -> None:
    remarks = read(encoded(Image.new("L", (400, 400), level), "PNG")).warnings
    assert remarks == ("The picture is of one grey level throughout: there is nothing on it to read.",)


def test_an_almost_empty_film_is_remarked() -> None:
    film = Image.new("L", (400, 400))
    film.paste(90, (100, 100, 130, 130))
    assert _warned(read(encoded(film, "PNG")), "one dark level")


def test_a_good_picture_has_no_warnings() -> None:
    assert read(encoded(grey().resize((384, 512)), "PNG")).warnings == ()
