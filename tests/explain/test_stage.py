"""Pooling by hand: the arithmetic of every cell gives the operator's own number."""

import numpy as np
import pytest

from poolsearch.errors import WindowError
from poolsearch.explain.stage import stage
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS

PICTURE = np.random.default_rng(0).random((8, 8)).astype(np.float32)
TRACE = np.random.default_rng(1).random((1, 24)).astype(np.float32)
SPECS = [
    "max k2 s2", "max k3 s2 p1 ceil", "max k3 s1 d2", "avg k2 s2", "avg k3 s2 p1", "avg k3 s2 p1 ceil uncounted",
    "avg k3 s2 p1 ceil", "avg k3 s2 p1 divisor=4", "lp k2 s2", "lp k3 s2 p1 norm=3", "lse k2 s2", "lse k3 s2 p1 r=2",
    "soft k2 s2", "soft k3 s2 p1 beta=5", "gem-window k2 s2", "gem-window k3 s2 p1", "mixed k2 s2 alpha=0.3",
    "stochastic k2 s2", "stochastic k3 s2 p1", "fractional-max k2 ratio=0.7", "mixed-learned k2 s2",
    "fractional-max k3 ratio=0.4", "resize s3",
    "gated k3 s2 p1", "lip k3 s2 p1", "conv k3 s2 p1", "conv-depthwise k2 s2", "conv-blur k2 s2", "space-to-depth s3",
    "avg-conv k2 s2", "blur k3 s2 p1", "blur k5 s2 p2", "max-blur k3 s2 p1", "area s2", "area s3", "resize s2",
    "spectral s2", "wavelet k4 s2 p1", "aps s2", "aps s3", "subsample s3", "min k2 s2", "min k2 s2 d2", "median k2 s2",
    "median k3 s2 p1", "max k3 s2 same-upper", "avg k3 s2 same-lower uncounted", "avg k3 s2 same-upper",
    "max k3 s2 p1 reflect", "avg k3 s2 p1 circular", "min k3 s2 p1 zeros", "soft k3 s2 p1 reflect", "global-avg",
    "global-max", "avg-max", "gem", "avg-max-cat", "statistics", "adaptive-avg size=3", "adaptive-max size=5",
    "pyramid", "channel-avg", "channel-max", "maxout group=4",
]  # fmt: skip


def by_arithmetic(shown, cell):
    values = [term.value for term in cell.terms]
    n, r = cell.divisor, shown.number
    if cell.form == "pick":
        return cell.terms[cell.winner].value if cell.winner is not None else float(np.median(values))
    return {
        "mean": lambda: sum(values) / n,
        "root": lambda: (sum(abs(value) ** r for value in values) / n) ** (1 / r),
        "logexp": lambda: float(np.log(sum(np.exp(r * value) for value in values) / n) / r),
        "deviation": lambda: float(np.std(values)),
        "weighted": lambda: sum(term.value * term.weight for term in cell.terms),
        "copy": lambda: values[0],
    }[cell.form]()


@pytest.mark.parametrize("picture", [PICTURE, TRACE], ids=["picture", "trace"])
@pytest.mark.parametrize("text", SPECS)
def test_what_is_written_is_what_the_operator_returned(text, picture):
    shown = stage(picture, PoolSpec.parse(text))
    numbers = [value for row in shown.output for value in row]
    assert len(numbers) == len(shown.cells)
    outside = {(row, column): value for row, column, value in shown.outside}
    for cell, number in zip(shown.cells, numbers, strict=True):
        assert by_arithmetic(shown, cell) == pytest.approx(number, abs=3e-5)
        for term in cell.terms:
            inside = 0 <= term.row < len(shown.input) and 0 <= term.column < len(shown.input[0])
            there = shown.input[term.row][term.column] if inside else outside[term.row, term.column]
            assert there == term.value


def within(index, start, length, size):
    """Say whether a window holds a pixel, itself or as its image in a mirrored or wrapped border."""
    images = (index, -index, 2 * (size - 1) - index, index - size, index + size)
    return any(start <= image < start + length for image in images)


@pytest.mark.parametrize("text", SPECS)
def test_the_outlined_window_holds_every_pixel_that_matters(text):
    shown = stage(PICTURE, PoolSpec.parse(text), backward=True)
    assert any(cell.gradient for cell in shown.cells)
    for cell in shown.cells:
        row, column, rows, columns = cell.window
        assert all(within(r, row, rows, 8) and within(c, column, columns, 8) for r, c, _ in cell.gradient)


def test_gradients_by_hand():
    picture = np.array([[0, 5, 1, 2], [5, 5, 4, 3]], np.float32)
    shares = {
        text: stage(picture, PoolSpec.parse(text), backward=True).cells
        for text in ("avg k2 s2", "max k2 s2", "soft k2 s2")
    }
    assert [g for _, _, g in shares["avg k2 s2"][0].gradient] == [0.25] * 4
    assert shares["max k2 s2"][1].gradient == ((1, 2, 1.0),)
    assert shares["soft k2 s2"][0].gradient[0][2] == pytest.approx(-0.0089, abs=2e-4)
    assert stage(picture, PoolSpec.parse("avg k2 s2")).cells[0].gradient is None


def test_a_wrapped_border_shows_its_numbers():
    picture = np.arange(16, dtype=np.float32).reshape(4, 4)
    shown = stage(picture, PoolSpec.parse("max k3 s2 p1 circular"))
    assert (-1, -1, 15.0) in shown.outside
    assert (-1, 0, 12.0) in shown.outside
    assert len(shown.outside) == 6 * 6 - 16
    assert shown.captions == ("Input 4 × 4, wrapped around", "Output 2 × 2")


@pytest.mark.parametrize(
    ("text", "window", "captions"),
    [
        ("adaptive-avg size=3", (0, 2, 3, 4), ("Input 8 × 8", "Output 3 × 3")),
        ("pyramid levels=2", (0, 0, 4, 4), ("Input 8 × 8", "Output: 5 bins")),
        ("maxout group=4", (0, 4, 1, 4), ("Input: 8 places × 8 channels", "Output: 2 channels")),
        ("max k2x4 s2x4", (0, 4, 2, 4), ("Input 8 × 8", "Output 4 × 2")),
    ],
)
def test_the_second_window_by_hand(text, window, captions):
    shown = stage(PICTURE, PoolSpec.parse(text))
    assert shown.cells[1].window == window
    assert shown.captions == captions


def test_every_kind_is_covered_and_the_id_changes_with_the_choice():
    assert {PoolSpec.parse(text).kind for text in SPECS} == set(KINDS)
    assert len({stage(PICTURE, PoolSpec.parse(text)).id for text in SPECS}) == len(SPECS)
    assert stage(PICTURE, PoolSpec.parse("max k2 s2")).id == stage(PICTURE, PoolSpec.parse("max k2")).id


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(WindowError, match="larger than the 8-pixel map"):
        stage(PICTURE, PoolSpec.parse("max k9 s1"))
