"""All that is known of each kind of pooling: data only, in display order, family by family.

The functions that compute stand in `poolsearch.pooling.POOLINGS` under the same names; `poolsearch.pooling.register`
adds to both. From these records the widgets, the search space, the Plan's text, the operation counts, the advice, the
explanations and the docs are drawn: other code asks a record for a property and names no kind, and a test holds it to
that. What each kind was measured to cost is in `costs.json`, by name. No torch here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
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
class Operations:
    """What one window takes beside its MACs: operations for each number that it holds, and for the window itself.

    A comparison counts as one. As one addition counts each addition, division, multiplication, power, root,
    exponential, logarithm or sigmoid.
    """

    comparisons: int = 0  # for each number
    window_comparisons: int = 0
    additions: int = 0
    window_additions: int = 0
    sorts: bool = False  # and n log2 n comparisons; of an even number the mean of the two middle ones


Form = Literal["pick", "mean", "weighted", "root", "copy", "logexp", "deviation"]


@dataclass(frozen=True)
class Explainer:
    """How "Pooling by hand" writes an output number as arithmetic over pixels.

    For a kind that is linear, or linear in pieces, output = Σ weight · pixel, with its own gradient for weights.
    """

    form: Form
    # the pixels and their weights: all under the window; those with a gradient, and that; or all under the window, with
    # the softmax of the exponent times each, or each one's share of the sum of those above 0
    terms: Literal["window", "gradient", "softmax", "share"] = "window"
    picks: Literal["max", "min", "median"] = "max"  # of a pick
    exponent: str = ""  # the option in a root, an exponential or a softmax
    divides: bool = True  # by how many numbers there are; False: a root of the bare sum


@dataclass(frozen=True)
class Kind:
    """One kind of pooling: its words, what it takes, what it promises, and what it is elsewhere."""

    label: str
    formula: str
    source: str
    family: Literal["window", "learned", "anti-aliased", "head", "channels"] = "window"
    # window: sizes by kernel and stride; ratio: windows of uneven distance; bins: the output size is an option;
    # map: one number a channel; channels: the map keeps its size
    reduces: Literal["window", "ratio", "bins", "map", "channels"] = "window"
    channels: Literal["same", "double", "levels", "one", "groups"] = "same"  # how many come out
    takes: tuple[str, ...] = ("kernel", "stride", "padding", "ceil")
    # what stands in the padding unless the spec says it: a value that can't change the result, or real numbers
    border: Literal["neutral", "zeros", "reflect", "circular"] = "neutral"
    # what an output sees: its window; the window, then a filter of `taps`; stride or twice the stride pixels; the map
    sees: Literal["window", "filtered", "stride", "triangle", "map"] = "window"
    in_bins: bool = False  # its windows are the adaptive bins that divide the map, and may overlap
    fills_block: bool = False  # adds pixels at the end until the stride divides the map
    kernels: tuple[int, ...] | None = None  # the only kernels there are, when not every kernel is possible
    options: tuple[Option, ...] = ()
    averages: bool = False  # min <= output <= max of the window, and a constant stays that constant
    integers: Literal["", "same", "float"] = ""  # sound for whole numbers: picks one of them, or lies between two
    learned: bool = False
    multiplies: Literal["", "weights", "filter"] = ""  # MACs an output: each of its weights once, or a fixed filter
    # where the MACs are not those of each output: a 1x1 convolution of the map that enters, or one matrix an axis
    multiplies_at: Literal["output", "input", "axes"] = "output"
    operations: Operations = field(kw_only=True)  # beside the MACs; a kind without any says so
    mixes_channels: bool = False  # an output depends on other channels than its own
    positive: bool = False  # made for maps behind a ReLU: values below 0 get no gradient
    # what it does at a site that is a convolution: dense is that convolution with another stride, its weights kept;
    # depthwise and inside also count as convolutions in advice
    convolution: Literal["", "dense", "depthwise", "inside"] = ""
    # False: it picks one value, or learns weights that need not be a low-pass, so that its stride folds what is finer
    # than the new grid over what is coarser (Zhang 2019, arXiv:1904.11486)
    filters_first: bool = True
    # of a kind that takes a stride alone, its output before the stride drops values: the map as it is, or one linear
    # filter an axis, as wide as the stride asks
    dense: Literal["", "input", "axes"] = ""
    explainers: tuple[Explainer, ...] = (Explainer("weighted", "gradient"),)  # one for each number a channel
    zeros_add_nothing: bool = False  # zeros in its padding are no terms of its sums
    outputs: str = ""  # what the numbers are, where a channel gives several
    shift_note: str = ""  # what the change under a shift would hide
    module: str = ""  # the class of torch.nn that computes exactly this
    functions: tuple[str, ...] = ()  # of torch, as a recorded network calls them
    classes: tuple[str, ...] = ()  # words in the names of classes that hold its filter, in timm and elsewhere
    onnx: tuple[str, ...] = ()  # operators; first the one that is this pooling
    also: tuple[str, ...] = ()  # words of torch, Keras, timm and papers where not even the letters are the same
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
_NONE = Operations()  # beside MACs
_MAXIMUM = Operations(1, -1)
_MEAN = Operations(additions=1)
_POWERS = Operations(1, 0, 2, 1)  # n against ε, n powers, n - 1 additions, / n, a root
_BOTH = Operations(1, -1, 1, 3)  # both, each times its share, their sum
_ADAPTIVE_AVG = tuple(f"adaptive_avg_pool{axes}d" for axes in (1, 2, 3))
_ADAPTIVE_MAX = tuple(f"adaptive_max_pool{axes}d{also}" for axes in (1, 2, 3) for also in ("", "_with_indices"))
_PICKED = (Explainer("pick"),)
_AVERAGED = (Explainer("mean"),)
_ROOT = (Explainer("root", exponent="p"),)
_P = Option("p", 3.0, 1.0, 16.0, 0.5, "exponent at the start of training: 1 is the average")

KINDS: dict[str, Kind] = {
    "max": Kind(
        "Max",
        "y = max x",
        "Yamaguchi et al. 1990; torch.nn.functional.max_pool2d",
        takes=_DILATED,
        averages=True,
        integers="same",
        operations=_MAXIMUM,
        filters_first=False,
        explainers=_PICKED,
        module="MaxPool2d",
        functions=("max_pool2d", "max_pool2d_with_indices", "boolean_dispatch"),
        onnx=("MaxPool",),
        also=("maximum",),
    ),
    "avg": Kind(
        "Average",
        "y = (1/n) Σ x",
        "LeCun et al. 1989; torch.nn.functional.avg_pool2d",
        takes=("kernel", "stride", "padding", "ceil", "uncounted"),
        options=(Option("divisor", 0, 0, 4096, 1, "divides every sum by this; 0: by what counts", whole=True),),
        averages=True,
        note="n counts the padding (PyTorch's default) or, uncounted, the pixels alone (ONNX, TensorFlow).",
        operations=_MEAN,
        explainers=_AVERAGED,
        module="AvgPool2d",
        functions=("avg_pool2d",),
        onnx=("AveragePool",),
        also=("average", "mean"),
    ),
    "min": Kind(
        "Min",
        "y = min x",
        "the dual of max: −max(−x)",
        takes=_DILATED,
        averages=True,
        note="Behind a ReLU it keeps the background, where max keeps the marks.",
        integers="same",
        operations=_MAXIMUM,
        filters_first=False,
        explainers=(Explainer("pick", picks="min"),),
        also=("minimum",),
    ),
    "median": Kind(
        "Median",
        "y = middle value of x, the mean of the two middle ones of an even number",
        "Tukey 1977; order statistics over the real pixels, padding left out",
        averages=True,
        note="Removes salt and pepper that an average smears and a maximum keeps.",
        integers="float",
        operations=Operations(sorts=True),
        filters_first=False,
        explainers=(Explainer("pick", picks="median"),),
    ),
    "lp": Kind(
        "Lp",
        "y = (Σ |x|^norm)^(1/norm)",
        "Sermanet, Chintala, LeCun 2012 (sum form, as torch and ONNX)",
        border="zeros",
        options=(Option("norm", 2.0, 1.0, 16.0, 0.5, "1 is the sum of |x|, large values approach the maximum"),),
        operations=Operations(additions=2),  # n powers, n - 1 additions, a root
        explainers=(Explainer("root", exponent="norm", divides=False),),
        zeros_add_nothing=True,
        onnx=("LpPool",),
        also=("power",),
    ),
    "lse": Kind(
        "Log-sum-exp",
        "y = (1/r) log mean exp(r x)",
        "Pinheiro, Collobert 2015, arXiv:1411.6228",
        options=(Option("r", 4.0, 0.01, 64.0, 0.5, "sharpness: small values are the average, large ones the maximum"),),
        averages=True,
        note="Every pixel gets a positive gradient, softmax(r x): monotone, unlike soft.",
        # n times r, n exponentials, n - 1 additions, then / n, log, / r
        operations=Operations(additions=3, window_additions=2),
        explainers=(Explainer("logexp", exponent="r"),),
        also=("logsumexp",),
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
        # n times beta, n exponentials, n times x, two sums, a division
        operations=Operations(additions=5, window_additions=-1),
        explainers=(Explainer("weighted", "softmax", exponent="beta"),),
        also=("softmax",),
    ),
    "gem-window": Kind(
        "GeM in windows",
        "y = (mean max(x, ε)^p)^(1/p), p learned",
        "Radenović, Tolias, Chum 2019, arXiv:1711.02512; Gulcehre et al. 2014, arXiv:1311.1780",
        options=(_P,),
        learned=True,
        collapses=("gem-window k3 s2 p1 p=1 = avg k3 s2 p1 uncounted",),
        note="For maps behind a ReLU: values below ε = 1e-6 count as ε and get no gradient.",
        operations=_POWERS,
        positive=True,
        explainers=_ROOT,
    ),
    "mixed": Kind(
        "Mixed",
        "y = alpha max x + (1 − alpha) mean x",
        _LEE,
        options=(Option("alpha", 0.5, 0.0, 1.0, 0.1, "share of the maximum: 0 is the average, 1 the maximum"),),
        averages=True,
        collapses=("mixed k3 s2 p1 alpha=0 = avg k3 s2 p1 uncounted", "mixed k3 s2 p1 alpha=1 = max k3 s2 p1"),
        operations=_BOTH,
    ),
    "stochastic": Kind(
        "Stochastic",
        "train: one x drawn with probability x / Σ x; eval: y = Σ x² / Σ x, for x ≥ 0",
        "Zeiler, Fergus 2013, arXiv:1301.3557",
        border="zeros",
        note="Made for maps behind a ReLU: negative values count as 0. In training it draws from torch's generator.",
        operations=Operations(1, 0, 3, -1),  # n against 0, n squares, two sums, a division
        positive=True,
        filters_first=False,
        explainers=(Explainer("weighted", "share"),),
        zeros_add_nothing=True,
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
        operations=_MAXIMUM,
        filters_first=False,
        explainers=_PICKED,
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
        operations=_BOTH,
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
        operations=Operations(1, -1, 1, 5),  # and a sigmoid and 1 - g an output; w · x is in the MACs
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
        multiplies_at="input",
        # n exponentials, n times x, two sums, a division; its logits count as their MACs only
        operations=Operations(additions=4, window_additions=-1),
        mixes_channels=True,
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
        operations=_NONE,
        mixes_channels=True,
        convolution="dense",
        filters_first=False,
        functions=("conv2d",),
        onnx=("Conv",),
        also=("convolution", "strided", "stridedconv"),
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
        operations=_NONE,
        convolution="depthwise",
        filters_first=False,
        also=("depthwise", "depthwiseconv"),
    ),
    "conv-blur": Kind(
        "Conv, blurred",
        "y = blur(relu(W * x at stride 1)), learned",
        _ZHANG,
        "learned",
        takes=_FILTER,
        border="zeros",
        sees="filtered",
        options=(_TAPS,),
        learned=True,
        multiplies="weights",
        operations=Operations(1),  # the ReLU between its convolution and its filter
        mixes_channels=True,
        convolution="inside",
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
        fills_block=True,
        operations=_NONE,
        mixes_channels=True,
        also=("pixelunshuffle",),
    ),
    "avg-conv": Kind(
        "Average + 1x1",
        "y = W (mean x), learned",
        "the shortcut of ResNet-D: He T. et al. 2019, arXiv:1812.01187",
        "learned",
        learned=True,
        multiplies="weights",
        note="The average leaves padding out, as in the published shortcut.",
        operations=_MEAN,
        mixes_channels=True,
        convolution="inside",
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
        operations=_NONE,
        classes=("Blur",),
    ),
    "max-blur": Kind(
        "Max-blur",
        "y = blur(max at stride 1)",
        _ZHANG,
        "anti-aliased",
        takes=_FILTER,
        sees="filtered",
        options=(_TAPS,),
        averages=True,
        multiplies="filter",
        operations=_MAXIMUM,
        also=("antialiased", "blurmax"),
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
        in_bins=True,
        operations=_MEAN,
        dense="axes",
        explainers=_AVERAGED,
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
        multiplies_at="axes",
        operations=_NONE,
        dense="axes",
        also=("interpolate", "bilinear", "bicubic", "upsample"),
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
        multiplies_at="axes",
        operations=_NONE,
        dense="axes",
        shift_note="It folds nothing: its sharp waves, read linearly between columns, count as change",
        also=("fourier",),
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
        operations=_NONE,
        also=("haar", "dwt"),
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
        fills_block=True,
        operations=Operations(additions=2),  # the energies: n squares, n additions
        mixes_channels=True,
        filters_first=False,
        dense="input",
        explainers=(Explainer("copy", "gradient"),),
        shift_note="It jumps by whole pixels, which counts as change",
        also=("polyphase",),
    ),
    "subsample": Kind(
        "Subsample",
        "y = first value of the window",
        "the counter-example: stride without a filter",
        "anti-aliased",
        takes=("stride",),
        averages=True,
        integers="same",
        operations=_NONE,
        filters_first=False,
        dense="input",
        explainers=(Explainer("copy"),),
        onnx=("Slice",),
        also=("identity", "decimate", "none"),
    ),
    "global-avg": Kind(
        "Global average",
        "y = mean of the whole map",
        "Lin, Chen, Yan 2014 (Network in Network), arXiv:1312.4400",
        "head",
        "map",
        takes=(),
        averages=True,
        operations=_MEAN,
        explainers=_AVERAGED,
        module="AdaptiveAvgPool2d",
        functions=("mean", *_ADAPTIVE_AVG),
        onnx=("GlobalAveragePool", "ReduceMean"),
        also=("gap", "globalaverage"),
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
        operations=_MAXIMUM,
        explainers=_PICKED,
        module="AdaptiveMaxPool2d",
        functions=("amax", *_ADAPTIVE_MAX),
        onnx=("GlobalMaxPool", "ReduceMax"),
        also=("gmp",),
    ),
    "avg-max": Kind(
        "Average + max",
        "y = (mean + max of the whole map) / 2",
        "Wightman 2019 (timm, avgmax)",
        "head",
        "map",
        takes=(),
        averages=True,
        operations=Operations(1, -1, 1, 2),
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
        operations=_POWERS,
        positive=True,
        explainers=_ROOT,
        also=("generalizedmean",),
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
        operations=Operations(1, -1, 1),
        explainers=(*_AVERAGED, *_PICKED),
        outputs="average, maximum",
    ),
    "statistics": Kind(
        "Statistics",
        "y = mean of the whole map, then its deviation: twice the channels",
        "Snyder et al. 2018 (x-vectors)",
        "head",
        "map",
        "double",
        takes=(),
        # the mean; n differences, n squares, n - 1 additions, / n, a root
        operations=Operations(additions=4, window_additions=1),
        explainers=(*_AVERAGED, Explainer("deviation")),
        outputs="mean, deviation",
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
        in_bins=True,
        operations=_MEAN,
        explainers=_AVERAGED,
        functions=_ADAPTIVE_AVG,
        also=("adaptiveaverage",),
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
        in_bins=True,
        operations=_MAXIMUM,
        explainers=_PICKED,
        functions=_ADAPTIVE_MAX,
    ),
    "pyramid": Kind(
        "Spatial pyramid",
        "y = max x of 1, 2 x 2, ... levels x levels adaptive bins, one behind the other",
        "He K. et al. 2014, arXiv:1406.4729 (adaptive bins: the paper's windows miscount for some sizes)",
        "head",
        "map",
        "levels",
        takes=(),
        options=(Option("levels", 3, 1, 6, 1, "the finest level has this many bins an axis", whole=True),),
        averages=True,
        collapses=("pyramid levels=1 = global-max",),
        integers="same",
        operations=_MAXIMUM,
        explainers=_PICKED,
        also=("spatialpyramid", "spp"),
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
        operations=_MEAN,
        explainers=_AVERAGED,
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
        operations=_MAXIMUM,
        explainers=_PICKED,
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
        operations=_MAXIMUM,
        explainers=_PICKED,
    ),
}


def windowed() -> tuple[str, ...]:
    """Return the kinds that keep a map, in display order: its size follows from kernel and stride."""
    return tuple([name for name, kind in KINDS.items() if kind.reduces == "window"])


def adaptive() -> tuple[str, ...]:
    """Return the kinds whose output size is an option."""
    return tuple([name for name, kind in KINDS.items() if kind.reduces == "bins"])


def heads() -> tuple[str, ...]:
    """Return the kinds that leave one number a channel."""
    return tuple([name for name, kind in KINDS.items() if kind.reduces == "map" and kind.channels == "same"])


def wide() -> tuple[str, ...]:
    """Return the heads that leave several numbers a channel, so that what stands behind them must take more."""
    return tuple([name for name, kind in KINDS.items() if kind.reduces == "map" and kind.channels != "same"])


def by_function(function: str, reduces: str) -> str:
    """Return the kind that a function of torch computes over a window, in bins or of the map; "" where none does."""
    found = (name for name, kind in KINDS.items() if kind.reduces == reduces and function in kind.functions)
    return next(found, "")


def by_class(name: str) -> str:
    """Return the kind whose fixed filter a layer of that class holds, as its name says it; "" where none does."""
    return next((kind for kind, record in KINDS.items() if any(word in name for word in record.classes)), "")


def by_operator(operator: str) -> str:
    """Return the kind that an operator of ONNX computes, "" where none does."""
    return next((name for name, kind in KINDS.items() if operator in kind.onnx), "")


def convolution(depthwise: bool = False) -> str:
    """Return the kind that is a bare strided convolution."""
    wanted = "depthwise" if depthwise else "dense"
    return next(name for name, kind in KINDS.items() if kind.convolution == wanted)


def same_as(word: str) -> str:
    """Return the kind that is meant by a word of torch, TensorFlow or a paper (`nn.MaxPool2d`), "" where none is."""
    letters = re.sub(r"[^a-z0-9]", "", word[:100].lower().rsplit(".", 1)[-1])
    bare = re.sub(r"(pooling|pool)?([123]d)?(layer)?$", "", letters)
    ours = {name.replace("-", ""): name for name in KINDS}
    return ours.get(bare) or next((name for name, kind in KINDS.items() if bare in kind.also), "")
