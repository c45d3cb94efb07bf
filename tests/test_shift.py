"""Shifts: exact where they must be, and the order that anti-aliasing is for."""

import numpy as np
import pytest

from poolsearch import datasets
from poolsearch.measure.shift import SHIFTS, moved, shift_changes
from poolsearch.plan import PoolSpec

PICTURE = datasets.photograph("temple", 128, 136)


@pytest.mark.parametrize(
    "text", ["max k2 s2", "avg k3 s2", "blur k3 s2", "median k3 s4", "max-blur k3 s4", "subsample s2"]
)
def test_a_shift_by_the_stride_only_moves_the_output(text):
    spec = PoolSpec.parse(text)
    changes = shift_changes(PICTURE, spec)
    assert len(changes) == len(SHIFTS)
    for shift, change in zip(SHIFTS, changes, strict=True):
        assert (change < 1e-6) == (shift % spec.stride[0] == 0)


def test_blur_changes_less_than_average_and_that_less_than_no_filter():
    blur, average, none = (
        shift_changes(PICTURE, PoolSpec.parse(text))[1] for text in ("blur k5 s2", "avg k2 s2", "subsample s2")
    )
    assert blur < average < none


def test_a_constant_picture_does_not_change():
    assert shift_changes(np.full((1, 16, 40), 0.5, np.float32), PoolSpec.parse("max k2 s2")) == (0.0,) * 9


def test_moving_takes_other_columns_and_keeps_the_width():
    picture = np.arange(20, dtype=np.float32)[None, None]
    assert moved(picture, 3).tolist() == [[list(range(3, 15))]]
    assert all(moved(picture, shift).shape == (1, 1, 12) for shift in SHIFTS)
