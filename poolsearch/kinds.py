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
    "lp": Kind(
        "Lp",
        "y = (Σ |x|^norm)^(1/norm)",
        "Sermanet, Chintala, LeCun 2012 (sum form, as torch and ONNX)",
        options=(Option("norm", 2.0, 1.0, 16.0, 0.5, "1 is the sum of |x|, large values approach the maximum"),),
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
    "blur": Kind(
        "Blur",
        "y = binomial filter, every stride-th value",
        "Zhang 2019, arXiv:1904.11486",
        takes=("kernel", "stride", "padding"),
        border="reflect",
        kernels=(3, 5),
        averages=True,
    ),
    "max-blur": Kind(
        "Max-blur",
        "y = blur(max at stride 1)",
        "Zhang 2019, arXiv:1904.11486",
        takes=("kernel", "stride", "padding"),
        options=(Option("taps", 3, 3, 5, 2, "length of the binomial filter behind the maximum: 3 or 5", whole=True),),
        averages=True,
    ),
    "conv": Kind(
        "Strided conv",
        "y = W * x, learned",
        "Springenberg et al. 2015, arXiv:1412.6806",
        takes=("kernel", "stride", "padding", "dilation"),
        learned=True,
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
