"""The battery that every pooling passes, exact small answers, and torch as the oracle where torch has the operator."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from poolsearch.kinds import HEADS, KINDS, WINDOWED
from poolsearch.plan import PoolSpec
from poolsearch.pooling import POOLINGS, build, pool
from poolsearch.windows import pooled_size

WINDOWS = {
    "subsample": ["subsample s2", "subsample s3"],
    "blur": ["blur k3 s2 p1", "blur k5 s2 p2", "blur k2 s2", "blur k4 s2 p1", "blur k3 s2 same-upper"],
    "median": ["median k2 s2", "median k3 s2 p1", "median k3 s2 same-upper ceil"],
    "max": ["max k2 s2", "max k3 s2 p1 ceil", "max k3 s1 d2", "max k3 s2 same-lower"],
    "avg": ["avg k2 s2", "avg k3 s2 p1 uncounted ceil", "avg k3 s2 same-upper uncounted"],
    "conv": ["conv k3 s2 p1", "conv k2 s1"],
}
SPECS = [
    PoolSpec.parse(text)
    for kind in KINDS
    for text in ([kind] if kind in HEADS else WINDOWS.get(kind, [f"{kind} k2 s2", f"{kind} k3 s2 p1"]))
]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)
every_size = pytest.mark.parametrize("sizes", [(13,), (9, 12), (5, 6, 7)], ids=["1d", "2d", "3d"])


def numbers(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_the_registry_and_the_records_name_the_same_kinds_in_the_same_order():
    assert list(POOLINGS) == list(KINDS)
    assert {spec.kind for spec in SPECS} == set(KINDS)


# ------------------------------------------------------------------------------------------------------ the battery


@every_size
@every_spec
def test_output_size_is_what_windows_says(spec, sizes):
    assert pool(numbers(2, 3, *sizes), spec).shape == (2, 3, *pooled_size(spec, sizes))


@every_spec
def test_a_constant_stays_that_constant_and_nothing_leaves_the_range(spec):
    if not KINDS[spec.kind].averages:
        pytest.skip("this kind does not promise to average")
    for size in range(7, 20):
        assert torch.allclose(pool(torch.full((1, 2, size, size), 3.5), spec), torch.tensor(3.5), rtol=1e-6)
        x = numbers(1, 2, size, size, seed=size)
        y = pool(x, spec)
        assert y.min() >= x.min() - 1e-6
        assert y.max() <= x.max() + 1e-6


@every_spec
def test_channels_do_not_touch(spec):
    if spec.kind in ("conv", "avg-conv"):
        pytest.skip("a full convolution mixes channels on purpose")
    module, x = build(spec, 4, 2).eval(), numbers(2, 4, 9, 9)
    changed = x.clone()
    changed[:, 0] = numbers(2, 9, 9, seed=1)
    assert torch.equal(module(changed)[:, 1:], module(x)[:, 1:])


@every_size
@every_spec
def test_gradient_is_that_of_the_formula(spec, sizes):
    small = tuple(min(n, 6) for n in sizes)
    module = build(spec, 2, len(sizes)).double()
    x = numbers(1, 2, *small, dtype=torch.float64)
    if spec.kind in ("gem", "stochastic"):
        x = x.abs() + 0.1  # values below 0 (or ε) get no gradient on purpose, and there is a step
    assert torch.autograd.gradcheck(module.eval(), x.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@every_spec
def test_half_precision_is_finite_at_1000(spec, dtype):
    x = torch.full((1, 2, 9, 9), 1000.0, dtype=dtype)
    x[0, 0, ::2] *= -1
    y = pool(x, spec)
    assert y.dtype == dtype
    assert torch.isfinite(y).all()
    if KINDS[spec.kind].averages:
        assert y.max() <= 1000 * 1.01


@every_spec
def test_eval_is_deterministic_and_the_state_comes_back(spec):
    module = build(spec, 3, 2).eval()
    x = numbers(2, 3, 9, 9).relu()
    assert torch.equal(module(x), module(x))
    other = build(spec, 3, 2).eval()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))
    assert bool(list(module.parameters())) == KINDS[spec.kind].learned


@every_spec
def test_modules_copy_pickle_and_run_on_meta(spec):
    module = build(spec, 3, 2).eval()
    x = numbers(1, 3, 9, 9).relu()
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(module), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), module(x))
    assert module.to("meta")(x.to("meta")).shape == pool(x, spec).shape


@every_spec
def test_backward_survives_an_in_place_change_behind_it(spec):
    x = numbers(1, 3, 9, 9).requires_grad_()
    F.relu(build(spec, 3, 2)(x), inplace=True).sum().backward()
    assert torch.isfinite(x.grad).all()


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


# --------------------------------------------------------------------------------------------------- torch as oracle

case = st.tuples(
    st.integers(1, 3), st.integers(4, 13), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.booleans()
)


@given(case, st.booleans(), st.integers(1, 2))
def test_max_average_and_lp_are_torchs_own(case, counted, dilation):
    axes, size, kernel, stride, padding, ceil = case
    padding = min(padding, kernel // 2)
    x = numbers(2, 2, *([size] * axes))
    native = {1: (F.max_pool1d, F.avg_pool1d), 2: (F.max_pool2d, F.avg_pool2d), 3: (F.max_pool3d, F.avg_pool3d)}
    theirs_max, theirs_avg = native[axes]
    spec = PoolSpec.of("avg", kernel, stride, padding, ceil=ceil, counted=counted)
    assert torch.equal(pool(x, spec), theirs_avg(x, kernel, stride, padding, ceil, counted))
    if dilation * (kernel - 1) + 1 <= size:
        spec = PoolSpec.of("max", kernel, stride, padding, dilation, ceil=ceil)
        assert torch.equal(pool(x, spec), theirs_max(x, kernel, stride, padding, dilation, ceil))
    if axes == 2:
        ours = pool(x, PoolSpec.of("lp", kernel, stride, options={"norm": 3}))
        assert torch.allclose(ours, F.lp_pool2d(x.abs(), 3, kernel, stride), rtol=1e-4, atol=1e-5)


def by_index(x, spec, reduce):
    """The slow, obvious pooling: visit each window, take the pixels that are really there, reduce them."""
    from poolsearch.windows import window

    win = window(spec, x.shape[2:])
    rows, columns = win.output(x.shape[2:])
    out = torch.empty(*x.shape[:2], rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * win.stride[0] - win.padding[0][0], j * win.stride[1] - win.padding[1][0]
            seen = x[:, :, max(top, 0) : top + win.kernel[0], max(left, 0) : left + win.kernel[1]]
            out[:, :, i, j] = reduce(seen.flatten(2))
    return out


@pytest.mark.parametrize("window", ["k3 s2 p1", "k2x3 s2 same-upper", "k3 s2 same-lower", "k4 s3 p1:2", "k3 s2 ceil"])
@pytest.mark.parametrize(
    ("kind", "reduce"),
    [
        ("max", lambda seen: seen.amax(-1)),
        ("avg uncounted", lambda seen: seen.mean(-1)),
        ("lp", lambda seen: seen.abs().square().sum(-1).sqrt()),
        ("soft", lambda seen: (seen.softmax(-1) * seen).sum(-1)),
        ("min", lambda seen: seen.amin(-1)),
        ("median", lambda seen: seen.quantile(0.5, -1)),
        ("lse", lambda seen: (seen * 4).exp().mean(-1).log() / 4),
        ("mixed", lambda seen: (seen.amax(-1) + seen.mean(-1)) / 2),
        ("stochastic", lambda seen: seen.clamp_min(0).square().sum(-1) / seen.clamp_min(0).sum(-1).clamp_min(1e-12)),
    ],
    ids=["max", "avg", "lp", "soft", "min", "median", "lse", "mixed", "stochastic"],
)
def test_every_padding_against_the_obvious_pooling(kind, reduce, window):
    name, *flags = kind.split()
    spec = PoolSpec.parse(" ".join([name, window, *flags]))
    x = numbers(2, 3, 8, 11)
    assert torch.allclose(pool(x, spec), by_index(x, spec, reduce), atol=1e-5)


def test_every_windowed_kind_takes_a_stride():
    assert all("stride" in KINDS[kind].takes for kind in WINDOWED)
    assert not any("stride" in KINDS[kind].takes for kind in HEADS)


# ------------------------------------------------------------------------------------------- families that collapse


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mixed k3 s2 p1 alpha=0", "avg k3 s2 p1 uncounted"),
        ("mixed k3 s2 p1 alpha=1", "max k3 s2 p1"),
        ("mixed-learned k2 s2", "mixed k2 s2"),  # at its start
        ("gated k2 s2", "mixed k2 s2"),  # at its start
        ("blur k2 s2", "avg k2 s2"),
        ("soft k3 s2 p1 beta=0", "avg k3 s2 p1 uncounted"),
        ("lse k2 s2 r=0.01", "avg k2 s2"),  # in the limit
    ],
)
def test_one_kind_is_another(one, other):
    x = numbers(2, 3, 9, 9)
    assert torch.allclose(
        pool(x, PoolSpec.parse(one)), pool(x, PoolSpec.parse(other)), atol=0.02 if "r=" in one else 1e-5
    )


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
