"""What each kind of pooling is called, takes and claims: data only, in display order, family by family.

The functions that compute stand in `poolsearch.pooling.POOLINGS` under the same names; a test holds the two together.
From these records the widgets, the search space, the Plan's text and the docs are drawn. No torch here.
"""

from __future__ import annotations

import re
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
    family: Literal["window", "learned", "anti-aliased", "head", "channels"] = "window"
    # window: sizes by kernel and stride; ratio: windows of uneven distance; bins: the output size is an option;
    # map: one number a channel; channels: the map keeps its size
    reduces: Literal["window", "ratio", "bins", "map", "channels"] = "window"
    channels: Literal["same", "double", "pyramid", "one", "groups"] = "same"  # how many come out
    takes: tuple[str, ...] = ("kernel", "stride", "padding", "ceil")
    # what stands in the padding unless the spec says it: a value that can't change the result, or real numbers
    border: Literal["neutral", "zeros", "reflect", "circular"] = "neutral"
    # what an output sees: its window; the window, then a filter of `taps`; stride or twice the stride pixels; the map
    sees: Literal["window", "blur", "stride", "triangle", "map"] = "window"
    kernels: tuple[int, ...] | None = None  # the only kernels there are, when not every kernel is possible
    options: tuple[Option, ...] = ()
    averages: bool = False  # min <= output <= max of the window, and a constant stays that constant
    integers: Literal["", "same", "float"] = ""  # sound for whole numbers: picks one of them, or lies between two
    learned: bool = False
    multiplies: Literal["", "weights", "filter"] = ""  # MACs an output: each of its weights once, or a fixed filter
    collapses: tuple[str, ...] = ()  # identities, "this = [factor x] that", each of them tested
    note: str = ""  # what it needs, what to beware of

    def option(self, name: str) -> Option | None:
        """Return the option of that name, or None."""
        return next((option for option in self.options if option.name == name), None)


_DILATED = ("kernel", "stride", "padding", "dilation", "ceil")
_FILTER = ("kernel", "stride", "padding")
_LEE = "Lee, Gallagher, Tu 2016, arXiv:1509.08985"
_ZHANG = "Zhang 2019, arXiv:1904.11486"
_TAPS = Option("taps", 3, 1, 7, 1, "length of the binomial filter behind it: 1 to 7, 1 is none", whole=True)
_P = Option("p", 3.0, 1.0, 16.0, 0.5, "exponent at the start of training: 1 is the average")

KINDS: dict[str, Kind] = {
    "max": Kind(
        "Max",
        "y = max x",
        "Yamaguchi et al. 1990; torch.nn.functional.max_pool2d",
        takes=_DILATED,
        averages=True,
        integers="same",
    ),
    "avg": Kind(
        "Average",
        "y = (1/n) Σ x",
        "LeCun et al. 1989; torch.nn.functional.avg_pool2d",
        takes=("kernel", "stride", "padding", "ceil", "uncounted"),
        options=(Option("divisor", 0, 0, 4096, 1, "divides every sum by this; 0: by what counts", whole=True),),
        averages=True,
        note="n counts the padding (PyTorch's default) or, uncounted, the pixels alone (ONNX, TensorFlow).",
    ),
    "min": Kind(
        "Min",
        "y = min x",
        "the dual of max: −max(−x)",
        takes=_DILATED,
        averages=True,
        note="Behind a ReLU it keeps the background, where max keeps the marks.",
        integers="same",
    ),
    "median": Kind(
        "Median",
        "y = middle value of x, the mean of the two middle ones of an even number",
        "Tukey 1977; order statistics over the real pixels, padding left out",
        averages=True,
        note="Removes salt and pepper that an average smears and a maximum keeps.",
        integers="float",
    ),
    "lp": Kind(
        "Lp",
        "y = (Σ |x|^norm)^(1/norm)",
        "Sermanet, Chintala, LeCun 2012 (sum form, as torch and ONNX)",
        border="zeros",
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
        collapses=("soft k3 s2 p1 beta=0 = avg k3 s2 p1 uncounted",),
        note="A value far below its window's output gets a negative gradient.",
    ),
    "gem-window": Kind(
        "GeM in windows",
        "y = (mean max(x, ε)^p)^(1/p), p learned",
        "Radenović, Tolias, Chum 2019, arXiv:1711.02512; Gulcehre et al. 2014, arXiv:1311.1780",
        options=(_P,),
        learned=True,
        collapses=("gem-window k3 s2 p1 p=1 = avg k3 s2 p1 uncounted",),
        note="For maps behind a ReLU: values below ε = 1e-6 count as ε and get no gradient.",
    ),
    "mixed": Kind(
        "Mixed",
        "y = alpha max x + (1 − alpha) mean x",
        _LEE,
        options=(Option("alpha", 0.5, 0.0, 1.0, 0.1, "share of the maximum: 0 is the average, 1 the maximum"),),
        averages=True,
        collapses=("mixed k3 s2 p1 alpha=0 = avg k3 s2 p1 uncounted", "mixed k3 s2 p1 alpha=1 = max k3 s2 p1"),
    ),
    "stochastic": Kind(
        "Stochastic",
        "train: one x drawn with probability x / Σ x; eval: y = Σ x² / Σ x, for x ≥ 0",
        "Zeiler, Fergus 2013, arXiv:1301.3557",
        border="zeros",
        note="Made for maps behind a ReLU: negative values count as 0. In training it draws from torch's generator.",
    ),
    "fractional-max": Kind(
        "Fractional max",
        "y = max x of windows that start at ⌊(i + u) α⌋ − ⌊u α⌋, α = (H − k) / (out − 1)",
        "Graham 2014, arXiv:1412.6071",
        reduces="ratio",
        takes=("kernel",),
        options=(Option("ratio", 0.7, 0.05, 1.0, 0.05, "output size = ⌊input size · ratio⌋"),),
        averages=True,
        collapses=("fractional-max k2 ratio=0.5 = max k2 s2",),
        note="u is drawn for each map in training and 1/2 in eval, so that eval gives the same numbers every time. "
        "ONNX has no such operator: a network that holds it can't be exported there.",
        integers="same",
    ),
    "mixed-learned": Kind(
        "Mixed, learned",
        "y = σ(t) max x + (1 − σ(t)) mean x, t learned",
        _LEE,
        "learned",
        averages=True,
        learned=True,
        collapses=("mixed-learned k2 s2 = mixed k2 s2",),
        note="One number a layer, 0 at the start; the sigmoid keeps the share between 0 and 1.",
    ),
    "gated": Kind(
        "Gated",
        "y = g max x + (1 − g) mean x, g = σ(w · x)",
        _LEE,
        "learned",
        averages=True,
        learned=True,
        multiplies="filter",
        collapses=("gated k2 s2 = mixed k2 s2",),
        note="Its authors' code was once marked patent-pending (UCSD SD2016-053); the status was not checked.",
    ),
    "lip": Kind(
        "LIP",
        "y = Σ softmax(12 σ(norm(W x))) x, W learned",
        "Gao, Wang, Wu 2019, arXiv:1908.04156 (a 1x1 convolution as the logit network)",
        "learned",
        averages=True,
        learned=True,
        multiplies="weights",
        collapses=("lip k3 s2 p1 = avg k3 s2 p1 uncounted",),
        note="Starts as the average; with the input itself for logits it would be soft.",
    ),
    "conv": Kind(
        "Strided conv",
        "y = W * x, learned",
        "Springenberg et al. 2015, arXiv:1412.6806",
        "learned",
        takes=("kernel", "stride", "padding", "dilation"),
        border="zeros",
        learned=True,
        multiplies="weights",
    ),
    "conv-depthwise": Kind(
        "Depthwise conv",
        "y = w * x for each channel alone, learned",
        "Howard et al. 2017, arXiv:1704.04861",
        "learned",
        takes=("kernel", "stride", "padding", "dilation"),
        border="zeros",
        learned=True,
        multiplies="weights",
    ),
    "conv-blur": Kind(
        "Conv, blurred",
        "y = blur(relu(W * x at stride 1)), learned",
        _ZHANG,
        "learned",
        takes=_FILTER,
        border="zeros",
        sees="blur",
        options=(_TAPS,),
        learned=True,
        multiplies="weights",
    ),
    "space-to-depth": Kind(
        "Space to depth",
        "y = W (all s x s pixels of a block as channels), learned",
        "Sunkara, Luo 2022, arXiv:2208.03641",
        "learned",
        takes=("stride",),
        border="zeros",
        sees="stride",
        learned=True,
        multiplies="weights",
        note="The same numbers as a strided convolution with kernel = stride; nothing is lost before W.",
    ),
    "avg-conv": Kind(
        "Average + 1x1",
        "y = W (mean x), learned",
        "the shortcut of ResNet-D: He T. et al. 2019, arXiv:1812.01187",
        "learned",
        learned=True,
        multiplies="weights",
        note="The average leaves padding out, as in the published shortcut.",
    ),
    "blur": Kind(
        "Blur",
        "y = binomial filter, every stride-th value",
        _ZHANG,
        "anti-aliased",
        takes=_FILTER,
        border="reflect",
        kernels=(1, 2, 3, 4, 5, 6, 7),
        averages=True,
        multiplies="filter",
        collapses=("blur k2 s2 = avg k2 s2",),
    ),
    "max-blur": Kind(
        "Max-blur",
        "y = blur(max at stride 1)",
        _ZHANG,
        "anti-aliased",
        takes=_FILTER,
        sees="blur",
        options=(_TAPS,),
        averages=True,
        multiplies="filter",
    ),
    "area": Kind(
        "Area",
        "y = mean x over the ⌈H / s⌉ bins that divide the map",
        "torch.nn.functional.interpolate(mode='area')",
        "anti-aliased",
        takes=("stride",),
        sees="stride",
        averages=True,
        collapses=("area s2 = avg k2 s2",),
        note="The identity holds where the stride divides the map; elsewhere the bins overlap.",
    ),
    "resize": Kind(
        "Resize, anti-aliased",
        "y = triangle filter of half-width s, every s-th value",
        "torch.nn.functional.interpolate(mode='bilinear', antialias=True); Pillow",
        "anti-aliased",
        takes=("stride",),
        sees="triangle",
        averages=True,
        multiplies="filter",
    ),
    "spectral": Kind(
        "Spectral",
        "y = the map with only the frequencies that the output can hold",
        "Rippel, Snoek, Adams 2015, arXiv:1506.03767",
        "anti-aliased",
        takes=("stride",),
        sees="map",
        multiplies="filter",
        note="Scaled so that the mean stays; the border wraps around, and edges ring beyond the range of the input.",
    ),
    "wavelet": Kind(
        "Wavelet low-pass",
        "y = Daubechies low-pass filter of kernel taps, every stride-th value",
        "Daubechies 1988; Li et al. 2020 (WaveCNet), arXiv:2005.03337",
        "anti-aliased",
        takes=_FILTER,
        border="circular",
        kernels=(2, 4, 6),
        multiplies="filter",
        collapses=("wavelet k2 s2 = 2 x avg k2 s2",),
        note="Orthonormal, so a constant grows by √2 an axis; kernel 2 is Haar.",
    ),
    "aps": Kind(
        "Adaptive polyphase",
        "y = the one of the s x s subsampled maps with the largest energy",
        "Chaman, Dokmanić 2021, arXiv:2011.14214",
        "anti-aliased",
        takes=("stride",),
        sees="stride",
        note="Moves with the input where the stride divides a map that wraps around; one choice for all channels.",
        integers="same",
    ),
    "subsample": Kind(
        "Subsample",
        "y = first value of the window",
        "the counter-example: stride without a filter",
        "anti-aliased",
        takes=("stride",),
        averages=True,
        integers="same",
    ),
    "global-avg": Kind(
        "Global average",
        "y = mean of the whole map",
        "Lin, Chen, Yan 2014 (Network in Network), arXiv:1312.4400",
        "head",
        "map",
        takes=(),
        averages=True,
    ),
    "global-max": Kind(
        "Global max",
        "y = max of the whole map",
        "Oquab et al. 2015",
        "head",
        "map",
        takes=(),
        averages=True,
        integers="same",
    ),
    "avg-max": Kind(
        "Average + max",
        "y = (mean + max of the whole map) / 2",
        "Wightman 2019 (timm, avgmax)",
        "head",
        "map",
        takes=(),
        averages=True,
    ),
    "gem": Kind(
        "GeM",
        "y = (mean max(x, ε)^p)^(1/p) of the whole map, p learned",
        "Radenović, Tolias, Chum 2019, arXiv:1711.02512",
        "head",
        "map",
        takes=(),
        options=(_P,),
        learned=True,
        collapses=("gem p=1 = global-avg",),
    ),
    "avg-max-cat": Kind(
        "Average and max",
        "y = mean of the whole map, then its max: twice the channels",
        "Wightman 2019 (timm, catavgmax)",
        "head",
        "map",
        "double",
        takes=(),
        averages=True,
    ),
    "statistics": Kind(
        "Statistics",
        "y = mean of the whole map, then its deviation: twice the channels",
        "Snyder et al. 2018 (x-vectors)",
        "head",
        "map",
        "double",
        takes=(),
    ),
    "adaptive-avg": Kind(
        "Adaptive average",
        "y = mean x of bin i, from ⌊i H / size⌋ to ⌈(i + 1) H / size⌉",
        "torch.nn.functional.adaptive_avg_pool2d",
        "head",
        "bins",
        takes=(),
        options=(Option("size", 2, 1, 64, 1, "output height and width in pixels", whole=True),),
        averages=True,
        collapses=("adaptive-avg size=1 = global-avg", "adaptive-avg size=4 = avg k2 s2"),
    ),
    "adaptive-max": Kind(
        "Adaptive max",
        "y = max x of bin i, from ⌊i H / size⌋ to ⌈(i + 1) H / size⌉",
        "torch.nn.functional.adaptive_max_pool2d",
        "head",
        "bins",
        takes=(),
        options=(Option("size", 2, 1, 64, 1, "output height and width in pixels", whole=True),),
        averages=True,
        collapses=("adaptive-max size=1 = global-max",),
        integers="same",
    ),
    "pyramid": Kind(
        "Spatial pyramid",
        "y = max x of 1, 2 x 2, ... levels x levels adaptive bins, one behind the other",
        "He K. et al. 2014, arXiv:1406.4729 (adaptive bins: the paper's windows miscount for some sizes)",
        "head",
        "map",
        "pyramid",
        takes=(),
        options=(Option("levels", 3, 1, 6, 1, "the finest level has this many bins an axis", whole=True),),
        averages=True,
        collapses=("pyramid levels=1 = global-max",),
        integers="same",
    ),
    "channel-avg": Kind(
        "Channel average",
        "y = mean x over all channels at a pixel",
        "Woo et al. 2018 (CBAM), arXiv:1807.06521",
        "channels",
        "channels",
        "one",
        takes=(),
        averages=True,
    ),
    "channel-max": Kind(
        "Channel max",
        "y = max x over all channels at a pixel",
        "Woo et al. 2018 (CBAM), arXiv:1807.06521",
        "channels",
        "channels",
        "one",
        takes=(),
        averages=True,
        integers="same",
    ),
    "maxout": Kind(
        "Maxout",
        "y = max x over each group of channels at a pixel",
        "Goodfellow et al. 2013, arXiv:1302.4389",
        "channels",
        "channels",
        "groups",
        takes=(),
        options=(Option("group", 2, 2, 64, 1, "channels a group; it must divide their number", whole=True),),
        averages=True,
        integers="same",
    ),
}

WINDOWED = tuple(name for name, kind in KINDS.items() if kind.reduces == "window")
ADAPTIVE = tuple(name for name, kind in KINDS.items() if kind.reduces == "bins")
HEADS = tuple(name for name, kind in KINDS.items() if kind.reduces == "map" and kind.channels == "same")

_ELSEWHERE = {  # what a kind is called in torch, TensorFlow and papers, where not even its letters are the same
    "average": "avg", "mean": "avg", "maximum": "max", "minimum": "min", "power": "lp", "logsumexp": "lse",
    "softmax": "soft", "generalizedmean": "gem", "gap": "global-avg", "globalaverage": "global-avg",
    "gmp": "global-max", "adaptiveaverage": "adaptive-avg", "convolution": "conv", "strided": "conv",
    "stridedconv": "conv",
    "depthwise": "conv-depthwise", "depthwiseconv": "conv-depthwise", "pixelunshuffle": "space-to-depth",
    "antialiased": "max-blur", "blurmax": "max-blur", "haar": "wavelet", "dwt": "wavelet", "fourier": "spectral",
    "interpolate": "resize", "bilinear": "resize", "bicubic": "resize", "upsample": "resize", "identity": "subsample",
    "decimate": "subsample", "none": "subsample", "spatialpyramid": "pyramid", "spp": "pyramid", "polyphase": "aps",
}  # fmt: skip


def same_as(word: str) -> str:
    """Return the kind that is meant by a word of torch, TensorFlow or a paper (`nn.MaxPool2d`), "" where none is."""
    letters = re.sub(r"[^a-z0-9]", "", word[:100].lower().rsplit(".", 1)[-1])
    bare = re.sub(r"(pooling|pool)?([123]d)?(layer)?$", "", letters)
    ours = {name.replace("-", ""): name for name in KINDS}
    return ours.get(bare) or _ELSEWHERE.get(bare, "")


# Heads that leave several numbers a channel, so that what stands behind them must take more
WIDE = tuple(name for name, kind in KINDS.items() if kind.reduces == "map" and kind.channels in ("double", "pyramid"))
