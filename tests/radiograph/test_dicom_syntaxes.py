"""Every transfer syntax that a well-kept encoder writes is read, each encoder another one than our decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEGExtended12Bit

from radiograph import read
from radiograph.codestream import codestream_size, with_whole_spectrum
from tests import dicom_tools
from tests.radiograph import files

LOSSLESS = {
    "big-endian": (12, ("dcmconv", "+tb")),
    "implicit": (16, ("dcmconv", "+ti")),
    "deflated": (12, ("dcmconv", "+td")),
    "jpeg lossless, any predictor": (12, ("dcmcjpeg", "+el", "+sv", "6")),
    "jpeg lossless, first predictor": (16, ("dcmcjpeg", "+e1")),
    "jpeg lossless, 8 bit": (8, ("dcmcjpeg", "+e1")),
    "jpeg-ls lossless": (12, ("dcmcjpls", "+el")),
    "jpeg-ls lossless, 8 bit": (8, ("dcmcjpls", "+el")),
    "rle": (12, ("dcmcrle",)),
}
LOSSY = {
    "jpeg baseline": (8, ("dcmcjpeg", "+eb", "+q", "95")),
    "jpeg extended, 8 bit": (8, ("dcmcjpeg", "+ee", "+q", "95")),
    "jpeg extended, 12 bit": (12, ("dcmcjpeg", "+ee", "+q", "98")),
    "jpeg-ls near-lossless": (12, ("dcmcjpls", "+en", "+md", "3")),
}


def _encoded(folder: Path, bits: int, command: tuple[str, ...]) -> Path:
    plain, coded = folder / "plain.dcm", folder / "coded.dcm"
    plain.write_bytes(files.dicom(bits=bits))
    dicom_tools.run(*command, plain, coded)
    return coded


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_syntaxes_give_the_stored_levels(name: str, tmp_path: Path) -> None:
    bits, command = LOSSLESS[name]
    coded = _encoded(tmp_path, bits, command)
    assert dcmread(coded).file_meta.TransferSyntaxUID != dcmread(tmp_path / "plain.dcm").file_meta.TransferSyntaxUID
    assert np.array_equal(read(coded).pixels, files.sample(bits).pixels)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_syntaxes_give_nearly_the_stored_levels(name: str, tmp_path: Path) -> None:
    bits, command = LOSSY[name]
    error = np.abs(read(_encoded(tmp_path, bits, command)).pixels.astype(int) - files.sample(bits).pixels)
    assert error.mean() < 0.02 * (1 << bits)


def _without_spectrum(frame: bytes) -> bytes:
    """Return a JPEG frame whose scan states no spectrum, as some 12 bit encoders wrote it."""
    scan = frame.index(b"\xff\xda")
    start = scan + 5 + 2 * frame[scan + 4]
    assert frame[start : start + 3] == b"\x00\x3f\x00"
    return frame[:start] + bytes(3) + frame[start + 3 :]


def test_a_sequential_scan_without_its_spectrum_is_repaired(tmp_path: Path) -> None:
    coded = _encoded(tmp_path, 12, ("dcmcjpeg", "+ee", "+q", "98"))
    sound = read(coded).pixels
    dataset = dcmread(coded)
    assert dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([_without_spectrum(frame)] * 2)
    dataset.NumberOfFrames = 2
    assert np.array_equal(read(files.written(dataset), frame=2).pixels, sound)


@pytest.mark.parametrize("name", ["jpeg lossless, any predictor", "jpeg-ls lossless"])
def test_scans_that_state_other_things_are_left_alone(name: str, tmp_path: Path) -> None:
    dataset = dcmread(_encoded(tmp_path, *LOSSLESS[name]))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert with_whole_spectrum(frame) == frame
    assert codestream_size(frame) == (files.WIDTH, files.HEIGHT)
