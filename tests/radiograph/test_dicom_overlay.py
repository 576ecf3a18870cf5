"""Annotations that a DICOM file carries beside its picture are read apart from it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from radiograph import prepare, read
from tests.radiograph import files
from tests.radiograph.files import Change

SHAPE = (files.HEIGHT, files.WIDTH)


def _plane(rows: int, columns: int) -> NDArray[np.bool_]:
    plane = np.zeros((rows, columns), np.bool_)
    plane[3:9, 5:30] = True
    return plane


def _packed(plane: NDArray[np.bool_]) -> bytes:
    packed = np.packbits(plane, axis=None, bitorder="little").tobytes()
    return packed + bytes(len(packed) % 2)


def _with_plane(
    plane: NDArray[np.bool_], origin: tuple[int, int] = (1, 1), group: int = 0x6000, frames: int = 1
) -> Change:
    def change(dataset: FileDataset) -> None:
        rows, columns = plane.shape[-2:]
        dataset.add_new((group, 0x0010), "US", rows)
        dataset.add_new((group, 0x0011), "US", columns)
        dataset.add_new((group, 0x0040), "CS", "G")
        dataset.add_new((group, 0x0050), "SS", list(origin))
        dataset.add_new((group, 0x0100), "US", 1)
        dataset.add_new((group, 0x0102), "US", 0)
        if frames > 1:
            dataset.add_new((group, 0x0015), "IS", frames)
        dataset.add_new((group, 0x3000), "OW", _packed(plane))

    return change


def test_a_file_without_annotations_has_none() -> None:
    assert read(files.dicom()).overlay is None


@pytest.mark.parametrize("group", [0x6000, 0x601E])
def test_annotations_are_read_and_remarked_and_kept_from_the_model(group: int) -> None:
    radiograph = read(files.dicom(_with_plane(_plane(*SHAPE), group=group)))
    assert radiograph.overlay is not None
    assert np.array_equal(radiograph.overlay, _plane(*SHAPE))
    assert any("annotations" in warning for warning in radiograph.warnings)
    assert np.array_equal(prepare(radiograph, 64).image, prepare(read(files.dicom()), 64).image)


@pytest.mark.parametrize("origin", [(1, 1), (11, 21), (-1, -2), (files.HEIGHT - 4, files.WIDTH - 9)])
def test_a_smaller_plane_lies_at_its_origin(origin: tuple[int, int]) -> None:
    overlay = read(files.dicom(_with_plane(_plane(20, 40), origin))).overlay
    rows, columns = np.nonzero(_plane(20, 40))
    rows, columns = rows + origin[0] - 1, columns + origin[1] - 1
    inside = (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
    expected = np.zeros(SHAPE, np.bool_)
    expected[rows[inside], columns[inside]] = True
    assert overlay is not None
    assert np.array_equal(overlay, expected)


def test_annotations_in_the_unused_bits_of_the_pixels_are_read() -> None:
    plane = _plane(*SHAPE)

    def change(dataset: FileDataset) -> None:
        dataset.add_new((0x6000, 0x0010), "US", SHAPE[0])
        dataset.add_new((0x6000, 0x0011), "US", SHAPE[1])
        dataset.add_new((0x6000, 0x0100), "US", 16)
        dataset.add_new((0x6000, 0x0102), "US", 14)
        dataset.PixelData = (files.sample(12).pixels | (plane.astype(np.uint16) << 14)).tobytes()

    radiograph = read(files.dicom(change))
    assert radiograph.overlay is not None
    assert np.array_equal(radiograph.overlay, plane)
    assert np.array_equal(radiograph.pixels, files.sample(12).pixels)


def test_each_frame_has_its_own_plane() -> None:
    planes = np.zeros((3, *SHAPE), np.bool_)
    planes[1, 40:50, 3:17] = True
    data = files.dicom(_with_plane(planes, frames=3))

    def three(dataset: FileDataset) -> None:
        _with_plane(planes, frames=3)(dataset)
        dataset.NumberOfFrames = 3
        dataset.PixelData = files.sample(12).pixels.tobytes() * 3

    data = files.dicom(three)
    assert read(data, frame=1).overlay is None
    overlay = read(data, frame=2).overlay
    assert overlay is not None
    assert np.array_equal(overlay, planes[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset.add_new((0x6000, 0x3000), "OW", b"\xff\xff"),
        lambda dataset: dataset.add_new((0x6000, 0x0010), "US", 60_000),
        lambda dataset: dataset.add_new((0x6000, 0x0050), "SS", [9]),
        lambda dataset: dataset.add_new((0x6000, 0x0050), "SS", [-30_000, 30_000]),
    ],
)
def test_a_plane_that_its_header_describes_wrongly_is_left_out(change: Change) -> None:
    def wrong(dataset: FileDataset) -> None:
        _with_plane(_plane(*SHAPE))(dataset)
        change(dataset)

    radiograph = read(files.dicom(wrong))
    assert radiograph.overlay is None
    assert np.array_equal(radiograph.pixels, files.sample(12).pixels)
