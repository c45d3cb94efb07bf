"""Differences and spectra as PNG pictures, on fixed scales: two of them side by side can be compared."""

from __future__ import annotations

import numpy as np

from poolsearch.figures.network import picture_png, viridis
from poolsearch.records.network import Array

WHITE = 0.25  # a change that is drawn white; pixel values go from 0 to 1
DECIBELS = (-90.0, -30.0)  # ends of the colour scale of a spectrum


def change_png(change: Array, width: int) -> bytes:
    """Return a picture (H, W) of changes as a grey PNG about `width` wide: 0 is black, 0.25 or more white."""
    return picture_png(np.repeat((change / WHITE)[None], 3, axis=0), width)


def spectrum_png(spectrum: Array, kept: tuple[float, float]) -> bytes:
    """Return a spectrum (H, W) in dB, frequency 0 in the middle, as a PNG of its size in viridis.

    A white rectangle bounds the frequencies up to `kept` cycles a pixel (down, across): what a stride can keep.
    """
    low, high = DECIBELS
    levels = np.clip((spectrum - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    picture = viridis()[levels]
    (top, bottom), (left, right) = (
        (round(size * (0.5 - half)), min(round(size * (0.5 + half)), size - 1))
        for size, half in zip(levels.shape, kept, strict=True)
    )
    for inset in (0, 1):
        rows, columns = slice(top + inset, bottom + 1 - inset), slice(left + inset, right + 1 - inset)
        picture[[top + inset, bottom - inset], columns] = 255
        picture[rows, [left + inset, right - inset]] = 255
    return picture_png(picture.transpose(2, 0, 1).astype(np.float32) / 255, levels.shape[1])
