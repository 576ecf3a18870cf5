"""Fetching goes on where it was cut off, takes nothing damaged, and leaves a cleaned set that can be trained from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.training.audit_trees import picture
from training import datasets
from training.download import TRIES, FetchError, RemoteFile, download
from training.fetch import SOURCES, run_fetch
from training.fetch_bonedata import originals
from training.fetch_fracatlas import grouped, number_of, region_of, splits

QUIET = Console(quiet=True)


@dataclass
class Site:
    """A web server of one file that can break off after some bytes, forget ranges, or answer with an error."""

    content: bytes
    break_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 0
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def file(self) -> RemoteFile:
        return RemoteFile(self.url, len(self.content), hashlib.md5(self.content, usedforsecurity=False).hexdigest())

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        if self.status:
            request.send_error(self.status)
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and self.ranges else 0
        body = self.content[start:]
        request.send_response(206 if wanted and self.ranges else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.break_after.pop(0)] if self.break_after else body)


@pytest.fixture
def serve() -> Iterator[Callable[[Site], Site]]:
    servers: list[ThreadingHTTPServer] = []

    def start(site: Site) -> Site:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test's output is not a server's log."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        site.url = f"http://127.0.0.1:{server.server_port}/file.zip"
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


CONTENT = np.random.default_rng(0).bytes(900_000)


def test_a_download_cut_off_twice_goes_on_and_comes_whole(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    site = serve(Site(CONTENT, break_after=[300_000, 200_000]))
    path = download(site.file, tmp_path / "new" / "file.zip", QUIET, pause=0.01)
    assert path.read_bytes() == CONTENT
    assert [asked.partition("-")[0] for asked in site.asked] == ["", "bytes=300000", "bytes=500000"]
    assert [p.name for p in path.parent.iterdir()] == ["file.zip"]


def test_the_next_start_goes_on_where_the_last_gave_up(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    site = serve(Site(CONTENT, break_after=[400_000, *[0] * TRIES]))
    with pytest.raises(FetchError, match=r"goes on after 400,000 of 900,000 bytes"):
        download(site.file, tmp_path / "file.zip", QUIET, pause=0)
    site.break_after, site.asked = [], []
    assert download(site.file, tmp_path / "file.zip", QUIET).read_bytes() == CONTENT
    assert site.asked == ["bytes=400000-"]


def test_a_server_without_ranges_sends_all_again(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    site = serve(Site(CONTENT, break_after=[300_000], ranges=False))
    assert download(site.file, tmp_path / "file.zip", QUIET, pause=0.01).read_bytes() == CONTENT


def test_a_file_already_there_is_not_asked_for_again(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    site = serve(Site(CONTENT))
    (tmp_path / "file.zip").write_bytes(CONTENT)
    download(site.file, tmp_path / "file.zip", QUIET)
    assert site.asked == []


def test_another_checksum_is_refused_and_nothing_is_kept(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    site = serve(Site(CONTENT))
    with pytest.raises(FetchError, match="another checksum"):
        download(replace(site.file, md5="0" * 32), tmp_path / "file.zip", QUIET)
    assert list(tmp_path.iterdir()) == []


def test_too_much_left_by_a_former_file_is_thrown_away(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1_000_000)
    site = serve(Site(CONTENT))
    assert download(site.file, tmp_path / "file.zip", QUIET).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [202, 404, 503])
def test_a_server_that_refuses_is_named_with_its_answer(
    status: int, serve: Callable[[Site], Site], tmp_path: Path
) -> None:
    site = serve(Site(CONTENT, status=status))
    with pytest.raises(FetchError, match=f"the server answers {status}.*fetched by browser"):
        download(site.file, tmp_path / "file.zip", QUIET, pause=0)


def test_no_server_is_said_in_a_sentence(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with pytest.raises(FetchError, match="Check the network"):
        download(RemoteFile(f"http://127.0.0.1:{free_port()}/x", 5, "0"), tmp_path / "x", QUIET, pause=0)


def jpeg(seed: int, size: tuple[int, int] = (220, 260)) -> bytes:
    file = io.BytesIO()
    picture(seed, size).save(file, "JPEG", quality=95)
    return file.getvalue()


def fracatlas_archive(images: dict[str, int], *, cut: int = 0) -> bytes:
    """An archive in the published form: its real folders and columns, synthetic pictures, ``cut`` bytes short."""
    columns = "image_id hand leg hip shoulder mixed hardware multiscan fractured fracture_count frontal lateral oblique"
    table, coco = io.StringIO(), {"images": [], "annotations": []}  # type: ignore[var-annotated]  # two plain lists
    rows = csv.writer(table)
    rows.writerow(columns.split())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for seed, (name, label) in enumerate(images.items()):
            rows.writerow([name, 1, 0, 0, 0, 0, 0, 0, label, label, 1, 0, 0])
            folder = "Fractured" if label else "Non_fractured"
            archive.writestr(f"FracAtlas/images/{folder}/{name}", jpeg(seed, (880, 1040))[: -cut or None])
            if label:
                coco["images"].append({"id": seed, "file_name": name, "width": 880, "height": 1040})
                segment = [88, 104, 176, 104, 176, 208]
                coco["annotations"].append({"image_id": seed, "bbox": [88, 104, 88, 104], "segmentation": [segment]})
        archive.writestr("FracAtlas/dataset.csv", table.getvalue())
        archive.writestr("FracAtlas/Annotations/COCO JSON/COCO_fracture_masks.json", json.dumps(coco))
    return file.getvalue()


def of_split(split: str, count: int) -> list[str]:
    return [f"IMG{number:07d}.jpg" for number, name in splits().items() if name == split][:count]


def test_fracatlas_comes_cleaned_over_a_broken_line(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    left_out = next(n for n in range(4390) if n not in splits())
    names = [*of_split("train", 2), *of_split("val", 1), *of_split("test", 1), f"IMG{left_out:07d}.jpg"]
    printed = io.StringIO()
    archive = fracatlas_archive(dict(zip(names, (1, 0, 0, 1, 0), strict=True)))
    sources = {"fracatlas": replace(SOURCES["fracatlas"], place=serve(Site(archive, break_after=[20_000])).file)}
    folder = run_fetch("fracatlas", tmp_path, Console(file=printed, width=200), sources=sources, pause=0.01)

    cases = {case.path.name: case for case in datasets.load(folder)}
    assert set(cases) == set(names[:4])
    assert [(cases[n].label, cases[n].split) for n in names[:4]] == [
        (1, "train"),
        (0, "train"),
        (0, "val"),
        (1, "test"),
    ]
    assert cases[names[0]].boxes == ((0.1, 0.1, 0.2, 0.2),)
    assert (cases[names[0]].region, cases[names[0]].view) == ("hand", "frontal")
    with Image.open(cases[names[0]].path) as image:
        assert (image.mode, max(image.size)) == ("L", 512)
    for words in ("CC BY 4.0", "Abedeen", "4 radiographs, 2 fractured; 1 files left out"):
        assert words in printed.getvalue()


def test_a_set_already_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "fracatlas").mkdir()
    (tmp_path / "fracatlas" / "manifest.csv").write_text("image,label\n")
    printed = io.StringIO()
    run_fetch("fracatlas", tmp_path, Console(file=printed, width=200))
    assert "already there" in printed.getvalue()
    assert (tmp_path / "fracatlas" / "manifest.csv").read_text() == "image,label\n"


def test_something_else_than_the_archive_is_no_data_set(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    sources = {"fracatlas": replace(SOURCES["fracatlas"], place=serve(Site(b"no archive" * 50)).file)}
    with pytest.raises(FetchError, match="is not the FracAtlas archive"):
        run_fetch("fracatlas", tmp_path, QUIET, sources=sources, pause=0)
    assert not (tmp_path / "fracatlas" / "manifest.csv").exists()


def test_a_kept_picture_that_cannot_be_read_stops_the_cleaning(serve: Callable[[Site], Site], tmp_path: Path) -> None:
    archive = fracatlas_archive(dict.fromkeys(of_split("train", 1), 0), cut=20_000)
    sources = {"fracatlas": replace(SOURCES["fracatlas"], place=serve(Site(archive)).file)}
    with pytest.raises(FetchError, match=f"{of_split('train', 1)[0]}.*delete yours and fetch again"):
        run_fetch("fracatlas", tmp_path, QUIET, sources=sources)
    assert not (tmp_path / "fracatlas" / "manifest.csv").exists()


def test_an_unknown_name_is_answered_with_those_known() -> None:
    with pytest.raises(FetchError, match="fracatlas, bonedata"):
        run_fetch("mura", Path("nowhere"), QUIET)


def test_the_split_is_that_of_the_shipped_models_data(shared_data: Path) -> None:
    with (shared_data / "fracatlas" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {number_of(row["image"]): row["split"] for row in rows} == dict(splits())


def test_no_group_found_by_number_crosses_the_split(shared_data: Path) -> None:
    with (shared_data / "fracatlas" / "manifest.csv").open(newline="") as file:
        rows = [{"image_id": row["image"], row["region"]: "1", "split": row["split"]} for row in csv.DictReader(file)]
    found: dict[int, set[str]] = {}
    for group, row in grouped(rows):
        found.setdefault(group, set()).add(row["split"])
    assert len(found) > 1000
    assert sum(len(names) > 1 for names in found.values()) <= len(found) // 100


@pytest.mark.parametrize(
    ("flags", "region"),
    [({"hip": "1"}, "hip"), ({"hand": "1", "leg": "1"}, "mixed"), ({"leg": "1", "mixed": "1"}, "mixed"), ({}, "mixed")],
)
def test_the_region_is_the_one_flagged(flags: dict[str, str], region: str) -> None:
    assert region_of({**dict.fromkeys(("hand", "leg", "hip", "shoulder", "mixed"), "0"), **flags}) == region


def git(folder: Path, *arguments: str) -> None:
    author = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **author})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository like that of the seeds: a turned copy, one radiograph in both splits, a file cut short."""
    root = tmp_path / "BoneData"
    files = {
        "Data/train/fractured/10.jpg": jpeg(0),
        "Data/train/fractured/17.jpg": jpeg(1),
        "Data/train/not fractured/69.jpg": jpeg(2),
        "Data/train/not fractured/70.jpg": jpeg(4)[:-3000],
        "Data/val/not fractured/3.jpg": jpeg(2) + b"\0",
        "Data/val/fractured/1.jpg": jpeg(3),
        "BoneFracture.ipynb": b"{}",
    }
    turned = io.BytesIO()
    picture(0).rotate(20).save(turned, "JPEG")
    files["Data/train/fractured/10-rotated1.jpg"] = turned.getvalue()
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    git(root, "init", "-q")
    git(root, "config", "uploadpack.allowFilter", "true")
    git(root, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(root, "add", ".")
    git(root, "commit", "-qm", "data")
    return root


def test_bonedata_comes_as_distinct_originals_with_blocks(repository: Path, tmp_path: Path) -> None:
    printed = io.StringIO()
    sources = {"bonedata": replace(SOURCES["bonedata"], place=f"file://{repository}")}
    folder = run_fetch("bonedata", tmp_path / "data", Console(file=printed, width=200), sources=sources)
    with (folder / "manifest.csv").open(newline="") as file:
        rows = {row["image"]: (row["label"], row["block"]) for row in csv.DictReader(file)}
    assert rows == {
        "train_f_10.jpg": ("1", "f1"),
        "train_f_17.jpg": ("1", "f2"),
        "val_f_1.jpg": ("1", "f0"),
        "val_n_3.jpg": ("0", "n0"),
    }
    assert len(datasets.load(folder)) == 4
    assert not list((folder / "source").rglob("*rotated*"))
    for words in ("none is stated", "4 radiographs, 3 fractured; left out: 1 copies, 1 that cannot be read"):
        assert words in printed.getvalue()


def test_originals_already_there_are_not_asked_for_again(repository: Path, tmp_path: Path) -> None:
    sources = {"bonedata": replace(SOURCES["bonedata"], place=f"file://{repository}")}
    folder = run_fetch("bonedata", tmp_path / "data", QUIET, sources=sources)
    (folder / "manifest.csv").unlink()
    repository.rename(tmp_path / "gone")
    run_fetch("bonedata", tmp_path / "data", QUIET, sources=sources)
    assert (folder / "manifest.csv").is_file()


def test_a_repository_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    sources = {"bonedata": replace(SOURCES["bonedata"], place=f"file://{tmp_path / 'none'}")}
    with pytest.raises(FetchError, match="The repository does not come"):
        run_fetch("bonedata", tmp_path / "data", QUIET, sources=sources)


def test_of_each_family_the_original_is_taken() -> None:
    names = ["a/10-rotated1.jpg", "a/10.jpg", "b/10-rotated2.jpg", "b/10-rotated1-rotated2.jpg", "x.ipynb", "README.md"]
    assert originals(names) == ["a/10.jpg", "b/10-rotated2.jpg"]
