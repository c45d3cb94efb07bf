"""Images and labels in memory: cluttered digits, plain digits, and two photographs.

All of it comes with scikit-learn, so nothing is downloaded; its files are read without importing it (1 s in every
worker). Train, validation and test images come from different scans; the same name, settings and seed give the same
tensors.

A set is kept once, a byte a pixel, at its own size. What a network takes (scaled, enlarged, in its number of channels)
is made of one batch at a time: at 3x224x224 the same set would take 6.6 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch import memory
from poolsearch.config import Clutter
from poolsearch.errors import PoolsearchError, unknown
from poolsearch.records.network import Array

FRAGMENT = 3  # pixels: at 5 a fragment is as telling as the digit, and three epochs are too few to learn anything
LEVELS = 16  # a pixel of scikit-learn's digits is a whole number from 0 to 16: exact in a byte, and as a float
_PART = 4096  # images whose salt is drawn, or whose bytes are hashed, at once


@dataclass(frozen=True)
class Images:
    """Images as they are kept, (N, 1, h, w) in uint8 from 0 to LEVELS, and labels (N) in int64.

    A network takes them at `size`, (channels, height, width), less the mean and over the deviation of pixels from 0
    to 1; both are tensors without axes, because CUDA divides by a number as it multiplies by its inverse.
    """

    codes: Tensor
    y: Tensor
    size: tuple[int, int, int]
    mean: Tensor
    deviation: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Images:
        """Return the images on a device, a byte a pixel."""
        moved = {name: getattr(self, name).to(device) for name in ("codes", "y", "mean", "deviation")}
        return replace(self, **moved)

    def batch(self, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return the chosen images as a network takes them, (B, C, H, W) in float32, channels last, and labels (B)."""
        if isinstance(chosen, slice):
            codes, y = self.codes[chosen], self.y[chosen]
        else:  # a third of the time of indexing
            codes, y = self.codes.index_select(0, chosen), self.y.index_select(0, chosen)
        x = codes.to(torch.float32).div_(LEVELS).sub_(self.mean).div_(self.deviation)
        if x.shape[-2:] != self.size[1:]:
            x = F.interpolate(x, self.size[1:], mode="bilinear", antialias=True, align_corners=False)
        return x.expand(-1, self.size[0], -1, -1).contiguous(memory_format=torch.channels_last), y


@dataclass(frozen=True)
class Dataset:
    """A whole data set in memory; its batches have mean 0 and deviation 1 over the pixels of its training images."""

    name: str
    classes: int
    train: Images
    validation: Images
    test: Images


def load(name: str, size: tuple[int, int, int], clutter: Clutter | None = None, seed: int = 0) -> Dataset:
    """Return a data set for an input size of (channels, height, width).

    Raises PoolsearchError for an unknown name, with the names there are, and for a set that memory can't hold.
    """
    data = _kept(name, clutter or Clutter(), seed)
    parts = {part: replace(getattr(data, part), size=size) for part in ("train", "validation", "test")}
    return replace(data, **parts)


def fingerprint(name: str, clutter: Clutter | None = None, seed: int = 0) -> str:
    """Return the SHA-256 of all images (float32, from 0 to 1) and labels of a data set, in hexadecimal.

    Scaling is left out: its last bits differ between processors.
    """
    digest = sha256()
    for codes, y in _parts_of(name, clutter or Clutter(), seed):
        for start in range(0, len(codes), _PART):
            digest.update(codes[start : start + _PART].to(torch.float32).div_(LEVELS).numpy().tobytes())
        digest.update(y.numpy().tobytes())
    return digest.hexdigest()


def check_name(name: str) -> None:
    """Raise PoolsearchError when there is no data set of that name."""
    if name not in DATASETS:
        raise PoolsearchError(unknown("data set", name, DATASETS))


def check_room(name: str, clutter: Clutter | None = None, copies: int = 1) -> None:
    """Raise PoolsearchError when memory can't hold a data set this many times, before any of it is made."""
    check_name(name)
    settings = clutter or Clutter()
    if name != "cluttered-digits":  # the scans themselves: 0.1 MB
        return
    count = sum(_counts(settings))
    each, free = count * (settings.canvas**2 + 8), memory.free_bytes()  # a byte a pixel, and the label
    if copies * each > free:
        times = f", {copies} times (a copy for each worker)" if copies > 1 else ""
        raise PoolsearchError(
            f"The data '{name}' take {each / 1e9:.1f} GB{times}: {count:,} images of {settings.canvas} x "
            f"{settings.canvas} pixels. {free / 1e9:.1f} GB of memory are free. "
            f"Take fewer images (clutter.images) or a smaller canvas (clutter.canvas)"
            f"{', or fewer workers' if copies > 1 else ''}."
        )


@lru_cache(maxsize=1)  # the set that this process trains on; `check_room` bounds it by what memory holds
def _kept(name: str, clutter: Clutter, seed: int) -> Dataset:
    parts = list(_parts_of(name, clutter, seed))
    mean, deviation = _spread(parts[0][0])
    return Dataset(name, 10, *(Images(codes, y, (1, *codes.shape[2:]), mean, deviation) for codes, y in parts))


def _parts_of(name: str, clutter: Clutter, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield codes and labels for training, validation and test, one after the other."""
    check_room(name, clutter)
    for number, part in enumerate(_parts(seed)):
        yield DATASETS[name](part, number, clutter, seed)


def _spread(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of pixels from 0 to 1, as float32, exactly: from how often each code occurs.

    A sum over millions of pixels in float32 depends on the number of threads.
    """
    counts = codes.flatten().bincount(minlength=LEVELS + 1).double()
    values, count = torch.arange(LEVELS + 1).double() / LEVELS, codes.numel()
    mean = (counts * values).sum() / count
    variance = (counts * (values - mean).square()).sum() / (count - 1)
    return mean.float(), variance.sqrt().float()


def scans() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1,797 digits: images (N, 8, 8) from 0 to 1, labels (N)."""
    pixels, labels = _scans()
    return torch.from_numpy(pixels), torch.from_numpy(labels)


@lru_cache(maxsize=1)
def _scans() -> tuple[Array, Any]:
    """Return the digits as arrays: a cached tensor would be one of whatever traces the call that fills the cache."""
    table = np.loadtxt(_embedded("data/digits.csv.gz"), delimiter=",", dtype=np.float32)
    pixels: Array = (table[:, :64] / np.float32(16)).reshape(-1, 8, 8)  # each pixel from 0 to 16 in the file
    return pixels, table[:, 64].astype(np.int64)


def _embedded(name: str) -> Path:
    """Return the path of a data file of scikit-learn."""
    return Path(str(distribution("scikit-learn").locate_file(f"sklearn/datasets/{name}")))


def _parts(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scans for training, validation and test: 3/5, 1/5, 1/5 of a shuffled whole."""
    order = torch.randperm(len(scans()[1]), generator=torch.Generator().manual_seed(seed))
    first, second = len(order) * 3 // 5, len(order) * 4 // 5
    return order[:first], order[first:second], order[second:]


def _digits(part: Tensor, number: int, clutter: Clutter, seed: int) -> tuple[Tensor, Tensor]:
    return _codes()[part][:, None], scans()[1][part]


def _codes() -> Tensor:
    """Return the scans as they are kept, (N, 8, 8) in uint8 from 0 to LEVELS."""
    return (scans()[0] * LEVELS).to(torch.uint8)


def _counts(clutter: Clutter) -> tuple[int, int, int]:
    """Return how many cluttered digits there are for training, validation and test."""
    return clutter.images, clutter.images * 2 // 5, clutter.images * 4 // 5


def _cluttered(part: Tensor, number: int, clutter: Clutter, seed: int) -> tuple[Tensor, Tensor]:
    return draw_cluttered(part, _counts(clutter)[number], clutter, seed * 3 + number)


def draw_cluttered(part: Tensor, count: int, clutter: Clutter, seed: int) -> tuple[Tensor, Tensor]:
    """Return `count` canvases and labels: one digit of `part` at a random place, fragments of others, salt noise.

    Canvases are (count, 1, H, W) in uint8 from 0 to LEVELS. Where things overlap the brighter wins.
    """
    images, labels = _codes(), scans()[1]
    random = torch.Generator().manual_seed(seed)
    canvas = torch.zeros(count, clutter.canvas, clutter.canvas, dtype=torch.uint8)

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
    for start in range(0, count, _PART):  # numbers are drawn in the order of the pixels, so parts draw the same
        some = canvas[start : start + _PART]
        some[torch.rand(some.shape, generator=random) < clutter.salt] = LEVELS
    return canvas[:, None], labels[chosen]


# The images and labels of one part: which scans it takes, whether it is the first, second or third, settings, seed
DATASETS: dict[str, Callable[[Tensor, int, Clutter, int], tuple[Tensor, Tensor]]] = {
    "cluttered-digits": _cluttered,
    "digits": _digits,
}

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
        digit: Array = load("cluttered-digits", size, clutter).test.batch(slice(3, 4))[0][0].contiguous().numpy()
        return digit
    image = photograph(name, size[1], size[2])
    image = image.mean(0, keepdims=True) if size[0] == 1 else image
    scaled: Array = (image - image.mean()) / image.std()
    return scaled
