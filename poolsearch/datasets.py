"""Images and labels as tensors in memory: cluttered digits, plain digits, and two photographs.

All of it comes with scikit-learn, so nothing is downloaded; its files are read without importing it (1 s in every
worker). Train, validation and test images come from different scans; the same name, settings and seed give the same
tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch.config import Clutter
from poolsearch.errors import PoolsearchError, unknown
from poolsearch.rows import Array

FRAGMENT = 3  # pixels: at 5 a fragment is as telling as the digit, and three epochs are too few to learn anything


@dataclass(frozen=True)
class Images:
    """Images (N, C, H, W) in float32 and labels (N) in int64."""

    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> Images:
        """Return the images on a device, channels last."""
        return Images(self.x.to(device, memory_format=torch.channels_last), self.y.to(device))


@dataclass(frozen=True)
class Dataset:
    """A whole data set in memory, scaled to mean 0 and deviation 1 of its training images."""

    name: str
    classes: int
    train: Images
    validation: Images
    test: Images


def load(name: str, size: tuple[int, int, int], clutter: Clutter | None = None, seed: int = 0) -> Dataset:
    """Return a data set at an input size of (channels, height, width).

    Raises PoolsearchError for an unknown name, with the names there are.
    """
    check_name(name)
    return _load(name, size, clutter or Clutter(), seed)


def fingerprint(name: str, clutter: Clutter | None = None, seed: int = 0) -> str:
    """Return the SHA-256 of all images and labels of a data set before they are scaled, in hexadecimal.

    Scaling is left out: its last bits differ between processors.
    """
    check_name(name)
    data, digest = DATASETS[name](clutter or Clutter(), seed), sha256()
    for images in (data.train, data.validation, data.test):
        digest.update(images.x.contiguous().numpy().tobytes())
        digest.update(images.y.numpy().tobytes())
    return digest.hexdigest()


def check_name(name: str) -> None:
    """Raise PoolsearchError when there is no data set of that name."""
    if name not in DATASETS:
        raise PoolsearchError(unknown("data set", name, DATASETS))


@lru_cache(maxsize=4)
def _load(name: str, size: tuple[int, int, int], clutter: Clutter, seed: int) -> Dataset:
    data = DATASETS[name](clutter, seed)
    mean, deviation = data.train.x.mean(), data.train.x.std()

    def fitted(images: Images) -> Images:
        x = (images.x - mean) / deviation
        if x.shape[-2:] != size[1:]:
            x = F.interpolate(x, size[1:], mode="bilinear", antialias=True, align_corners=False)
        return Images(x.expand(-1, size[0], -1, -1).contiguous(memory_format=torch.channels_last), images.y)

    return replace(data, train=fitted(data.train), validation=fitted(data.validation), test=fitted(data.test))


@lru_cache(maxsize=1)
def scans() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1,797 digits: images (N, 8, 8) from 0 to 1, labels (N)."""
    table = np.loadtxt(_embedded("data/digits.csv.gz"), delimiter=",", dtype=np.float32)
    pixels, labels = table[:, :64] / 16, table[:, 64].astype(np.int64)  # each pixel from 0 to 16 in the file
    return torch.from_numpy(pixels).reshape(-1, 8, 8), torch.from_numpy(labels)


def _embedded(name: str) -> Path:
    """Return the path of a data file of scikit-learn."""
    return Path(str(distribution("scikit-learn").locate_file(f"sklearn/datasets/{name}")))


def _parts(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scans for training, validation and test: 3/5, 1/5, 1/5 of a shuffled whole."""
    order = torch.randperm(len(scans()[1]), generator=torch.Generator().manual_seed(seed))
    first, second = len(order) * 3 // 5, len(order) * 4 // 5
    return order[:first], order[first:second], order[second:]


def _digits(clutter: Clutter, seed: int) -> Dataset:
    images, labels = scans()
    train, validation, test = (Images(images[part][:, None], labels[part]) for part in _parts(seed))
    return Dataset("digits", 10, train, validation, test)


def _cluttered(clutter: Clutter, seed: int) -> Dataset:
    counts = (clutter.images, clutter.images * 2 // 5, clutter.images * 4 // 5)
    parts = [
        draw_cluttered(part, count, clutter, seed * 3 + i)
        for i, (part, count) in enumerate(zip(_parts(seed), counts, strict=True))
    ]
    return Dataset("cluttered-digits", 10, *parts)


def draw_cluttered(part: Tensor, count: int, clutter: Clutter, seed: int) -> Images:
    """Return `count` canvases: one digit of `part` at a random place, fragments of others, salt noise.

    Where things overlap the brighter wins.
    """
    images, labels = scans()
    random = torch.Generator().manual_seed(seed)
    canvas = torch.zeros(count, clutter.canvas, clutter.canvas)

    def pick() -> Tensor:
        return part[torch.randint(len(part), (count,), generator=random)]

    def place(patches: Tensor) -> None:
        side = patches.shape[-1]
        top, left = torch.randint(clutter.canvas - side + 1, (2, count, 1, 1), generator=random)
        rows, columns = torch.arange(side)[:, None] + top, torch.arange(side)[None] + left
        index = (torch.arange(count)[:, None, None], rows, columns)
        canvas[index] = torch.maximum(canvas[index], patches)

    for _ in range(clutter.fragments):
        top, left = torch.randint(8 - FRAGMENT + 1, (2, count, 1, 1), generator=random)
        rows, columns = torch.arange(FRAGMENT)[:, None] + top, torch.arange(FRAGMENT)[None] + left
        place(images[pick()][torch.arange(count)[:, None, None], rows, columns])
    chosen = pick()
    place(images[chosen])
    canvas[torch.rand(canvas.shape, generator=random) < clutter.salt] = 1.0
    return Images(canvas[:, None], labels[chosen])


DATASETS: dict[str, Callable[[Clutter, int], Dataset]] = {"cluttered-digits": _cluttered, "digits": _digits}

PHOTOGRAPHS = {"temple": "china.jpg", "flower": "flower.jpg"}  # scikit-learn's two, 640 x 427 pixels


def photograph(name: str, height: int, width: int) -> Array:
    """Return a photograph's middle as (3, height, width) from 0 to 1, scaled by area with Pillow."""
    from PIL import Image

    picture = Image.open(_embedded(f"images/{PHOTOGRAPHS[name]}"))
    full_width, full_height = picture.size
    scale = min(full_width / width, full_height / height)
    left, top = (full_width - width * scale) / 2, (full_height - height * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    small = picture.resize((width, height), Image.Resampling.BOX, box=box)
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)


def trace() -> Array:
    """Return 24 samples of a sensor, (1, 24) from 0 to 1: made, not measured; a slow swing, some noise, one knock."""
    time = np.arange(24)
    noise = np.random.default_rng(0).normal(0, 0.03, 24)
    samples = 0.4 + 0.22 * np.sin(2 * np.pi * time / 16) + noise
    samples[14] = 0.95  # the knock
    result: Array = samples.clip(0, 1).astype(np.float32)[None]
    return result


def picture(name: str, size: tuple[int, int, int], clutter: Clutter | None = None) -> Array:
    """Return one image as a network takes it, (C, H, W) with mean 0 and deviation 1: `digit` or a photograph."""
    if name == "digit":
        return load("cluttered-digits", size, clutter).test.x[3].contiguous().numpy()
    image = photograph(name, size[1], size[2])
    image = image.mean(0, keepdims=True) if size[0] == 1 else image
    scaled: Array = (image - image.mean()) / image.std()
    return scaled
