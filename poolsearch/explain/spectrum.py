"""What a stride folds over: the power spectrum of a picture along its width, and of what a pooling leaves of it.

A pooling is a filter at every pixel (its dense output) of which the stride keeps every s-th value. Frequencies of the
dense output above 1/(2s) cycles a pixel can't be told from lower ones afterwards: they fold back (Shannon 1949;
for networks Zhang 2019, arXiv:1904.11486).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from poolsearch.explain.shift import pooled
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.records.network import Array

FLOOR_DB = -120.0  # what an empty frequency is shown as


@dataclass(frozen=True)
class Spectrum:
    """Power at each frequency along the width; the powers sum to the variance under the window."""

    frequencies: Array  # cycles a pixel, 0 to 0.5
    power: Array

    def share_above(self, frequency: float) -> float:
        """Return the share of the variance above a frequency, 0 to 1; 0 for a constant picture."""
        total = float(self.power.sum())
        return float(self.power[self.frequencies > frequency + 1e-9].sum()) / total if total > 1e-12 else 0.0


def zone_plate(height: int, width: int) -> Array:
    """Return rings, (3, H, W) from 0 to 1, that grow finer outwards: at r pixels from the middle r / W cycles a pixel.

    The test picture for aliasing: every ring that appears away from the middle of an output is a false one.
    """
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    rings = 0.5 + 0.5 * np.cos(np.pi * (np.square(rows)[:, None] + np.square(columns)) / width)
    return np.tile(rings.astype(np.float32), (3, 1, 1))


def folding_frequency(spec: PoolSpec) -> float:
    """Return the frequency above which a stride folds, in cycles a pixel: half of its sampling rate."""
    return 0.5 / spec.stride[-1]


def spectrum(picture: Array) -> Spectrum:
    """Return the power spectrum of a picture (C, H, W) along its width, the mean over rows and channels.

    Each row is freed of its mean and put under a Hann window. One-sided: a frequency counts for its negative, too.
    """
    rows = picture.astype(np.float64)
    rows -= rows.mean(-1, keepdims=True)
    width = rows.shape[-1]
    hann = _hann(width)
    power = np.square(np.abs(np.fft.rfft(rows * hann))).mean((0, 1)) / (width * np.square(hann).sum())
    power[1 : (width + 1) // 2] *= 2
    return Spectrum(np.fft.rfftfreq(width).astype(np.float32), power.astype(np.float32))


def dense(picture: Array, spec: PoolSpec) -> Array | None:
    """Return the output before the stride drops values, (C, about H, about W): every s-th value is the pooled picture.

    None for a kind without a fixed stride.
    """
    kind = KINDS[spec.kind]
    if "stride" not in kind.takes:
        return None
    if "kernel" in kind.takes:
        return pooled(picture, replace(spec, stride=(1,)))
    if kind.dense == "input":
        return picture
    if kind.dense != "axes":
        return None
    down, across = spec.stride[0], spec.stride[-1]
    height, width = (size - size % stride for size, stride in zip(picture.shape[1:], (down, across), strict=True))
    lines = _each_phase(picture[:, :height, :width], replace(spec, stride=(down, 1)), 1)
    return _each_phase(lines, replace(spec, stride=(1, across)), 2)


def _each_phase(picture: Array, spec: PoolSpec, axis: int) -> Array:
    """Return the pooled picture for each start within a stride along one axis, interleaved; the border wraps around."""
    stride = spec.stride[axis - 1]
    phases = [pooled(np.roll(picture, -start, axis), spec) for start in range(stride)]
    shape = list(picture.shape)
    return np.stack(phases, axis + 1).reshape(shape)


def decibels(power: Array) -> Array:
    """Return 10 log10 of a power, not below -120 dB."""
    result: Array = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
    return result


def picture_spectrum(picture: Array, size: tuple[int, int]) -> Array:
    """Return the two-dimensional spectrum of a picture's grey (its mean over channels), (*size), in dB.

    Frequency 0 lies in the middle; 0 dB is a cosine from black to white. Sizes above the picture's are filled with
    zeros, so that spectra of pictures of different sizes lie over one another.
    """
    grey = picture.mean(0, dtype=np.float64)
    grey -= grey.mean()
    hann = _hann(grey.shape[0])[:, None] * _hann(grey.shape[1])
    amplitude = 2 * np.abs(np.fft.fft2(grey * hann, size)) / hann.sum()
    return decibels(np.fft.fftshift(np.square(amplitude / 0.5))).astype(np.float32)


def _hann(size: int) -> NDArray[np.float64]:
    """Return the periodic Hann window."""
    result: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return result
