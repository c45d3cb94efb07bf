"""The Plan's text: round trip, one text for one Plan, and every refusal in words."""

import pytest
from hypothesis import given, settings, strategies as st

from poolsearch.errors import PlanError
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS


def test_a_plan_is_its_text():
    text = "resnet18/3x64x64: stem=max-blur k3 s2 p1; layer2=avg k3 s2 p1 uncounted"
    plan = Plan.parse(text)
    assert str(plan) == text
    assert plan.size == (3, 64, 64)
    assert plan.spec("stem") == PoolSpec.of("max-blur", 3, 2, 1)
    assert plan.spec("layer3") is None


def test_the_published_network_is_a_plan_without_changes():
    assert str(Plan.parse("resnet18/3x64x64")) == "resnet18/3x64x64"
    assert Plan.parse("a/1x8x8: s=avg k2 s2").published == Plan.parse("a/1x8x8")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("max k3x3 s2x2 p0", "max k3 s2"),  # equal axes collapse, padding 0 is no padding
        ("max k2", "max k2 s2"),  # torch's default stride is the kernel
        ("avg k2 s2 uncounted", "avg k2 s2"),  # nothing to count without padding
        ("max k1 s2 d3", "max k1 s2"),  # one pixel can't be dilated
        ("max k3 s1 ceil", "max k3 s1"),  # stride 1 has no remainder to round
        ("global-avg k7 s1 p3", "global-avg"),  # a head has no window
        ("lp k2 s2 norm=2", "lp k2 s2"),
        ("max k3 s2 p1:1", "max k3 s2 p1"),
        ("max k3 s2 p0:1x1:0 d2", "max k3 s2 p0:1x1:0 d2"),
        ("soft k2 s2 beta=0.25 before", "soft k2 s2 before beta=0.25"),
        ("avg k3 s2 same-lower", "avg k3 s2 same-lower"),
        ("subsample s2 p0", "subsample s2"),
        ("fractional-max k3 ratio=0.25", "fractional-max k3 ratio=0.25"),
        ("spectral s2 p0 d1", "spectral s2"),
        ("max k3 s2 p1 circular", "max k3 s2 p1 circular"),
        ("max k3 s2 circular", "max k3 s2"),  # no padding, no border
        ("max-blur k3 s2 circular", "max-blur k3 s2 circular"),  # its filter has one
        ("blur k3 s2 p1 reflect", "blur k3 s2 p1"),  # a blur mirrors anyway
        ("avg k3 s2 p1 zeros", "avg k3 s2 p1"),  # counted padding is zeros
        ("avg k3 s2 p1 uncounted zeros", "avg k3 s2 p1"),  # numbers are counted
        ("avg k3 s2 p1 uncounted divisor=4", "avg k3 s2 p1 divisor=4"),
        ("lp k3 s2 p1 zeros", "lp k3 s2 p1"),  # zeros add nothing to a sum
    ],
)
def test_what_cannot_change_the_result_is_not_in_the_text(written, kept):
    assert str(PoolSpec.parse(written)) == kept
    assert PoolSpec.parse(kept) == PoolSpec.parse(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "maxx k2 s2",
            "Unknown pooling 'maxx' in 'maxx k2 s2'. Did you mean 'max'? Nearest of 39: max, maxout, avg-max.",
        ),
        ("MaxPool2d k2", "Unknown pooling 'MaxPool2d' in 'MaxPool2d k2'. Did you mean 'max'?"),
        ("max k" + "9" * 5000, "A number of 5,000 digits is no size. The largest is 4096."),
        ("max k2 p" + "9" * 5000, "A number of 5,000 digits is no size. The largest is 4096."),
        ("max k5000 s2", "Kernel goes up to 4096, got 5000. Nearest: 4096."),
        ("max k2x2x2x2", "Kernel has a number for each of 3 axes at most, got 4."),
        ("max k3 p1x1x1x1", "Padding has a number for each of 3 axes at most, got 4."),
        ("lp k2 norm=" + "9" * 5000, "Option norm of 'lp' goes from 1 to 16, got inf."),
        ("[" * 5000, "Unknown pooling '[[[["),
        ("\x1b[31mmax", "Unknown pooling '?[31mmax' in '?[31mmax'."),
        ("max k0 s2", "Kernel must be a whole number from 1 up, got 0. Nearest: 1."),
        ("max k2 s0", "Stride must be a whole number from 1 up, got 0. Nearest: 1."),
        (
            "max k2 s2 p2",
            "Padding 2 is more than half of kernel 2, so PyTorch refuses it. "
            "Lower the padding to 1 or raise the kernel to 4.",
        ),
        (
            "max k3 s2 p3 d2",
            "Padding 3 is more than half of kernel 3 dilated by 2, so PyTorch refuses it. "
            "Lower the padding to 2 or raise the kernel to 4.",
        ),
        ("max k2 s2 p-1", "Padding must be 0 or more, got -1. Nearest: 0."),
        ("max k2 s2 p0:2", "Padding 0:2 holds a whole window of kernel 2. The largest padding at one end is 1."),
        (
            "avg k2 s2 d2",
            "Pooling 'avg' takes no dilation. It takes: kernel, stride, padding, ceil, uncounted, border.",
        ),
        ("blur k8 s2", "Pooling 'blur' has kernel 1 or 2 or 3 or 4 or 5 or 6 or 7, got 8. Nearest: 7."),
        ("max k2 k3", "'k3' gives kernel a second time in 'max k2 k3'. Give it once."),
        ("max q3", "Unknown word 'q3' in 'max q3'. Possible: kN, sN, pN, dN, ceil, uncounted,"),
        ("max k2 s2 cell", "Unknown word 'cell' in 'max k2 s2 cell'. Did you mean 'ceil'?"),
        ("lp k2 s2 nrm=2", "Unknown option 'nrm' in 'lp'. Did you mean 'norm'? Possible: norm."),
        ("soft k2 s2 beta=-1", "Option beta of 'soft' goes from 0 to 64"),
        ("max-blur k3 s2 taps=8", "got 8. Nearest: 7."),
        ("max k2 s2 p1 mirror", "Unknown word 'mirror' in 'max k2 s2 p1 mirror'."),
        ("subsample s2 reflect", "Pooling 'subsample' takes no border. It takes: stride."),
        ("max k2 s2 p0:2 reflect", "Padding 0:2 holds a whole window of kernel 2."),
        ("lp k2 s2 norm=0.5", "Option norm of 'lp' goes from 1 to 16"),
        ("adaptive-avg size=0", "Option size of 'adaptive-avg' goes from 1 to 64"),
        ("avg k2 s2 divisor=-1", "Option divisor of 'avg' goes from 0 to 4096"),
        ("gem p=0.5", "Option p of 'gem' goes from 1 to 16"),
        ("lse k2 s2 r=0", "Option r of 'lse' goes from 0.01 to 64"),
        ("mixed k2 s2 alpha=1.5", "Option alpha of 'mixed' goes from 0 to 1"),
        ("fractional-max k2 ratio=0.04", "Option ratio of 'fractional-max' goes from 0.05 to 1"),
        ("maxout group=1", "Option group of 'maxout' goes from 2 to 64"),
        ("pyramid levels=7", "Option levels of 'pyramid' goes from 1 to 6"),
        ("wavelet k3 s2", "Pooling 'wavelet' has kernel 2 or 4 or 6, got 3. Nearest: 2."),
        ("max", "Pooling 'max' needs a kernel. Write it as in 'max k2 s2'."),
        ("", "A pooling is missing. Write it as in 'avg k2 s2'."),
    ],
)
def test_a_refused_spec_says_what_is_possible(text, message):
    with pytest.raises(PlanError) as refused:
        PoolSpec.parse(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet18", "'resnet18' is no backbone with an input size. Write it as in 'resnet18/3x64x64'."),
        ("resnet18/64", "'resnet18/64' is no backbone with an input size."),
        ("resnet18/3x0x64", "Input size 3x0x64 is not possible. Write channels x height x width, each from 1 to 4096"),
        ("a/3x8x8: ", "Nothing stands behind the colon"),
        ("a/3x8x8: stem", "'stem' is no change of a site. Write it as in 'stem=avg k2 s2'."),
        ("a/3x8x8: s=max k2; s=avg k2", "Site 's' stands twice in the Plan. Give each site one pooling."),
    ],
)
def test_a_refused_plan_says_how_to_write_it(text, message):
    with pytest.raises(PlanError) as refused:
        Plan.parse(text)
    assert message in str(refused.value)


@pytest.mark.parametrize("text", ["blur k3 s2 p2", "conv k3 s2 p2", "wavelet k2 s2 p2", "max k3 s2 p2 reflect"])
def test_padding_that_holds_numbers_may_be_wider_than_half_the_kernel(text):
    assert str(PoolSpec.parse(text)) == text


def test_changing_a_site_keeps_the_others_and_their_order():
    plan = Plan.parse("a/1x8x8: one=max k2 s2; two=avg k2 s2")
    assert str(plan.put("one", PoolSpec.parse("lp k2 s2"))) == "a/1x8x8: one=lp k2 s2; two=avg k2 s2"
    assert str(plan.put("one", None)) == "a/1x8x8: two=avg k2 s2"
    assert str(plan.put("three", PoolSpec.parse("subsample s2"))).endswith("; three=subsample s2")


axes = st.one_of(st.tuples(st.integers(1, 7)), st.tuples(st.integers(1, 7), st.integers(1, 7)))


@st.composite
def specs(draw):
    kind = draw(st.sampled_from(list(KINDS)))
    options = {o.name: draw(st.integers(0, 4)) * o.step + o.low for o in KINDS[kind].options if draw(st.booleans())}
    options = {name: min(value, KINDS[kind].option(name).high) for name, value in options.items()}
    fields = {name: draw(axes) for name in ("kernel", "stride", "dilation") if name in KINDS[kind].takes}
    if KINDS[kind].kernels:
        fields["kernel"] = draw(st.sampled_from(KINDS[kind].kernels))
    if "padding" in KINDS[kind].takes:
        fields["padding"] = draw(st.one_of(st.just(0), st.sampled_from(["same-upper", "same-lower"])))
        fields["border"] = draw(st.sampled_from(["", "zeros", "reflect", "circular"]))
    return PoolSpec.of(
        kind,
        **fields,
        ceil=draw(st.booleans()) and "ceil" in KINDS[kind].takes,
        counted=draw(st.booleans()) or "uncounted" not in KINDS[kind].takes,
        placement=draw(st.sampled_from(["after", "before", "hybrid"])),
        options=options,
    )


@given(specs(), specs(), st.tuples(*[st.integers(1, 4096)] * 3))
def test_text_and_plan_are_inverse(first, second, size):
    plan = Plan("net", size, (("one", first), ("two", second)))
    assert Plan.parse(str(plan)) == plan
    assert Plan.parse(str(plan)).hash == plan.hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/3x" + "9" * 5000 + "x8", "is no backbone with an input size."),
        ("a" * 200_000, "A Plan has 50,000 letters at most, got 200,000."),
        ("a/3x8x8: " + ";".join(["s=max k2"] * 3000), "Site 's' stands twice in the Plan."),
        ("\x1b]0;title\x07", "'?]0;title?' is no backbone"),
    ],
)
def test_a_text_from_a_link_may_be_anything_and_the_answer_is_short_and_printable(text, message):
    with pytest.raises(PlanError) as refused:
        Plan.parse(text)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_a_backbone_alone_is_no_plan_with_changes():
    from poolsearch.networks.backbones import published

    with pytest.raises(PlanError, match=r"changes the network, and a backbone alone is asked for: write 'resnet18/3x6"):
        published("resnet18/3x64x64: stem=avg k2 s2")


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*KINDS, "k", "s2", "p1", "=", ";", ":", "/", "x", " ", "3", "-1", "9" * 4400, "[", "\0"]))
)
def test_no_text_gets_another_answer_than_a_plan_or_a_sentence(words):
    for text in ("".join(words), "a/3x8x8: s=" + " ".join(words)):
        try:
            plan = Plan.parse(text)
        except PlanError as error:
            assert len(str(error)) < 1000
        else:
            assert Plan.parse(str(plan)) == plan
