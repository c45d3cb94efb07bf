"""Rebuild a backbone for a Plan: the published network, edited in place, every other weight and key kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from poolsearch import pooling
from poolsearch.errors import SiteError, shortened
from poolsearch.plan import Plan
from poolsearch.surgery.checking import replayed
from poolsearch.surgery.edits import Attach, Edit, Restride, Rewrite, Swap
from poolsearch.surgery.fitting import put_in
from poolsearch.surgery.rewriting import Patches, Pooled, rewrite
from poolsearch.surgery.wider import Widen
from poolsearch.torch_private import pads_nothing

CHILD = "pooling"  # name under which an attached pooling is a child of its module


class PoolAfter:
    """Forward hook: the module's output goes through its child `pooling`. A class, so that models pickle."""

    def __call__(self, module: nn.Module, _: Any, output: Tensor) -> Tensor:
        pooled: Tensor = module.get_submodule(CHILD)(output)
        return pooled


class PoolBefore:
    """Forward pre-hook: the module's input goes through its child `pooling` first."""

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (module.get_submodule(CHILD)(inputs[0]), *inputs[1:])


def rebuild(
    plan: Plan | str,
    classes: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    weights: Mapping[str, Tensor] | None = None,
    published: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """Return the network of a Plan, with the random weights of this seed or with those given.

    The published weights of a seed are drawn first, so that two Plans of one seed differ only where they say so.
    `weights` are those of this very Plan; `published` those of the published network, loaded before it is changed, so
    that poolings which learn start as they do. Either must fit as torch's strict load wants it.
    Raises SiteError when the Plan can't run at its input size, before any weight exists, and for weights of another.
    """
    replay = replayed(plan)
    network, plan = replay.network, replay.plan
    model = network.source.build(network.size[0], classes, seed, device)
    if published is not None:
        _load(model, published, network.published)
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(seed)
        model = _edited(model, replay.edits)
    if weights is not None:
        _load(model, weights, plan)
    return model


def _edited(model: nn.Module, changes: tuple[Edit, ...]) -> nn.Module:
    """Apply the edits in their order; the calls of one forward are rewritten together, and last."""
    calls: dict[str, Patches] = {}
    for edit in changes:
        if isinstance(edit, Rewrite):
            pooling_ = Pooled(pooling.build(edit.spec, edit.channels), edit.flattened, edit.channels_last)
            calls.setdefault(edit.path, {})[edit.function, edit.ordinal] = pooling_
        else:
            _apply(model, edit)
    for path in sorted(calls, key=len, reverse=True):  # from the inside out: an outer trace keeps inner modules
        model = rewrite(model, path, calls[path])
    return model


def _apply(model: nn.Module, edit: Swap | Restride | Attach | Widen) -> None:
    if isinstance(edit, Swap):
        parent, _, name = edit.path.rpartition(".")
        new = pooling.build(edit.spec, edit.channels)
        setattr(
            model.get_submodule(parent),
            name,
            Pooled(new, edit.flattened, edit.channels_last) if edit.flattened or edit.channels_last else new,
        )
    elif isinstance(edit, Restride):
        conv = model.get_submodule(edit.path)
        assert isinstance(conv, nn.Conv2d)
        conv.stride = edit.stride
        if edit.pointwise:
            _make_pointwise(conv)
    elif isinstance(edit, Widen):
        _make_wider(model.get_submodule(edit.path), edit.channels, edit.blocks)
    else:
        _attach(model.get_submodule(edit.path), edit)


def _make_pointwise(conv: nn.Conv2d) -> None:
    """Turn a convolution into 1x1; the kernel's sum keeps its answer to a constant map."""
    conv.weight = nn.Parameter(conv.weight.detach().sum((2, 3), keepdim=True))
    conv.kernel_size, conv.dilation = (1, 1), (1, 1)
    pads_nothing(conv)


def _make_wider(linear: nn.Module, channels: int, blocks: tuple[int, ...]) -> None:
    """Let a fully connected layer take so many numbers of each channel, block behind block.

    Its weights are summed over what it took of a channel, then tiled and divided: equal numbers give the same answer.
    """
    assert isinstance(linear, nn.Linear)
    summed = linear.weight.detach().reshape(linear.out_features, channels, -1).sum(2)
    tiles = [summed.repeat_interleave(numbers, 1) for numbers in blocks]
    linear.weight = nn.Parameter(torch.cat(tiles, 1) / sum(blocks))
    linear.in_features = linear.weight.shape[1]


def _attach(module: nn.Module, edit: Attach) -> None:
    module.add_module(CHILD, pooling.build(edit.spec, edit.channels))
    if edit.side == "after":
        module.register_forward_hook(PoolAfter())
    else:
        module.register_forward_pre_hook(PoolBefore())


def _load(model: nn.Module, weights: Mapping[str, Tensor], plan: Plan) -> None:
    found = put_in(model, weights)
    missing = [one.key for one in found if one.given is None]
    extra = [one.key for one in found if one.wanted is None]
    shapes = [one.key for one in found if one.given is not None and one.wanted is not None]
    if found:
        parts = [f"{len(missing)} missing ({shortened(missing[0])} ...)"] if missing else []
        parts += [f"{len(extra)} unknown ({shortened(extra[0])} ...)"] if extra else []
        parts += [f"{len(shapes)} of another shape ({shortened(shapes[0])} ...)"] if shapes else []
        raise SiteError(f"These weights are not those of '{plan}': {', '.join(parts)}.")
