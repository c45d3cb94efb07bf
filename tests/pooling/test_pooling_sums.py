"""The poolings that are sums over windows: right at any range, the same under every tracer, and small in memory."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import window
from poolsearch.pooling import build, pool
from poolsearch.pooling.sums import lp_by_sums, lse_by_sums, power_mean_by_sums, soft_by_sums

SUMS = ["lp", "lp norm=1", "lp norm=3", "lp norm=2.5", "lp norm=7", "soft", "soft beta=64", "soft beta=0",
        "lse", "lse r=64", "lse r=0.01", "gem-window", "gem-window p=6"]  # fmt: skip
WINDOWS = ["k2 s2", "k3 s1", "k3 s2 p1"]


def spec_of(text, window_text):
    kind, *options = text.split()
    return PoolSpec.parse(" ".join([kind, window_text, *options]))


def exact(x, spec):
    """Return the pooling in float64, each window's largest number taken out first; padding counts for nothing."""
    k, s = spec.kernel[0], spec.stride[0]
    p = spec.padding[0][0] if spec.padding else 0
    there = torch.nn.functional.pad(torch.ones_like(x, dtype=torch.bool), (p,) * 4)
    x, there = (
        t.unfold(2, k, s).unfold(3, k, s).flatten(4) for t in (torch.nn.functional.pad(x.double(), (p,) * 4), there)
    )
    gone = ~there
    if spec.kind == "lp":
        norm, largest = spec.option("norm"), x.detach().abs().amax(-1, keepdim=True)
        scaled = x.abs() / torch.where(largest > 0, largest, 1)
        sums = scaled.pow(norm).sum(-1)
        some = sums > 0
        return torch.where(some, torch.where(some, sums, 1).pow(1 / norm), 0) * largest.squeeze(-1)
    if spec.kind == "soft":
        return (torch.softmax((spec.option("beta") * x).masked_fill(gone, -torch.inf), -1) * x).sum(-1)
    count = there.sum(-1)
    if spec.kind == "lse":
        r = spec.option("r")
        return (torch.logsumexp((r * x).masked_fill(gone, -torch.inf), -1) - count.log()) / r
    p = spec.option("p")
    logs = (p * x.clamp_min(1e-6).log()).masked_fill(gone, -torch.inf)
    return ((torch.logsumexp(logs, -1) - count.log()) / p).exp()


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def spread(exponent):
    """Return a map whose rows of windows lie exponent decades apart around 1."""
    return normal(2, 3, 12, 12) * 10 ** torch.linspace(-exponent, exponent, 12)[:, None]


MAPS = {
    "normal": normal(2, 3, 12, 12),
    "rectified": normal(2, 3, 12, 12).relu() * (torch.arange(12) > 4),  # windows of zeros
    "nine decades": spread(4.5),
    "forty decades": spread(20),
    "huge": normal(2, 3, 12, 12) * 1e12,
    "tiny": normal(2, 3, 12, 12) * 1e-25,
    "one tiny window": normal(2, 3, 12, 12) * torch.where(torch.arange(12) < 4, 1e-24, 1.0),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("window_text", WINDOWS)
@pytest.mark.parametrize("text", SUMS)
def test_values_and_gradients_are_exact_at_any_range(text, window_text, name):
    spec = spec_of(text, window_text)
    x = MAPS[name].contiguous(memory_format=torch.channels_last).requires_grad_()
    ours, theirs = pool(x, spec), exact(x, spec)
    scale = theirs.abs().clamp_min(1e-45)  # each window by its own size
    if spec.kind in ("soft", "lse"):  # a mean of numbers of both signs is as exact as the largest of them
        scale = torch.nn.functional.max_pool2d(x.detach().abs().double(), 3, 1, 1).amax((2, 3), keepdim=True) + 1
    assert ((ours - theirs).abs() <= 3e-5 * scale).all()
    (mine,) = torch.autograd.grad(ours.sum(), x)
    (other,) = torch.autograd.grad(theirs.sum(), x)
    assert torch.isfinite(mine).all()
    reach = 1 + spec.option("beta") * scale.amax() if spec.kind == "soft" else 1
    assert ((mine - other).abs() <= 1e-4 * other.abs() + 1e-4 * reach).all()


@pytest.mark.parametrize(
    ("sums", "option", "numbers", "fits"),
    [
        (lp_by_sums, 2.0, [3.0, 4.0], True),
        (lp_by_sums, 2.0, [0.0, 0.0], True),
        (lp_by_sums, 2.0, [3e-23, 4e-23], False),  # the squares vanish
        (lp_by_sums, 2.0, [3e19, 4e19], False),  # the squares overflow
        (lp_by_sums, 7.0, [3e3, 4e3], False),
        (lp_by_sums, 2.0, [torch.inf, 1.0], False),
        (lp_by_sums, 2.0, [torch.nan, 1.0], False),
        (soft_by_sums, 1.0, [20.0, -20.0], True),
        (soft_by_sums, 1.0, [100.0, 0.0], False),
        (soft_by_sums, 1.0, [-100.0, -101.0], False),
        (soft_by_sums, 0.0, [3e38, 3e38], False),  # their sum overflows
        (lse_by_sums, 4.0, [5.0, 0.0], True),
        (lse_by_sums, 4.0, [50.0, 0.0], False),
    ],
)
def test_sums_are_taken_where_they_fit_and_only_there(sums, option, numbers, fits):
    x = torch.tensor([[[numbers, [1.0, 1.0]]]])
    win = window(PoolSpec.parse("avg k1x2 s1"), (2, 2))
    assert (sums(x, win, option) is not None) == fits
    half = x.to(torch.bfloat16)  # it has the range of float32
    assert (sums(half, win, option) is not None) == fits


def test_a_power_mean_takes_sums_up_to_exponent_five():
    x, win = torch.tensor([[[[-1.0, 0.0, 2.0]]]]), window(PoolSpec.parse("avg k1x2 s1"), (1, 3))
    assert power_mean_by_sums(x, win, torch.tensor([5.0]), 1e-6) is not None  # (1e-6)^5 is left of the first window
    assert power_mean_by_sums(x, win, torch.tensor([7.0]), 1e-6) is None


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("text", ["lp", "lp norm=3", "soft", "lse", "gem-window", "median", "stochastic"])
def test_no_tracer_meets_a_branch(text):
    spec = spec_of(text, "k3 s2 p1")
    module, x = build(spec, 4).eval(), normal(2, 4, 9, 9)
    expected = module(x)
    for traced in (
        torch.compile(module, fullgraph=True, backend="aot_eager"),
        torch.export.export(module, (x,)).module(),
        make_fx(lambda x: module(x))(x),
        torch.func.vmap(lambda y: module(y[None])[0]),
    ):
        assert torch.allclose(traced(x), expected, atol=1e-6)
        assert torch.allclose(traced(1e3 * x), module(1e3 * x), rtol=1e-5, atol=1e-3)  # where the sums do not fit


@pytest.mark.filterwarnings("ignore")  # torch's own, of its scripts
@pytest.mark.parametrize("text", [*SUMS[:4], "gem-window"])
def test_there_are_second_derivatives_and_directional_ones(text):
    module = build(spec_of(text, "k2 s1"), 2).double()
    x = normal(1, 2, 4, 4).double()
    inputs = [(x.abs() + 0.1 if text == "gem-window" else x).requires_grad_(), *module.parameters()]
    assert torch.autograd.gradcheck(lambda x, *_: module(x), inputs[0], check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda x, *_: module(x), inputs)
    assert torch.autograd.gradgradcheck(lambda x, *_: module(x), inputs)


@pytest.mark.parametrize(("text", "most"), [("lp", 3), ("soft", 4), ("lse", 2), ("gem-window", 6)])
def test_what_is_kept_for_the_backward_pass(text, most):
    """At k3 s1 a gathered form keeps 9 to 34 times the input."""
    x, kept = normal(1, 4, 32, 32).requires_grad_(), {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = build(spec_of(text, "k3 s1"), 4)(x)
    kept.pop(x.untyped_storage().data_ptr(), None)
    assert y.requires_grad
    assert sum(kept.values()) <= most * x.untyped_storage().nbytes()
