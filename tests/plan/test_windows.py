"""Window arithmetic against torch's own output sizes, and the refusals with their nearest legal value."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st

from poolsearch.errors import WindowError
from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import Field, output_size, pooled_channels, pooled_size, same_padding, seen_through
from poolsearch.pooling import pool


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "ceil", "out"),
    [
        (8, 2, 2, 0, 1, False, 4),
        (8, 3, 2, 0, 1, False, 3),
        (8, 3, 2, 0, 1, True, 4),
        (8, 3, 2, 1, 1, False, 4),
        (2, 1, 2, 0, 1, True, 1),  # ceil would give 2, but that window would start behind the map
        (3, 2, 2, 1, 1, True, 2),  # same: 3 becomes 2
        (7, 3, 1, 0, 3, False, 1),  # dilation 3 spans 7 pixels
        (3, 5, 1, 0, 1, False, 0),  # no window fits
    ],
)
def test_sizes_by_hand(size, kernel, stride, padding, dilation, ceil, out):
    assert output_size(size, kernel, stride, padding, padding, dilation, ceil) == out


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 8), st.integers(0, 3), st.integers(1, 3), st.booleans())
def test_sizes_are_those_of_torch(size, kernel, stride, padding, dilation, ceil):
    padding = min(padding, kernel // 2)
    mine = output_size(size, kernel, stride, padding, padding, dilation, ceil)
    try:
        theirs = F.max_pool1d(torch.zeros(1, 1, size), kernel, stride, padding, dilation, ceil).shape[-1]
    except RuntimeError:  # "Output size is too small", or a kernel larger than the padded map
        theirs = 0
    assert mine == theirs


@pytest.mark.parametrize(("lower", "pads"), [(False, (0, 1)), (True, (1, 0))])
def test_same_padding_puts_the_odd_pixel_where_onnx_does(lower, pads):
    assert same_padding(8, 3, 2, lower=lower) == pads
    assert output_size(8, 3, 2, *pads) == 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("max k9 s1", "Kernel 9 is larger than the 8-pixel map, in 'max k9 s1'. The largest kernel that fits is 8."),
        ("max k11 s2 p1", "larger than the 8-pixel map (10 with its padding)"),
        ("max k3 s1 d4", "Kernel 3 spans 9 pixels at dilation 4 and is larger than the 8-pixel map"),
        ("avg k2 s9", "Stride 9 is larger than the 8-pixel map, in 'avg k2 s9'"),
        ("max k2x3x2 s2", "gives 3 kernel values, but the map has 2 axes"),
    ],
)
def test_a_window_that_does_not_fit_is_refused_with_the_nearest_that_does(spec, message):
    with pytest.raises(WindowError) as refused:
        pooled_size(PoolSpec.parse(spec), (8, 8))
    assert message in str(refused.value)


def test_a_ratio_may_leave_one_pixel_and_not_none():
    assert pooled_size(PoolSpec.parse("fractional-max k2 ratio=0.125"), (8,)) == (1,)
    with pytest.raises(WindowError, match="would make 0 of 8 pixels with kernel 2. The largest ratio here is 0.87."):
        pooled_size(PoolSpec.parse("fractional-max k2 ratio=0.12"), (8,))


def test_a_mirrored_border_needs_a_map_larger_than_itself():
    assert pooled_size(PoolSpec.parse("blur k5 s2 p2"), (3, 3)) == (2, 2)
    with pytest.raises(WindowError, match="mirrors 2 pixels at the border, but only 2 are there"):
        pooled_size(PoolSpec.parse("blur k5 s2 p2"), (2, 2))


def test_receptive_field_of_two_stages_by_hand():
    field = Field().through(3, 1, 1).through(2, 2).through(3, 1, 1)
    assert (field.jump, field.low, field.high, field.pixels) == (2, -3, 4, 8)


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("max k3 s2 p1 reflect", (1, 8), "'max k3 s2 p1 reflect' mirrors 1 pixels at the border, but only 1 are there"),
        ("wavelet k6 s2 p3", (2,), "'wavelet k6 s2 p3' wraps 3 pixels around, but only 2 are there."),
        ("fractional-max k2 ratio=1", (8,), "would make 8 of 8 pixels with kernel 2. The largest ratio here is 0.87."),
        ("fractional-max k9", (8,), "would make 5 of 8 pixels with kernel 9. Take a smaller kernel."),
        ("area s9", (8,), "Stride 9 is larger than the 8-pixel map"),
    ],
)
def test_a_border_or_ratio_that_a_map_does_not_have_is_refused(text, sizes, message):
    with pytest.raises(WindowError) as refused:
        pooled_size(PoolSpec.parse(text), sizes)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "channels"),
    [("max k2 s2", 6), ("avg-max-cat", 12), ("statistics", 12), ("pyramid", 84), ("channel-avg", 1), ("maxout", 3)],
)
def test_channels_by_hand(text, channels):  # a pyramid of three levels: 1 + 4 + 9 bins
    assert pooled_channels(PoolSpec.parse(text), 6, 2) == channels


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(WindowError) as refused:
        pooled_channels(PoolSpec.parse("maxout group=4"), 6, 2)
    assert str(refused.value) == "'maxout group=4' needs a number of channels that 4 divides, got 6. Nearest: group=3."


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("max k3 s2 p1", -1, 1),
        ("max-blur k3 s2 p1", -2, 2),  # the filter sees one pixel more at either side
        ("max-blur k3 s2 p1 taps=4", -2, 3),  # of an even filter the odd pixel is the last
        ("area s3", 0, 2),
        ("resize s2", -1, 2),
        ("subsample s2", 0, 0),
        ("maxout", 0, 0),
    ],
)
def test_what_the_first_output_sees_is_where_its_gradient_goes(text, first, last):
    spec = PoolSpec.parse(text)
    field = seen_through(spec, Field(), (12,))
    assert (field.low, field.high) == (first, last)
    x = torch.rand(1, 2, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pool(x, spec)[0, 0, 2].backward()  # far from the border
    seen = x.grad.abs().sum((0, 1)).nonzero().flatten()
    assert seen.min() >= 2 * field.jump + first
    assert seen.max() <= 2 * field.jump + last


@pytest.mark.parametrize(("stride", "pixels", "first"), [(2, 4, -1), (3, 5, -1), (4, 8, -2), (5, 9, -2)])
def test_a_resized_pixel_sees_from_the_block_before_to_the_block_behind(stride, pixels, first):
    """The triangle of anti-aliased resizing is 2 s wide; at an odd s its two outermost pixels weigh nothing."""
    field = seen_through(PoolSpec.parse(f"resize s{stride}"), Field(), (60, 60))
    assert (field.pixels, field.low, field.jump) == (pixels, first, stride)
