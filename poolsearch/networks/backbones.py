"""What can be opened: our smallnet, torchvision's networks, timm's, declared ones: builders with their usual input.

Covers building (seeded, on any device) and what a builder can't take. Where a backbone pools is found in
`poolsearch.surgery`, not declared here.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from poolsearch.errors import PlanError, shortened, unknown
from poolsearch.networks import vision
from poolsearch.networks.declared import declared
from poolsearch.plan import Plan


class SmallNet(nn.Module):
    """Return class logits (N, classes): three conv-norm-ReLU stages, each pooled, and a global head.

    Small enough to train in seconds on one core (24 thousand weights), deep enough that the pooling matters.
    """

    widths = (16, 32, 64)

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        for number, width in enumerate(self.widths, start=1):
            self.add_module(f"stage{number}", _stage(channels, width))
            channels = width
        self.head = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, len(self.widths) + 1):
            x = self.get_submodule(f"stage{number}")(x)
        logits: Tensor = self.classifier(torch.flatten(self.head(x), 1))
        return logits


def _stage(channels: int, width: int) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(channels, width, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(width),
        act=nn.ReLU(inplace=True),
        pool=nn.MaxPool2d(2),
    )
    return nn.Sequential(layers)


@dataclass(frozen=True)
class Backbone:
    """A network that can be opened by name."""

    label: str
    build: Callable[[int, int], nn.Module]  # channels, classes
    size: tuple[int, int, int]  # the input its authors publish it for
    classes: int
    any_channels: bool = False
    source: str = ""


def _torchvision(name: str, channels: int, classes: int) -> nn.Module:
    # these two warn when it is left open how they draw their weights
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    module: nn.Module = vision.models().get_model(name, weights=None, num_classes=classes, **options)
    return module


def _timm(name: str, channels: int, classes: int) -> nn.Module:
    vision.models()  # timm imports torchvision
    module: nn.Module = import_module("timm").create_model(name, num_classes=classes, in_chans=channels)
    return module


def _published(name: str, label: str, source: str) -> Backbone:
    return Backbone(label, partial(_torchvision, name), (3, 224, 224), 1000, source=source)


_TIMM = "timm."  # before a name of timm's
# What the pages name first. All of torchvision's classification networks are known by their names there, and timm's,
# where timm is installed, as timm.NAME.
BACKBONES: dict[str, Backbone] = {
    "smallnet": Backbone("SmallNet", SmallNet, (1, 20, 20), 10, any_channels=True, source="Poolsearch"),
    "resnet18": _published("resnet18", "ResNet-18", "He et al. 2016, arXiv:1512.03385"),
    "vgg11_bn": _published("vgg11_bn", "VGG-11 (BN)", "Simonyan, Zisserman 2015, arXiv:1409.1556"),
    "mobilenet_v2": _published("mobilenet_v2", "MobileNetV2", "Sandler et al. 2018, arXiv:1801.04381"),
    "alexnet": _published("alexnet", "AlexNet", "Krizhevsky 2014, arXiv:1404.5997"),
}


@cache
def known() -> tuple[str, ...]:
    """Return the name of every backbone there is: ours, torchvision's, those that installed packages declare, timm's.

    A name of timm's may have the tag of published weights behind it, as in timm.resnet50.a1_in1k.
    """
    models = vision.models()
    names = [*BACKBONES, *(name for name in models.list_models(module=models) if name not in BACKBONES)]
    names += [name for name in declared() if name not in names and not name.startswith(_TIMM)]
    if find_spec("timm"):
        names += [f"{_TIMM}{name}" for name in import_module("timm").list_models()]
    return tuple(names)


_FAMILIES = {  # a library's name for a network -> how its authors write it
    r"resnet(\d+)": "ResNet-{}",
    r"wide_resnet(\d+)_(\d)": "Wide ResNet-{}-{}",
    r"resnext(\d+)_(\d+x\d+d)": "ResNeXt-{} {}",
    r"vgg(\d+)": "VGG-{}",
    r"vgg(\d+)_bn": "VGG-{} (BN)",
    r"densenet(\d+)": "DenseNet-{}",
    r"mobilenet_v3_(large|small)": "MobileNetV3-{}",
    r"efficientnet_b(\d)": "EfficientNet-B{}",
    r"efficientnet_v2_(\w)": "EfficientNetV2-{}",
    r"regnet_([xy])_(\d+(?:_\d)?)([gm]f)": "RegNet{}-{}{}",
    r"squeezenet(\d_\d)": "SqueezeNet {}",
    r"shufflenet_v2_x(\d_\d)": "ShuffleNetV2 {}x",
    r"mnasnet(\d_\d+)": "MNASNet {}",
    r"convnext_(tiny|small|base|large)": "ConvNeXt-{}",
    r"vit_(\w)_(\d+)": "ViT-{}/{}",
    r"swin_(\w)": "Swin-{}",
    r"swin_v2_(\w)": "SwinV2-{}",
    r"maxvit_(\w)": "MaxViT-{}",
    r"googlenet": "GoogLeNet",
    r"inception_v(\d)": "Inception v{}",
}


def label(name: str) -> str:
    """Return how a network is called in a list: as its authors write it and as its library does, found by both."""
    written = BACKBONES[name].label if name in BACKBONES else ""
    for pattern, form in _FAMILIES.items():
        if not written and (match := re.fullmatch(pattern, name.removeprefix("timm."))):
            parts = (part.replace("_", ".") for part in match.groups())
            written = form.format(*(_cased(part) for part in parts))
    return f"{written} · {name}" if written else name


def _cased(part: str) -> str:
    """Return a part of a name in capitals where it is an abbreviation (`gf`), with one where it is a word (`tiny`)."""
    return part.upper() if len(part) < 3 else part.capitalize()


@cache
def _tagged() -> frozenset[str]:
    """Return the names of timm's with the tags of published weights; none where it is not installed."""
    return (
        frozenset(f"{_TIMM}{name}" for name in import_module("timm").list_pretrained())
        if find_spec("timm")
        else frozenset()
    )


@cache
def backbone(name: str) -> Backbone:
    """Return the record of a backbone.

    Raises PlanError for an unknown name, with the nearest known one; for one that is taken twice; for one that an
    installed package declares and can't give.
    """
    if name in declared():
        return _of_a_package(name)
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(_TIMM) and not find_spec("timm"):
        raise PlanError(
            f"'{shortened(name)}' needs timm, which is not installed. Install it with: pip install timm==1.0.31."
        )
    if name not in known() and name not in _tagged():
        raise PlanError(_unknown(name))
    if name.startswith(_TIMM):
        short = name.removeprefix(_TIMM)
        published = import_module("timm").get_pretrained_cfg(short)  # of a tag, its size and classes
        return Backbone(
            name, partial(_timm, short), published.input_size, published.num_classes or 1000, any_channels=True,
            source="timm",
        )  # fmt: skip
    # the builders take the smallest size that weights were published for
    crop = min(entry.transforms.keywords["crop_size"] for entry in vision.models().get_model_weights(name))
    return Backbone(name, partial(_torchvision, name), (3, crop, crop), 1000, source="torchvision")


def _of_a_package(name: str) -> Backbone:
    """Return the record of a network that an installed package declares."""
    library = "timm" if name.startswith(_TIMM) else "torchvision" if name in vision.models().list_models() else ""
    others = ["Poolsearch"] * (name == "smallnet") + [library] * bool(library)
    owners = [*others, *map(str, declared()[name])]
    if len(owners) > 1:
        raise PlanError(
            f"The backbone '{name}' is there twice: of {' and of '.join(owners)}. "
            "Change the name that a package declares in its entry points, or uninstall the package."
        )
    (one,) = declared()[name]
    return Backbone(name, one, one.size, 1000, source=one.package)


def _unknown(name: str) -> str:
    """Return the sentence for a name that no backbone has: for what it is known elsewhere, or the nearest one."""
    if reason := _elsewhere(name):
        return reason
    theirs = [one for one in known() if one.startswith(_TIMM)]
    own = [one for one in known() if not one.startswith(_TIMM)]
    arch, _, tag = name.removeprefix(_TIMM).partition(".")
    if tag and f"{_TIMM}{arch}" in theirs:
        tags = sorted(one.removeprefix(f"{_TIMM}{arch}.") for one in _tagged() if one.startswith(f"{_TIMM}{arch}."))
        if name.startswith(_TIMM) or tag not in tags:
            return unknown("tag", tag, tags, where=f"{_TIMM}{arch}")
    meant = _TIMM + name if f"{_TIMM}{arch}" in theirs else ""
    if not name.startswith(_TIMM):
        more = [f"and {len(theirs):,} of timm, as in timm.resnet50"] if theirs else []
        return unknown("backbone", name, [*own, *more], meant=meant)
    later = import_module("timm").models.get_deprecated_models().get(arch)  # names that timm has replaced
    near = difflib.get_close_matches(name.lower(), theirs, n=8, cutoff=0.5)
    meant = f"{_TIMM}{later}" if later else next(iter(near), "")
    return unknown("backbone", name, [*near, f"{len(theirs):,} names in all, from timm.list_models()"], meant=meant)


def _elsewhere(name: str) -> str:
    """Return the sentence for a network of torchvision's that is for something else than classifying one picture."""
    models = vision.models()
    if name not in models.list_models():
        return ""
    family = models.get_model_builder(name).__module__.split(".")[2]  # torchvision.models.video.resnet
    reason = "takes video: 3d is not supported" if family == "video" else f"is one of torchvision's for {family}"
    return f"'{name}' {reason}. Possible: networks that classify one picture, as in 'resnet18/3x224x224'."


def published(text: str) -> Plan:
    """Return the Plan without changes of `BACKBONE` or `BACKBONE/CxHxW`; the usual input size when none is given."""
    name, _, size = text.strip().partition("/")
    usual = backbone(name).size
    plan = Plan.parse(text) if size else Plan(name, usual)
    if plan.sites:
        raise PlanError(
            f"'{shortened(text)}' changes the network, and a backbone alone is asked for: write '{plan.published}'."
        )
    check_channels(plan)
    return plan.published


def check_channels(plan: Plan) -> None:
    """Raise PlanError when the backbone of a Plan is not known, or takes another number of channels."""
    name, (channels, height, width) = plan.backbone, plan.size
    record = backbone(name)
    usual = record.size[0]
    if channels != usual and not record.any_channels:
        raise PlanError(f"{name} takes {usual} channels, got {channels}. Write '{name}/{usual}x{height}x{width}'.")


def build(plan: Plan, classes: int | None = None, seed: int = 0, device: str = "cpu") -> nn.Module:
    """Return the published network of a Plan, with the random weights of this seed (no weights on 'meta')."""
    check_channels(plan)
    return built(backbone(plan.backbone), plan.size[0], classes, seed, device)


def built(record: Backbone, channels: int, classes: int | None, seed: int, device: str) -> nn.Module:
    """Return the network of a backbone's record, with the random weights of this seed (no weights on 'meta')."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")  # timm and torchvision warn about their own past
        torch.manual_seed(seed)
        if device != "meta":
            return record.build(channels, classes or record.classes)
        with _WithoutDrawing():
            return record.build(channels, classes or record.classes).to("meta")


class _WithoutDrawing(TorchFunctionMode):
    """Builds on meta: weights are not drawn, and the small tensors that a builder reads its depths from are real."""

    drawn = frozenset({"normal_", "uniform_", "trunc_normal_", "fill_", "zero_", "erfinv_", "clamp_", "mul_", "add_"})
    read = frozenset({"linspace", "arange", "tensor", "as_tensor"})

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in self.drawn and args and isinstance(args[0], Tensor) and args[0].is_meta:
            return args[0]
        if name in self.read:
            kwargs = {**(kwargs or {}), "device": "cpu"}
        return func(*args, **(kwargs or {}))
