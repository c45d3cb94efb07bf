"""Shifts: exact where they must be, and the order that anti-aliasing is for."""

import numpy as np
import pytest

from poolsearch.data import datasets
from poolsearch.explain.shift import (
    SHIFTS,
    change_picture,
    difference,
    distance,
    gain,
    mean_change,
    moved,
    pooled,
    shift_changes,
    shifted_outputs,
    step,
)
from poolsearch.plan import PoolSpec

PICTURE = datasets.photograph("temple", 128, 136)


@pytest.mark.parametrize(
    "text",
    [
        "max k2 s2",
        "avg k3 s2",
        "blur k3 s2",
        "median k3 s4",
        "max-blur k3 s4",
        "subsample s2",
        "area s4",
        "wavelet k4 s2",
    ],
)
def test_a_shift_by_the_stride_only_moves_the_output(text):
    spec = PoolSpec.parse(text)
    changes = shift_changes(PICTURE, spec)
    assert len(changes) == len(SHIFTS)
    for shift, change in zip(SHIFTS, changes, strict=True):
        assert (change < 1e-6) == (shift % spec.stride[0] == 0)


def test_blur_changes_less_than_average_and_that_less_than_no_filter():
    blur, average, none = (
        mean_change(shift_changes(PICTURE, PoolSpec.parse(text)))
        for text in ("blur k5 s2", "avg k2 s2", "subsample s2")
    )
    assert blur < average < none


def test_the_mean_leaves_out_the_shift_by_nothing():
    assert mean_change((0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0)) == 2.0


def test_a_constant_picture_does_not_change():
    assert shift_changes(np.full((1, 16, 40), 0.5, np.float32), PoolSpec.parse("max k2 s2")) == (0.0,) * 9


def test_moving_takes_other_columns_and_keeps_the_width():
    picture = np.arange(20, dtype=np.float32)[None, None]
    assert moved(picture, 3).tolist() == [[list(range(3, 15))]]
    assert all(moved(picture, shift).shape == (1, 1, 12) for shift in SHIFTS)


@pytest.mark.parametrize(
    "text", ["max k3 s4", "median k2 s2", "max-blur k3 s4", "avg k5 s8", "max k3 s2 p1", "avg k3 s4 ceil", "resize s4"]
)
def test_all_shifts_at_once_are_each_shift_alone_but_for_the_border(text):
    spec = PoolSpec.parse(text)
    for shift, output in zip(SHIFTS, shifted_outputs(PICTURE, spec), strict=True):
        alone = pooled(moved(PICTURE, shift), spec)
        assert output.shape == alone.shape
        np.testing.assert_allclose(output[..., 2:-2], alone[..., 2:-2], atol=1e-6)


def test_between_columns_the_first_output_is_read_linearly():
    first = np.arange(12, dtype=np.float32)[None, None] * 10  # 0, 10, 20, ...
    moved_by_a_quarter = first + 2.5
    assert difference(first, moved_by_a_quarter, 0.25).shape == (1, 1, 7)  # 11 columns compared, 2 left out at each end
    assert np.abs(difference(first, moved_by_a_quarter, 0.25)).max() == 0
    assert set(difference(first, first, 1).ravel()) == {-10.0}  # it should have moved by a column and did not


def test_the_change_picture_is_what_the_number_measures():
    spec = PoolSpec.parse("max k3 s4")
    first, now = (pooled(moved(PICTURE, shift), spec) for shift in (0, 3))
    picture = change_picture(first, now, 3 / 4)
    compared = first.shape[2] - 1 - 4  # a column goes into the interpolation, two are border at each end
    assert picture.shape == first.shape[1:]
    assert not picture[:, :2].any() and not picture[:, 2 + compared :].any()
    rms = np.sqrt(np.square(picture).sum() / (picture.shape[0] * compared))
    assert rms / first.std() == pytest.approx(shift_changes(PICTURE, spec)[3], rel=1e-4)


def test_distance_is_in_deviations_of_the_clean_output():
    clean = np.array([[[0.0, 2.0]]], np.float32)  # deviation 1
    assert distance(clean + 3, clean) == pytest.approx(3)
    assert distance(clean, clean) == 0
    assert distance(clean, np.zeros_like(clean)) == 0  # there is no deviation to measure in


@pytest.mark.parametrize(
    ("text", "expected"), [("avg k3 s2", 1), ("lp k3 s2", 3), ("wavelet k4 s2", 2), ("gem-window k2 s2", 1)]
)
def test_gain_is_what_a_constant_one_becomes(text, expected):
    assert gain(PoolSpec.parse(text)) == pytest.approx(expected, rel=1e-5)


def test_a_ratio_steps_by_its_inverse():
    assert step(PoolSpec.parse("max k3 s4")) == 4
    assert step(PoolSpec.of("fractional-max", 3, options={"ratio": 0.25})) == 4
