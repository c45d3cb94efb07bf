"""Spectra of sinusoids, whose answers are known, and the pictures drawn of them."""

import io
from math import cos, pi

import numpy as np
import pytest
from PIL import Image

from poolsearch.data import datasets
from poolsearch.explain.shift import pooled
from poolsearch.explain.spectrum import decibels, dense, folding_frequency, picture_spectrum, spectrum, zone_plate
from poolsearch.figures import network as figures, rasters
from poolsearch.plan import PoolSpec

PICTURE = datasets.photograph("temple", 64, 96)


def wave(frequency, height=8, width=200):
    """Return a cosine along the width, (1, height, width); frequency in cycles a pixel."""
    row = np.cos(2 * pi * frequency * np.arange(width), dtype=np.float64)
    return np.tile(row.astype(np.float32), (1, height, 1))


def folded(picture, text):
    spec = PoolSpec.parse(text)
    return spectrum(dense(picture, spec)).share_above(folding_frequency(spec))


def test_a_cosine_has_its_power_at_its_frequency():
    found = spectrum(wave(0.4))
    assert found.frequencies[found.power.argmax()] == pytest.approx(0.4)
    assert found.power.sum() == pytest.approx(0.5, rel=1e-5)  # the mean square of a cosine


@pytest.mark.parametrize("width", [96, 97])
def test_the_powers_sum_to_the_variance_under_the_window(width):
    rows = np.random.default_rng(0).random((3, 4, width)).astype(np.float32)
    hann = np.square(np.sin(pi * np.arange(width) / width))
    away = (rows - rows.mean(-1, keepdims=True)) * hann
    assert spectrum(rows).power.sum() == pytest.approx(np.square(away).sum(-1).mean() / np.square(hann).sum(), rel=1e-4)


def test_without_a_filter_all_above_the_limit_folds_and_nothing_below():
    assert folded(wave(0.4), "subsample s2") == pytest.approx(1, abs=1e-5)
    assert folded(wave(0.1), "subsample s2") == pytest.approx(0, abs=1e-5)
    assert folded(wave(0.1), "subsample s8") == pytest.approx(1, abs=1e-5)  # the limit is 1/16


@pytest.mark.parametrize("frequency", [0.05, 0.2, 0.4])
@pytest.mark.parametrize(("text", "taps"), [("avg k2 s2", (1, 1)), ("blur k3 s2", (1, 2, 1)), ("avg k5 s2", (1,) * 5)])
def test_a_filter_leaves_of_a_cosine_what_its_response_says(frequency, text, taps):
    response = abs(sum(tap * np.exp(2j * pi * frequency * n) for n, tap in enumerate(taps))) / sum(taps)
    left = spectrum(dense(wave(frequency), PoolSpec.parse(text))).power.sum() / 0.5
    if text == "avg k2 s2":
        assert response == pytest.approx(abs(cos(pi * frequency)))  # the Dirichlet kernel of two pixels
    assert left == pytest.approx(response**2, abs=1e-3)


def test_the_rings_of_a_zone_plate_reach_the_finest_frequency_at_the_sides():
    rings = zone_plate(41, 201)
    row = rings[0, 20]
    assert rings.shape == (3, 41, 201)
    assert (row[100], row[86]) == pytest.approx((1, 0), abs=0.01)  # 14 pixels off: half a turn, 14² / 201 = 0.98
    assert (row[-5::2] > 0.8).all() and (row[-4::2] < 0.2).all()  # white, black, white: half a cycle a pixel
    assert folded(rings, "subsample s4") > 0.3 > 0.1 > folded(rings, "resize s4")


def test_a_constant_folds_nothing():
    assert folded(np.full((1, 16, 64), 0.3, np.float32), "subsample s2") == 0


def test_spectral_pooling_folds_nothing_and_resize_less_than_area():
    spectral, resize, area, none = (
        folded(PICTURE, f"{kind} s4") for kind in ("spectral", "resize", "area", "subsample")
    )
    assert spectral < 1e-3
    assert spectral < resize < area < none


@pytest.mark.parametrize(
    "text",
    [
        "max k3 s4",
        "median k2 s2",
        "blur k5 s4",
        "max-blur k3 s2",
        "wavelet k4 s2",
        "area s4",
        "resize s4",
        "spectral s8",
    ],
)
def test_every_stride_th_value_of_the_dense_output_is_the_pooled_picture(text):
    spec = PoolSpec.parse(text)
    stride = spec.stride[0]
    result = pooled(PICTURE, spec)
    kept = dense(PICTURE, spec)[:, ::stride, ::stride][:, : result.shape[1], : result.shape[2]]
    inside = slice(None), slice(1, -1), slice(1, -1)  # a mirrored border is mirrored elsewhere at stride 1
    np.testing.assert_allclose(kept[inside], result[inside], atol=1e-5)


def test_a_kind_without_a_stride_has_no_dense_output():
    assert dense(PICTURE, PoolSpec.of("fractional-max", 3, options={"ratio": 0.5})) is None


def test_a_wave_from_black_to_white_is_0_decibels_in_the_picture_of_its_spectrum():
    found = picture_spectrum(0.5 + 0.5 * wave(0.25, 32, 64), (32, 64))
    assert found.shape == (32, 64)
    assert found[16, [16, 48]] == pytest.approx([0, 0], abs=1e-3)  # a quarter of the way from the middle, both ways
    assert found[16, 32] < -60
    assert decibels(np.array([0.0, 1.0, 100.0])).tolist() == [-120, 0, 20]


def test_the_rectangle_of_a_spectrum_bounds_what_the_stride_keeps():
    png = Image.open(io.BytesIO(rasters.spectrum_png(np.full((40, 80), -120.0), (0.25, 0.25))))
    white = np.argwhere((np.asarray(png) == 255).all(-1))
    assert png.size == (80, 40)
    assert white.min(0).tolist() == [10, 20] and white.max(0).tolist() == [30, 60]
    assert png.getpixel((40, 20)) == tuple(figures.viridis()[0])


def test_a_change_is_white_at_a_quarter_of_full_brightness():
    png = Image.open(io.BytesIO(rasters.change_png(np.array([[0.0, 0.125, 0.25, 0.9]], np.float32), 4)))
    assert [png.getpixel((x, 0)) for x in range(4)] == [(0,) * 3, (128,) * 3, (255,) * 3, (255,) * 3]


def test_the_figure_of_spectra_shades_what_folds_and_keeps_the_colours():
    line = np.array([0.1, 0.4]), np.array([0.0, -30.0])
    figure = figures.spectrum_figure([("Input", *line), ("B: 12 % folds back", *line)], 0.125)
    assert [trace.line.color for trace in figure.data] == [figures.LIGHT["grey"], figures.LIGHT["b"]]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (0.125, 0.5)
    assert figure.layout.annotations[0].text == "folds back"


def test_a_side_without_a_curve_leaves_the_other_its_colour():
    (only,) = figures.shift_figure([("A", None), ("B", (0.0, 0.1))], shift=0).data
    assert (only.name, only.line.color) == ("B", figures.LIGHT["b"])
