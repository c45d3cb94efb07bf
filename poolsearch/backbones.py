"""What can be opened: our smallnet and torchvision's networks, each a builder with its usual input size.

Covers building (seeded, on any device) and what a builder can't take. Where a backbone pools is found in
`poolsearch.surgery`, not declared here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from poolsearch import vision
from poolsearch.errors import PlanError, unknown
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
    module: nn.Module = vision.models().get_model(name, weights=None, num_classes=classes)
    return module


def _published(name: str, label: str, source: str) -> Backbone:
    return Backbone(label, partial(_torchvision, name), (3, 224, 224), 1000, source=source)


BACKBONES: dict[str, Backbone] = {
    "smallnet": Backbone("SmallNet", SmallNet, (1, 20, 20), 10, any_channels=True, source="Poolsearch"),
    "resnet18": _published("resnet18", "ResNet-18", "He et al. 2016, arXiv:1512.03385"),
    "vgg11_bn": _published("vgg11_bn", "VGG-11 (BN)", "Simonyan, Zisserman 2015, arXiv:1409.1556"),
    "mobilenet_v2": _published("mobilenet_v2", "MobileNetV2", "Sandler et al. 2018, arXiv:1801.04381"),
    "alexnet": _published("alexnet", "AlexNet", "Krizhevsky 2014, arXiv:1404.5997"),
}


def backbone(name: str) -> Backbone:
    """Return the record of a backbone. Raises PlanError for an unknown name, with the nearest known one."""
    if name not in BACKBONES:
        raise PlanError(unknown("backbone", name, BACKBONES))
    return BACKBONES[name]


def published(text: str) -> Plan:
    """Return the Plan without changes of `BACKBONE` or `BACKBONE/CxHxW`; the usual input size when none is given."""
    name, _, size = text.strip().partition("/")
    usual = backbone(name).size
    plan = Plan.parse(text) if size else Plan(name, usual)
    channels = plan.size[0]
    if channels != usual[0] and not backbone(name).any_channels:
        height, width = plan.size[1:]
        raise PlanError(
            f"{name} takes {usual[0]} channels, got {channels}. Write '{name}/{usual[0]}x{height}x{width}'."
        )
    return plan.published


def build(plan: Plan, classes: int | None = None, seed: int = 0, device: str = "cpu") -> nn.Module:
    """Return the published network of a Plan, with the random weights of this seed (no weights on 'meta')."""
    record = backbone(published(str(plan.published)).backbone)
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(seed)
        return record.build(plan.size[0], classes or record.classes)
