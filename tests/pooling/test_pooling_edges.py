"""The edges of every pooling's domain: empty batches, NaN, infinities, half precision, windows larger than the map.

The answers are those of torch and numpy. What the formula itself leaves undefined (0 · inf, inf / inf) stays NaN.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pooling_oracle import slow
from test_pooling import SPECS, numbers

from poolsearch.errors import WindowError
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import pooled_channels, pooled_size
from poolsearch.pooling import build, pool

every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)
NAN, INF = float("nan"), float("inf")


@every_spec
@pytest.mark.parametrize("sizes", [(13,), (9, 12), (5, 6, 7)], ids=["1d", "2d", "3d"])
def test_an_empty_batch_gives_an_empty_batch_with_a_gradient(spec, sizes):
    for mode in (True, False):
        x = torch.zeros(0, 4, *sizes).requires_grad_()
        y = build(spec, 4, len(sizes)).train(mode)(x)
        assert y.shape == (0, pooled_channels(spec, 4, len(sizes)), *pooled_size(spec, sizes))
        y.sum().backward()
        assert x.grad.shape == x.shape


@every_spec
@pytest.mark.parametrize("sizes", [(13,), (9, 12), (5, 6, 7)], ids=["1d", "2d", "3d"])
def test_a_nan_reaches_every_output_that_sees_it(spec, sizes):
    x = numbers(1, 4, *sizes).abs() + 0.1
    x[(0, 1, *(0 for _ in sizes))] = NAN  # a place that every kind keeps, a subsample too
    y = pool(x, spec, dims=len(sizes))
    assert y.isnan().any()
    if KINDS[spec.kind].reduces == "window" and KINDS[spec.kind].sees in ("window", "filtered") and not spec.border:
        x = x.nan_to_num(0.5)
        moved = x.clone()
        moved[(0, 1, *(0 for _ in sizes))] = 1e6
        reached = (pool(moved, spec, dims=len(sizes)) != pool(x, spec, dims=len(sizes))).any()
        assert reached or spec.kind in ("median", "min")  # the place does count


@pytest.mark.parametrize("spec", ["median k2 s2", "median k3 s2 p1", "median k3 s2 same-upper ceil", "median k7 s3 p3"])
def test_a_median_is_numpys_also_of_nan_and_infinities(spec):
    spec, x = PoolSpec.parse(spec), numbers(2, 3, 11, 12, dtype=torch.float64)
    for place, value in [((0, 0, 4, 4), NAN), ((0, 1, 5, 5), INF), ((1, 2, 0, 0), -INF), ((1, 1, 10, 11), NAN)]:
        x[place] = value
    assert torch.equal(pool(x, spec).isnan(), slow(x, spec, None).isnan() | pool_has_nan(x, spec))
    for window in np.random.default_rng(0).integers(0, 8, (50, 2)):
        cut = x[:, :, window[0] : window[0] + 3, window[1] : window[1] + 3]
        theirs = np.median(cut.numpy(), axis=(2, 3))
        assert np.array_equal(pool(cut.contiguous(), PoolSpec.parse("median k3")).numpy()[..., 0, 0], theirs, True)


def pool_has_nan(x, spec):
    return pool(x, PoolSpec.parse(str(spec).replace("median", "max"))).isnan()


@pytest.mark.parametrize("norm", [1, 2, 3, 16])
@pytest.mark.parametrize("window", ["k2 s2", "k3 s2 p1", "k3 s2 p1 circular"])
def test_lp_of_an_infinity_is_infinite_and_of_nan_is_nan(norm, window):
    x = numbers(1, 2, 8, 8)
    x[0, 0, 3, 3], x[0, 1, 4, 4] = -INF, NAN
    y = pool(x, f"lp {window} norm={norm}")
    finite = pool(x.clone().nan_to_num(0.5, 0.5, 0.5), f"lp {window} norm={norm}")
    assert torch.equal(y[0, 0].isinf(), ~y[0, 0].isclose(finite[0, 0])) and not y[0, 0].isnan().any()
    assert y[0, 0].isinf().any() and y[0, 1].isnan().any() and not y[0, 1].isinf().any()
    assert y.nan_to_num(0, 0).ge(0).all()


@pytest.mark.parametrize("value", [65000.0, 40000.0, -65000.0])
@every_spec
def test_an_averaging_kind_is_finite_up_to_the_largest_half(spec, value):
    if not KINDS[spec.kind].averages or (value < 0 and "gem" in spec.kind):
        pytest.skip("this kind does not promise to average")
    y = pool(torch.full((1, 4, 9, 12), value, dtype=torch.float16), spec)
    assert y.isfinite().all()
    assert (y.float() / value - 1).abs().max() < 0.002


@pytest.mark.parametrize("scale", [1e-3, 1, 60, 600])
@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.options and "kernel" in kind.takes])
def test_half_precision_follows_double_at_both_ends_of_every_option(kind, scale):
    x = (numbers(1, 4, 9, 12).abs() * scale).clamp_max(60_000).half()
    for option in KINDS[kind].options:
        for value in (option.low, option.high):
            if option.name in ("divisor", "taps", "ratio"):
                continue
            spec = PoolSpec.of(kind, 2, 2, options={option.name: value})
            torch.manual_seed(0)
            module = build(spec, 4).eval()
            wanted = module.double()(x.double())
            ours = build(spec, 4).half().eval()(x)
            inside = wanted < 65_504
            tolerance = {"rtol": 3e-3, "atol": max(1e-3 * scale, 2e-5)}  # float32 rounds log mean exp(r x) at r = 0.01
            assert torch.allclose(ours.double()[inside], wanted[inside], **tolerance), f"{option.name}={value}"


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "min", "avg", "median", "lp", "lse", "soft", "mixed", "stochastic", "gated"])
def test_a_window_larger_than_the_map_is_the_map_where_ceil_or_padding_lets_it_stand(kind, axes):
    """Kernel 3 on 2 pixels in ceil mode, kernel 5 with padding 2 on 3 pixels: legal in all numbers of axes."""
    for window, size in (("k3 s2 ceil", 2), ("k5 s1 p2", 3), ("k3 s1 p1", 1)):
        spec, x = PoolSpec.parse(f"{kind} {window}"), numbers(1, 2, *[size] * axes, dtype=torch.float64).abs()
        module = build(spec, 2, axes).double().eval()
        assert torch.allclose(module(x), slow(x, spec, module)), window


def test_in_three_axes_an_average_larger_than_the_map_is_that_of_two():
    x = numbers(1, 1, 12, 12)
    flat = F.avg_pool2d(x, (14, 14), 1, (7, 7))
    assert torch.allclose(pool(x[:, :, None], "avg k1x14x14 s1 p0x7x7")[:, :, 0], flat, atol=1e-6)
    with pytest.raises(WindowError, match="larger than the 4-pixel map"):
        pool(numbers(1, 1, 4, 4, 4), "avg k5 s1")


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 6, 7])
def test_every_binomial_filter_from_one_tap_to_seven(taps):
    """Weights are Pascal's row; an even filter reaches one pixel further at the end; the size is that of a maximum."""
    row = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1], 6: [1, 5, 10, 10, 5, 1],
           7: [1, 6, 15, 20, 15, 6, 1]}[taps]  # fmt: skip
    x = numbers(1, 1, 12, dtype=torch.float64)
    dense = F.max_pool1d(x, 3, 1, 1)
    filtered = F.conv1d(
        F.pad(dense, ((taps - 1) // 2, taps // 2), mode="reflect"), torch.tensor([[row]]).double() / sum(row), stride=2
    )
    assert torch.allclose(pool(x, f"max-blur k3 s2 p1 taps={taps}"), filtered)
    for size in range(8, 20):
        y = pool(torch.full((1, 1, size, size), 3.5), f"max-blur k2 s1 taps={taps}")
        assert y.shape == (1, 1, size - 1, size - 1) and torch.allclose(y, torch.tensor(3.5))
    assert pool(x, f"blur k{taps} s2").shape[-1] == (12 - taps) // 2 + 1
