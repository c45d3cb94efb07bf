"""The battery that every pooling passes, and torch as the oracle where torch has the operator.

Answers by hand, and what is special to one kind, stand in test_pooling_answers.py; the slow, obvious reference of all
kinds and borders in pooling_oracle.py.
"""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from pooling_oracle import slow

from poolsearch.errors import PoolsearchError
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS, heads, windowed
from poolsearch.plan.windows import pooled_channels, pooled_size
from poolsearch.pooling import POOLINGS, build, pool

WINDOWS = {
    "median": ["k2 s2", "k3 s2 p1", "k3 s2 same-upper ceil"],
    "max": ["k2 s2", "k3 s2 p1 ceil", "k3 s1 d2", "k3 s2 same-lower", "k3 s2 p1 circular"],
    "avg": ["k2 s2", "k3 s2 p1 uncounted ceil", "k3 s2 same-upper uncounted", "k3 s2 p1 reflect"],
    "conv": ["k3 s2 p1", "k2 s1"],
    "blur": ["k3 s2 p1", "k5 s2 p2", "k2 s2", "k4 s2 p1", "k3 s2 same-upper", "k3 s2 p1 circular"],
    "wavelet": ["k2 s2", "k4 s2 p1"],
    "fractional-max": ["k2", "k3 ratio=0.5"],
    "adaptive-avg": ["size=3"],
    "adaptive-max": ["size=3"],
    "maxout": ["group=2"],
}


def windows_of(kind):
    """Return the windows that the battery tries a kind with."""
    if kind in WINDOWS:
        return WINDOWS[kind]
    if not KINDS[kind].takes:
        return [""]
    return ["k2 s2", "k3 s2 p1"] if "kernel" in KINDS[kind].takes else ["s2", "s3"]


SPECS = [PoolSpec.parse(f"{kind} {text}") for kind in KINDS for text in windows_of(kind)]
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
    expected = (2, pooled_channels(spec, 4, len(sizes)), *pooled_size(spec, sizes))
    assert pool(numbers(2, 4, *sizes), spec).shape == expected


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


@pytest.mark.parametrize(
    "kind", [name for name, kind in KINDS.items() if not kind.averages and kind.explainers[0].form != "copy"]
)
def test_what_does_not_promise_to_average_leaves_the_range_of_some_map(kind):
    """A negative constant does it for sums, weights and maps made for a ReLU; a peak on an odd map for the others."""
    peak = torch.ones(1, 2, 5, 5)
    peak[:, :, 3, 3] = 100.0
    outside = [
        bool(y.min() < x.min() - 1e-3 or y.max() > x.max() + 1e-3)
        for x in (-torch.ones(1, 2, 6, 6), peak)
        for y in [build(next(spec for spec in SPECS if spec.kind == kind), 2, 2).eval()(x)]
    ]
    assert any(outside)


@every_spec
def test_channels_do_not_touch(spec):
    if KINDS[spec.kind].mixes_channels or KINDS[spec.kind].channels != "same":
        pytest.skip("this kind mixes channels on purpose")
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
    if KINDS[spec.kind].positive:
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
    module = build(spec, 4, 2).eval()
    x = numbers(2, 4, 9, 9).relu()
    assert torch.equal(module(x), module(x))
    other = build(spec, 4, 2).eval()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))
    assert bool(list(module.parameters())) == KINDS[spec.kind].learned


@every_spec
def test_modules_copy_pickle_and_run_on_meta(spec):
    module = build(spec, 4, 2).eval()
    x = numbers(1, 4, 9, 9).relu()
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(module), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), module(x))
    assert module.to("meta")(x.to("meta")).shape == pool(x, spec).shape


@every_spec
def test_the_layout_in_memory_does_not_matter(spec):
    wide = numbers(2, 4, 9, 18)
    for x in (wide[..., ::2], wide[..., :9].contiguous(memory_format=torch.channels_last)):
        assert torch.allclose(pool(x, spec), pool(x.contiguous(), spec), atol=1e-6)


FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("sizes", [(9, 12), (5, 6, 7)], ids=["2d", "3d"])
@every_spec
def test_the_memory_format_is_kept(spec, sizes, training):
    module = build(spec, 4, len(sizes)).train(training)
    x = numbers(2, 4, *sizes)
    last = FORMATS[x.dim()]
    rows = x.repeat_interleave(2, -1)  # every second column of these is x, with gaps in memory
    for given_map, there in (
        (x, torch.contiguous_format),
        (x.contiguous(memory_format=last), last),
        (rows[..., ::2], torch.contiguous_format),
        (rows.contiguous(memory_format=last)[..., ::2], last),
    ):
        y = module(given_map)
        assert y.is_contiguous(memory_format=there)
        if there == torch.contiguous_format:
            y.view(-1)
    # also where the weights of a learned kind are laid out in the other format
    module = module.to(memory_format=last)
    assert module(x).is_contiguous()
    assert module(x.contiguous(memory_format=last)).is_contiguous(memory_format=last)


def stands(spec, shape):
    """Return whether a pooling stands on a map of this shape."""
    try:
        pooled_size(spec, shape[2:])
        pooled_channels(spec, shape[1], len(shape) - 2)
    except PoolsearchError:
        return False
    return True


BOTH = [(spec, shape) for spec in SPECS for shape in [(2, 1, 9, 12), (2, 4, 1, 1), (1, 1, 1, 1)] if stands(spec, shape)]


@pytest.mark.parametrize(("spec", "shape"), BOTH, ids=str)
def test_a_map_that_is_stored_in_both_formats_stays_in_both(spec, shape):
    x, module = numbers(*shape), build(spec, shape[1], 2).eval()
    for given_map in (x, x.to(memory_format=torch.channels_last)):
        y = module(given_map)
        assert y.is_contiguous()
        if y.shape[1] == 1 or y.shape[2:].numel() == 1:
            assert y.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(y, module(x))


@every_spec
def test_backward_survives_an_in_place_change_behind_it(spec):
    x = numbers(1, 4, 9, 9).requires_grad_()
    F.relu(build(spec, 4, 2)(x), inplace=True).sum().backward()
    assert torch.isfinite(x.grad).all()


# ------------------------------------------------------------------------- every kind, border and number of axes

POLICIES = ("none", "torch", "explicit", "same-upper", "same-lower", "zeros", "reflect", "circular")
BATTERY = [
    (kind, policy, axes)
    for kind in KINDS
    for policy in (POLICIES if "padding" in KINDS[kind].takes else POLICIES[:1])
    for axes in (1, 2, 3)
]


@st.composite
def cases(draw, kind, policy, axes):
    """Return a spec of the kind under the padding policy, and a map it may stand on."""
    takes, record = KINDS[kind].takes, KINDS[kind]
    side = st.sampled_from(record.kernels or (1, 2, 3))
    kernel = tuple(draw(side) for _ in range(axes)) if "kernel" in takes else ()
    amounts = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel]
    padding = {
        "none": (),
        "torch": tuple((min(b, k // 2),) * 2 for (b, _), k in zip(amounts, kernel)),
        "explicit": tuple(amounts),
    }.get(policy, policy if policy.startswith("same") else tuple(amounts))
    options = {o.name: draw(st.sampled_from((o.low, o.default, 2 * o.low + o.step))) for o in record.options}
    sizes = tuple(draw(st.integers(3, (12, 8, 5)[axes - 1])) for _ in range(axes))
    try:
        spec = PoolSpec(
            kind,
            kernel,
            tuple(draw(st.integers(1, 3)) for _ in range(axes)) if "stride" in takes else (),
            padding,
            tuple(draw(st.integers(1, 2)) for _ in range(axes)) if "dilation" in takes else (),
            ceil=draw(st.booleans()) and "ceil" in takes,
            counted=draw(st.booleans()) or "uncounted" not in takes,
            border=policy if policy in ("zeros", "reflect", "circular") else "",
            options=tuple(options.items()),
        )
        pooled_size(spec, sizes)
        pooled_channels(spec, 4, axes)
    except PoolsearchError:
        assume(False)
    return spec, sizes


@pytest.mark.parametrize(
    ("kind", "policy", "axes"), BATTERY, ids=lambda value: f"{value}d" if value in (1, 2, 3) else value
)
@settings(max_examples=3, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_values_and_gradients_are_those_of_the_slow_obvious_pooling(kind, policy, axes, data):
    spec, sizes = data.draw(cases(kind, policy, axes))
    torch.manual_seed(0)
    module = build(spec, 4, axes).double().eval()
    if kind != "lip" or not spec.border:  # there the oracle knows LIP only as it starts
        with torch.no_grad():
            for weights in module.parameters():
                weights += 0.3 * torch.randn_like(weights)
    x = numbers(2, 4, *sizes, dtype=torch.float64).requires_grad_()
    ours, theirs = module(x), slow(x, spec, module)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    along = torch.randn(ours.shape, dtype=torch.float64)
    wanted = [x, *module.parameters()]
    for mine, other in zip(
        torch.autograd.grad((ours * along).sum(), wanted, allow_unused=True),
        torch.autograd.grad((theirs * along).sum(), wanted, allow_unused=True),
        strict=True,
    ):
        if other is not None:
            assert torch.allclose(mine, other, rtol=1e-6, atol=1e-7)


def test_the_oracle_can_say_no():
    spec = PoolSpec.parse("avg k3 s2 p1")
    x = numbers(1, 1, 6, 6, dtype=torch.float64)
    other = PoolSpec.parse("avg k3 s2 p1 uncounted")
    assert not torch.allclose(slow(x, spec, None), pool(x, other))


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


@pytest.mark.parametrize(("size", "stride"), [(8, 2), (9, 2), (10, 3)])
def test_resize_and_area_are_torchs_interpolate(size, stride):
    x, out = numbers(2, 3, size, size + 3), (-(-size // stride), -(-(size + 3) // stride))
    theirs = F.interpolate(x, out, mode="bilinear", antialias=True)
    assert torch.allclose(pool(x, PoolSpec.parse(f"resize s{stride}")), theirs, atol=1e-6)
    assert torch.allclose(pool(x, PoolSpec.parse(f"area s{stride}")), F.interpolate(x, out, mode="area"), atol=1e-6)


def test_spectral_is_a_cropped_fourier_transform_in_two_axes_at_once():
    x = numbers(1, 1, 10, 14, dtype=torch.float64)  # odd outputs: no frequency stands at the edge
    spectrum = torch.fft.fftshift(torch.fft.fft2(x, norm="forward"), dim=(2, 3))
    kept = torch.fft.ifftshift(spectrum[..., 3:8, 4:11], dim=(2, 3))
    assert torch.allclose(pool(x, PoolSpec.parse("spectral s2")), torch.fft.ifft2(kept, norm="forward").real)


def test_a_dilated_window_may_be_padded_by_half_of_what_it_spans():
    """ONNX allows it, and torch's check of shapes; torch's kernel on the CPU wants half of the kernel alone."""
    x = torch.randn(2, 3, 11, 12)
    wanted = F.max_pool2d(F.pad(x, (2,) * 4, value=-torch.inf), 3, 2, dilation=2)
    assert torch.equal(pool(x, PoolSpec.parse("max k3 s2 p2 d2")), wanted)


def test_every_windowed_kind_takes_a_stride():
    assert all("stride" in KINDS[kind].takes for kind in windowed())
    assert not any("stride" in KINDS[kind].takes for kind in heads())
