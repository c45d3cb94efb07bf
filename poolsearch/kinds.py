"""What each kind of pooling is called, takes and claims: data only, in display order.

The functions that compute stand in `poolsearch.pooling.POOLINGS` under the same names; a test holds the two together.
From these records the widgets, the search space, the Plan's text and the docs are drawn. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Option:
    """A number that one kind understands beside the window, written `name=value` in a Plan."""

    name: str
    default: float
    low: float
    high: float
    step: float
    help: str
    whole: bool = False  # only whole numbers


@dataclass(frozen=True)
class Kind:
    """One kind of pooling: its words, what it takes, what it promises."""

    label: str
    formula: str
    source: str
    reduces: Literal["window", "map"] = "window"  # "map": a head, one number a channel
    takes: tuple[str, ...] = ("kernel", "stride", "padding", "ceil")
    border: Literal["fill", "reflect"] = "fill"  # what stands in the padding: a neutral value, or the mirrored map
    kernels: tuple[int, ...] | None = None  # the only kernels there are, when not every kernel is possible
    options: tuple[Option, ...] = ()
    averages: bool = False  # min <= output <= max of the window, and a constant stays that constant
    learned: bool = False
    multiplies: Literal["", "weights", "filter"] = ""  # MACs an output: each of its weights once, or a fixed filter
    note: str = ""  # which other kind it collapses to, what it needs, what to beware of

    def option(self, name: str) -> Option | None:
        """Return the option of that name, or None."""
        return next((option for option in self.options if option.name == name), None)


KINDS: dict[str, Kind] = {
    "max": Kind(
        "Max",
        "y = max x",
        "Yamaguchi et al. 1990; torch.nn.functional.max_pool2d",
        takes=("kernel", "stride", "padding", "dilation", "ceil"),
        averages=True,
    ),
    "avg": Kind(
        "Average",
        "y = (1/n) Σ x",
        "LeCun et al. 1989; torch.nn.functional.avg_pool2d",
        takes=("kernel", "stride", "padding", "ceil", "uncounted"),
        averages=True,
    ),
    "min": Kind(
        "Min",
        "y = min x",
        "the dual of max: −max(−x)",
        takes=("kernel", "stride", "padding", "dilation", "ceil"),
        averages=True,
        note="Behind a ReLU it keeps the background, where max keeps the marks.",
    ),
    "median": Kind(
        "Median",
        "y = middle value of x, the mean of the two middle ones of an even number",
        "Tukey 1977; order statistics over the real pixels, padding left out",
        averages=True,
        note="Removes salt and pepper that an average smears and a maximum keeps.",
    ),
    "lp": Kind(
        "Lp",
        "y = (Σ |x|^norm)^(1/norm)",
        "Sermanet, Chintala, LeCun 2012 (sum form, as torch and ONNX)",
        options=(Option("norm", 2.0, 1.0, 16.0, 0.5, "1 is the sum of |x|, large values approach the maximum"),),
    ),
    "lse": Kind(
        "Log-sum-exp",
        "y = (1/r) log mean exp(r x)",
        "Pinheiro, Collobert 2015, arXiv:1411.6228",
        options=(Option("r", 4.0, 0.01, 64.0, 0.5, "sharpness: small values are the average, large ones the maximum"),),
        averages=True,
        note="Every pixel gets a positive gradient, softmax(r x): monotone, unlike soft.",
    ),
    "soft": Kind(
        "Soft",
        "y = Σ softmax(beta·x) x",
        "Stergiou, Poppe, Kalliatakis 2021 (SoftPool at beta 1)",
        options=(
            Option("beta", 1.0, 0.0, 64.0, 0.5, "inverse temperature: 0 is the average, large values the maximum"),
        ),
        averages=True,
    ),
    "mixed": Kind(
        "Mixed",
        "y = alpha max x + (1 − alpha) mean x",
        "Lee, Gallagher, Tu 2016, arXiv:1509.08985",
        options=(Option("alpha", 0.5, 0.0, 1.0, 0.1, "share of the maximum: 0 is the average, 1 the maximum"),),
        averages=True,
    ),
    "mixed-learned": Kind(
        "Mixed, learned",
        "y = σ(t) max x + (1 − σ(t)) mean x, t learned",
        "Lee, Gallagher, Tu 2016, arXiv:1509.08985",
        averages=True,
        learned=True,
        note="One number a layer; the sigmoid keeps the share between 0 and 1, where other code leaves it free.",
    ),
    "gated": Kind(
        "Gated",
        "y = g max x + (1 − g) mean x, g = σ(w · x)",
        "Lee, Gallagher, Tu 2016, arXiv:1509.08985",
        averages=True,
        learned=True,
        multiplies="filter",
        note="Its authors' code was once marked patent-pending (UCSD SD2016-053); the status was not checked.",
    ),
    "stochastic": Kind(
        "Stochastic",
        "train: one x drawn with probability x / Σ x; eval: y = Σ x² / Σ x, for x ≥ 0",
        "Zeiler, Fergus 2013, arXiv:1301.3557",
        note="Made for maps behind a ReLU: negative values count as 0. In training it draws from torch's generator.",
    ),
    "blur": Kind(
        "Blur",
        "y = binomial filter, every stride-th value",
        "Zhang 2019, arXiv:1904.11486",
        takes=("kernel", "stride", "padding"),
        border="reflect",
        kernels=(2, 3, 4, 5),
        averages=True,
        multiplies="filter",
        note="Kernel 2 is the average of 2x2; behind max or a convolution at stride 1 it is their anti-aliased form.",
    ),
    "max-blur": Kind(
        "Max-blur",
        "y = blur(max at stride 1)",
        "Zhang 2019, arXiv:1904.11486",
        takes=("kernel", "stride", "padding"),
        options=(Option("taps", 3, 3, 5, 2, "length of the binomial filter behind the maximum: 3 or 5", whole=True),),
        averages=True,
        multiplies="filter",
    ),
    "conv": Kind(
        "Strided conv",
        "y = W * x, learned",
        "Springenberg et al. 2015, arXiv:1412.6806",
        takes=("kernel", "stride", "padding", "dilation"),
        learned=True,
        multiplies="weights",
        note="Space-to-depth followed by a 1x1 convolution is this with kernel = stride.",
    ),
    "conv-depthwise": Kind(
        "Depthwise conv",
        "y = w * x for each channel alone, learned",
        "Howard et al. 2017, arXiv:1704.04861",
        takes=("kernel", "stride", "padding", "dilation"),
        learned=True,
        multiplies="weights",
    ),
    "avg-conv": Kind(
        "Average + 1x1",
        "y = W (mean x), learned",
        "the shortcut of ResNet-D: He T. et al. 2019, arXiv:1812.01187",
        takes=("kernel", "stride", "padding", "ceil"),
        learned=True,
        multiplies="weights",
        note="The average leaves padding out, as in the published shortcut.",
    ),
    "subsample": Kind(
        "Subsample",
        "y = first value of the window",
        "the counter-example: stride without a filter",
        takes=("stride",),
        averages=True,
    ),
    "global-avg": Kind(
        "Global average",
        "y = mean of the whole map",
        "Lin, Chen, Yan 2014 (Network in Network)",
        reduces="map",
        takes=(),
        averages=True,
    ),
    "global-max": Kind(
        "Global max", "y = max of the whole map", "Oquab et al. 2015", reduces="map", takes=(), averages=True
    ),
    "avg-max": Kind(
        "Average + max",
        "y = (mean + max of the whole map) / 2",
        "Wightman 2019 (timm, avgmax)",
        reduces="map",
        takes=(),
        averages=True,
    ),
    "gem": Kind(
        "GeM",
        "y = (mean max(x, ε)^p)^(1/p), p learned",
        "Radenović, Tolias, Chum 2019, arXiv:1711.02512",
        reduces="map",
        takes=(),
        options=(Option("p", 3.0, 1.0, 16.0, 0.5, "exponent at the start of training: 1 is the average"),),
        learned=True,
    ),
}

WINDOWED = tuple(name for name, kind in KINDS.items() if kind.reduces == "window")
HEADS = tuple(name for name, kind in KINDS.items() if kind.reduces == "map")
