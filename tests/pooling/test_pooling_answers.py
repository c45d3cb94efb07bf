"""Answers by hand, identities between kinds, and what is special to one kind."""

import pytest
import torch

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.pooling import build, pool
from poolsearch.pooling.antialiased import DAUBECHIES


def numbers(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


# ------------------------------------------------------------------------------------------------ answers by hand


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("max k2 s2", [[5, 7], [13, 15]]),
        ("avg k2 s2", [[2.5, 4.5], [10.5, 12.5]]),
        ("subsample s2", [[0, 2], [8, 10]]),
        ("avg k3 s2 p1", [[10 / 9, 24 / 9], [51 / 9, 10]]),  # corner: (0+1+4+5) / 9
        ("avg k3 s2 p1 uncounted", [[2.5, 4], [8.5, 10]]),  # corner: (0+1+4+5) / 4
        ("max k3 s2 same-upper", [[10, 11], [14, 15]]),
        ("blur k3 s2 p1", [[2.5, 4], [8.5, 10]]),  # corner, mirrored: (4·5 + 2·1·2 + 2·4·2 + 0·4) / 16 = 2.5
        ("max k3 s2 p1 circular", [[15, 15], [15, 15]]),  # every window sees the last corner or wraps to it
        ("max k3 s2 p1 zeros", [[5, 7], [13, 15]]),
        ("min k3 s2 p1 zeros", [[0, 0], [0, 5]]),
        ("avg k3 s2 p1 reflect", [[30 / 9, 42 / 9], [78 / 9, 90 / 9]]),
        ("avg k2 s2 divisor=1", [[10, 18], [42, 50]]),  # sums
        ("wavelet k2 s2", [[5, 9], [21, 25]]),
        ("area s2", [[2.5, 4.5], [10.5, 12.5]]),
        ("aps s2", [[5, 7], [13, 15]]),  # the phase with the largest numbers
        ("adaptive-max size=3", [[5, 6, 7], [9, 10, 11], [13, 14, 15]]),
        ("global-max", [[15]]),
        ("global-avg", [[7.5]]),
    ],
)
def test_sixteen_numbers_by_hand(spec, expected):
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.allclose(pool(x, PoolSpec.parse(spec)), torch.tensor(expected, dtype=torch.float32)[None, None])


def test_ceil_divides_by_what_lies_inside_the_map():
    # windows start at -1, 1, 3; the last is clipped at the end padding to 2 pixels, one of them real
    y = pool(torch.ones(1, 1, 4, 4), PoolSpec.parse("avg k3 s2 p1 ceil"))
    assert torch.allclose(y[0, 0, 1], torch.tensor([2 / 3, 1, 1 / 2]))


def test_lp_takes_negative_numbers_and_keeps_tiny_and_huge_ones():
    x = torch.tensor([[[-3.0, 4.0, 1e-23, -1e-23]]])
    assert torch.allclose(pool(x, PoolSpec.parse("lp k2 s2"))[0, 0, 0], torch.tensor(5.0))
    assert torch.isfinite(pool(x * 1e20, PoolSpec.parse("lp k2 s2 norm=3"))).all()


def test_a_tiny_window_beside_a_huge_one_keeps_its_value():
    x = torch.tensor([[[3e15, 4e15, 3e-23, 4e-23]]])
    assert torch.allclose(pool(x, PoolSpec.parse("lp k2 s2"))[0, 0], torch.tensor([5e15, 5e-23]), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("avg-max-cat", [1.5, 5.5, 3, 7]),  # averages of both channels, then their maxima
        ("statistics", [1.5, 5.5, 1.25**0.5, 1.25**0.5]),
        ("pyramid levels=2", [3, 7, 0, 1, 2, 3, 4, 5, 6, 7]),
        ("channel-avg", [2, 3, 4, 5]),
        ("channel-max", [4, 5, 6, 7]),
        ("maxout group=2", [4, 5, 6, 7]),
    ],
)
def test_two_channels_of_four_numbers_by_hand(text, expected):
    x = torch.arange(8.0).view(1, 2, 2, 2)
    assert torch.allclose(pool(x, PoolSpec.parse(text)).flatten(), torch.tensor(expected, dtype=torch.float32))


def test_soft_goes_from_average_to_maximum():
    x = numbers(2, 3, 8, 8)
    average, largest = pool(x, PoolSpec.parse("avg k2 s2")), pool(x, PoolSpec.parse("max k2 s2"))
    assert torch.allclose(pool(x, PoolSpec.parse("soft k2 s2 beta=0")), average, atol=1e-6)
    assert (pool(x, PoolSpec.parse("soft k2 s2 beta=64")) - largest).abs().max() < 0.05


def test_soft_has_a_negative_gradient_for_a_small_value_among_large_ones():
    x = torch.tensor([[[[0.0, 5.0], [5.0, 5.0]]]], requires_grad=True)
    pool(x, PoolSpec.parse("soft k2 s2")).sum().backward()
    assert x.grad[0, 0, 0, 0].item() == pytest.approx(-0.0089, abs=2e-4)


def test_gem_at_exponent_one_is_the_average():
    x = numbers(2, 3, 8, 8).abs() + 0.1
    assert torch.allclose(pool(x, PoolSpec.parse("gem p=1")), x.mean((2, 3), keepdim=True), rtol=1e-5)


# ------------------------------------------------------------------------------------------- families that collapse


@pytest.mark.parametrize("identity", [text for kind in KINDS.values() for text in kind.collapses])
def test_one_kind_is_another(identity):
    this, that = identity.split(" = ")
    factor, that = that.split(" x ") if " x " in that else ("1", that)
    x = numbers(2, 3, 8, 8)
    x = x.abs() + 0.1 if "gem" in this else x  # GeM cuts off what is below ε
    assert torch.allclose(pool(x, PoolSpec.parse(this)), float(factor) * pool(x, PoolSpec.parse(that)), atol=1e-5)


def test_log_sum_exp_becomes_the_average():
    x = numbers(2, 3, 8, 8)
    assert torch.allclose(pool(x, PoolSpec.parse("lse k2 s2 r=0.01")), pool(x, PoolSpec.parse("avg k2 s2")), atol=0.02)


def test_min_is_the_dual_of_max():
    x = numbers(2, 3, 8, 8)
    assert torch.equal(pool(x, PoolSpec.parse("min k3 s2 p1")), -pool(-x, PoolSpec.parse("max k3 s2 p1")))


def test_space_to_depth_is_a_strided_convolution_with_the_same_weights():
    deep, conv = build(PoolSpec.parse("space-to-depth s2"), 3), build(PoolSpec.parse("conv k2 s2"), 3)
    deep.conv.weight.data = conv.conv.weight.data.flatten(1)[:, :, None, None]
    x = numbers(2, 3, 8, 8)
    assert torch.allclose(deep(x), conv(x), atol=1e-6)


@pytest.mark.parametrize("size", range(5, 34))
def test_spectral_keeps_a_constant_at_every_size(size):  # a public one returns -0.9 for 1 where size is 14
    x = torch.ones(1, 1, size, size)
    assert torch.allclose(pool(x, PoolSpec.parse("spectral s2")), torch.tensor(1.0), atol=1e-5)


@pytest.mark.parametrize("taps", [2, 4, 6])
def test_wavelet_filters_are_orthonormal_with_as_many_vanishing_moments_as_they_say(taps):
    h = DAUBECHIES[taps]
    assert sum(h) == pytest.approx(2**0.5)
    for shift in range(0, taps, 2):
        assert sum(a * b for a, b in zip(h, h[shift:])) == pytest.approx(float(shift == 0), abs=1e-10)
    for moment in range(taps // 2):
        high_pass = [(-1) ** i * h[taps - 1 - i] for i in range(taps)]
        assert sum(value * i**moment for i, value in enumerate(high_pass)) == pytest.approx(0, abs=1e-9)


def test_adaptive_polyphase_moves_with_the_picture_where_max_does_not():
    x = numbers(1, 2, 8, 8)
    moved = x.roll((1, 1), (2, 3))
    energies = []
    for text in ("aps s2", "max k2 s2"):
        first, second = pool(x, PoolSpec.parse(text)), pool(moved, PoolSpec.parse(text))
        rolls = [first.roll((i, j), (2, 3)) for i in range(4) for j in range(4)]
        energies.append(min((roll - second).abs().max().item() for roll in rolls))
    assert energies[0] == 0
    assert energies[1] > 0.1


def test_fractional_max_draws_in_training_and_repeats_itself_in_eval():
    module, x = build(PoolSpec.parse("fractional-max k2 ratio=0.6"), 2), numbers(1, 2, 16, 16)
    assert torch.equal(module.eval()(x), module(x))
    torch.manual_seed(0)
    first, second = module.train()(x), module(x)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(module(x), first)


def test_lip_learns_to_leave_pixels_out():
    module = build(PoolSpec.parse("lip k2 s2"), 1)
    with torch.no_grad():
        module.conv.weight.fill_(1.0)
        module.gain.fill_(50.0)  # logits 12 above the mean, 0 below it
    x = torch.tensor([[[[9.0, 0.0, 9.0, 0.0], [0.0, 0.0, 9.0, 0.0]]]])
    assert torch.allclose(module(x), torch.tensor([[[[9.0, 9.0]]]]), atol=1e-3)  # e^-12 of the zeros is left


def test_statistics_of_a_constant_map_have_a_gradient():
    x = torch.full((1, 1, 4, 4), 2.0, requires_grad=True)
    y = pool(x, PoolSpec.parse("statistics"))
    assert torch.allclose(y.flatten(), torch.tensor([2.0, 0.0]), atol=1e-4)
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_a_median_of_two_is_their_mean_and_of_three_the_middle():
    x = torch.tensor([[[5.0, 1.0, 3.0, 100.0]]])
    assert pool(x, PoolSpec.parse("median k2 s2")).tolist() == [[[3.0, 51.5]]]
    assert pool(x, PoolSpec.parse("median k3 s1")).tolist() == [[[3.0, 3.0]]]


def test_log_sum_exp_stays_between_average_and_maximum_and_its_gradient_is_positive():
    x = numbers(1, 2, 8, 8).requires_grad_()
    y = pool(x, PoolSpec.parse("lse k2 s2"))
    assert (y <= pool(x, PoolSpec.parse("max k2 s2")) + 1e-6).all()
    assert (y >= pool(x, PoolSpec.parse("avg k2 s2")) - 1e-6).all()
    y.sum().backward()
    assert (x.grad > 0).all()


def test_stochastic_draws_each_pixel_as_often_as_its_value_says():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2).expand(1, 20_000, 2, 2)
    module = build(PoolSpec.parse("stochastic k2 s2"), 1, 2).train()
    torch.manual_seed(0)
    drawn = module(x).flatten()
    shares = [(drawn == value).float().mean().item() for value in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.012)  # four deviations of 20,000 draws
    assert drawn.mean().item() == pytest.approx(module.eval()(x)[0, 0].item(), abs=0.03)


def test_stochastic_gives_the_gradient_to_the_drawn_pixel_alone():
    x = numbers(1, 1, 4, 4).abs().requires_grad_()
    build(PoolSpec.parse("stochastic k2 s2"), 1, 2).train()(x).sum().backward()
    assert x.grad.sum() == 4
    assert set(x.grad.flatten().tolist()) == {0.0, 1.0}
    assert build(PoolSpec.parse("stochastic k2 s2"), 1, 2)(torch.zeros(1, 1, 4, 4)).abs().sum() == 0
