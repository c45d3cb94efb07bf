"""What a network makes of one image: feature maps behind a site, and how their values are spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from poolsearch.errors import MapError, SiteError, kind_of, unknown
from poolsearch.modelfiles import checkpoint
from poolsearch.plan import Plan, as_plan
from poolsearch.records.network import Array, Histogram, Site
from poolsearch.surgery import Replay, rebuild, replayed
from poolsearch.surgery.edits import Rewrite
from poolsearch.surgery.rewriting import child_name
from poolsearch.surgery.trace import SizedCall


def feature_maps(plan: Plan | str, image: Array, site: str, seed: int = 0, trained: Path | None = None) -> Array:
    """Return the (C, H, W) maps that leave a site for an image of (C, H, W), in eval mode.

    The weights are random (of this seed), or those of a checkpoint.

    Raises SiteError when the backbone has no such site, or one that only training runs.
    """
    plan = as_plan(plan)
    if np.shape(image) != plan.size:
        raise MapError(f"'{plan.published}' takes an image of shape {plan.size}; got {kind_of(image)}.")
    replay = replayed(plan)
    sites = {s.name: s for s in replay.network.sites}
    if site not in sites:
        raise SiteError(unknown("site", site, sites, where=plan.backbone))
    if sites[site].role == "aux":
        raise SiteError(f"Only training runs site '{site}' of {plan.backbone}: an image leaves no map behind it.")
    model = checkpoint.load(trained).network() if trained else rebuild(plan, seed=seed)
    maps: Array = maps_behind(model.eval(), replay, sites[site], torch.from_numpy(np.ascontiguousarray(image))).numpy()
    return maps


def maps_behind(model: nn.Module, replay: Replay, site: Site, image: Tensor) -> Tensor:
    """Return the (C, H, W) maps that leave a site of a Plan's network for an image of (C, H, W).

    Behind a strided convolution these are the maps behind its activation, with a pooling attached there.
    """
    call = replay.network.trace.calls[site.main.call]
    changes = [edit for edit in replay.edits if isinstance(edit, Rewrite) and edit.path == call.path]
    mine = [number for number, edit in enumerate(changes) if edit.call == site.main.call]
    if site.main.anchor:
        side, path = site.main.anchor
        kept = _at_module(model, image, path, before=side == "before")
    elif site.form != "function":
        kept = _at_module(model, image, call.path)[call.visit :]
    elif mine:
        kept = _at_module(model, image, f"{call.path}.{child_name(mine[0])}".lstrip("."))[call.visit :]
    else:
        earlier = sum(edit.function == call.op and edit.ordinal < call.ordinal for edit in changes)
        kept = _at_call(model, image, call, call.ordinal - earlier)
    return _as_maps(kept[0][0], call.spatial_axes)


def _as_maps(result: Tensor, lay: tuple[int, int] | None) -> Tensor:
    """Return a result of one image as (C, H, W), where its height and width stand on these axes; 1x1 on none."""
    if lay is None:
        return result.reshape(-1, 1, 1)
    maps = result.movedim(lay, (-2, -1))
    return maps.reshape(-1, *maps.shape[-2:])


def _at_module(model: nn.Module, image: Tensor, path: str, before: bool = False) -> list[Tensor]:
    """Return what leaves a module, or what enters it, each time that it runs."""
    module, kept = model.get_submodule(path), list[Tensor]()

    # registered after the rebuild's own hooks, so that an attached pooling has already been applied
    if before:
        hook = module.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].detach().clone()))
    else:
        hook = module.register_forward_hook(lambda _, __, out: kept.append(out.detach().clone()))
    try:
        with torch.inference_mode():
            model(image[None])
    finally:
        hook.remove()
    return kept


def _at_call(model: nn.Module, image: Tensor, call: SizedCall, ordinal: int) -> list[Tensor]:
    """Return the result of one function call, found by its module, that module's visit, and its turn in there."""
    watch = _Watch(model.get_submodule(call.path), call.op, call.visit, ordinal)
    hooks = []
    try:
        for module in model.modules():
            hooks.append(module.register_forward_pre_hook(watch.enter, prepend=True))
            hooks.append(module.register_forward_hook(watch.leave, always_call=True))
        with torch.inference_mode(), watch:
            model(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return watch.kept


class _Watch(TorchFunctionMode):
    """Keeps the result of the n-th call of a function in one visit of a module's own forward."""

    def __init__(self, owner: nn.Module, op: str, visit: int, ordinal: int) -> None:
        super().__init__()
        self.owner, self.op, self.visit, self.ordinal = owner, op, visit, ordinal
        self.stack: list[nn.Module] = []
        self.visits, self.calls, self.kept = -1, -1, list[Tensor]()

    def enter(self, module: nn.Module, _: Any) -> None:
        self.stack.append(module)
        if module is self.owner:
            self.visits, self.calls = self.visits + 1, -1

    def leave(self, module: nn.Module, _: Any, __: Any) -> None:
        self.stack.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        ours = self.stack and self.stack[-1] is self.owner and self.visits == self.visit
        if ours and getattr(func, "__name__", str(func)) == self.op:
            self.calls += 1
            if self.calls == self.ordinal:
                self.kept.append((out if isinstance(out, Tensor) else out[0]).detach().clone())
        return out


def histograms(maps: Sequence[Array], bins: int = 60) -> tuple[Histogram, ...]:
    """Return a histogram for each array, over edges that all of them share."""
    low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1, dtype=np.float32)
    return tuple(_histogram(m, edges) for m in maps)


def _histogram(maps: Array, edges: Any) -> Histogram:
    counts, _ = np.histogram(maps, edges)
    return Histogram(edges, counts, float((maps == 0).mean()), float(maps.mean()), float(maps.std()))
