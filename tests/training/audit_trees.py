"""Folders of drawn pictures for the audit to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

BICUBIC = Image.Resampling.BICUBIC


def picture(seed: int, size: tuple[int, int] = (220, 260)) -> Image.Image:
    """Something like a limb: a bright shaft with structure of its own on a dark ground."""
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width]
    middle = width * (0.5 + random.uniform(-0.1, 0.1)) + random.uniform(10, 30) * np.sin(y / random.uniform(20, 60))
    shaft = np.exp(-(((x - middle) / random.uniform(25, 50)) ** 2))
    grain = sum(gaussian_filter(random.normal(0, s * 60, (height, width)), s) for s in (1.5, 4, 9))
    return Image.fromarray(np.clip(40 + shaft * (120 + grain), 8, 250).astype(np.uint8))


def save(image: Image.Image, path: Path, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)
    return path


def tree(root: Path, count: int = 4) -> Path:
    """A clean set: ``count`` different pictures, half of each class, half of them in each split."""
    for seed in range(count):
        split, label = ("train", "val")[seed // 2 % 2], ("fractured", "not fractured")[seed % 2]
        save(picture(seed), root / split / label / f"{seed}.png")
    return root
