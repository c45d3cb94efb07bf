"""What a network makes of one image: feature maps behind a site, and how their values are spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poolsearch import checkpoint
from poolsearch.errors import SiteError, unknown
from poolsearch.plan import Plan
from poolsearch.rows import Array, Histogram, Member
from poolsearch.surgery import find_sites, rebuild


def feature_maps(plan: Plan, image: Array, site: str, seed: int = 0, trained: Path | None = None) -> Array:
    """Return the (C, H, W) maps that leave a site for an image of (C, H, W), in eval mode.

    The weights are random (of this seed), or those of a checkpoint.

    Raises SiteError when the backbone has no such site.
    """
    sites = {s.name: s for s in find_sites(plan.backbone, plan.size)}
    if site not in sites:
        raise SiteError(unknown("site", site, sites, where=plan.backbone))
    model = checkpoint.load(trained).network() if trained else rebuild(plan, seed=seed).eval()
    side, path = _place(sites[site].main)
    module = model.get_submodule(path)
    kept: list[Tensor] = []

    # registered after the rebuild's own hooks, so that a hung pooling has already been applied
    if side == "after":
        hook = module.register_forward_hook(lambda _, __, out: kept.append(out.detach().clone()))
    else:
        hook = module.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].detach().clone()))
    try:
        with torch.inference_mode():
            model(torch.from_numpy(np.ascontiguousarray(image))[None])
    finally:
        hook.remove()
    maps: Array = kept[0][0].numpy()
    return maps


def _place(member: Member) -> tuple[str, str]:
    """Return the side and path of the module at which the site's pooled map can be read."""
    if member.anchor:
        return member.anchor
    return "after", "" if member.form == "function" else member.path


def histograms(maps: Sequence[Array], bins: int = 60) -> tuple[Histogram, ...]:
    """Return a histogram for each array, over edges that all of them share."""
    low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1, dtype=np.float32)
    return tuple(_histogram(m, edges) for m in maps)


def _histogram(maps: Array, edges: Any) -> Histogram:
    counts, _ = np.histogram(maps, edges)
    return Histogram(edges, counts, float((maps == 0).mean()), float(maps.mean()), float(maps.std()))
