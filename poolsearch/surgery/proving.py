"""Prove a Plan: the rebuilt network is recorded again and held to its replay, then runs backward once on numbers.

The replay is arithmetic over one recording; this is the network itself. Takes about as long as opening a backbone,
and one training step of two images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poolsearch.errors import SiteError
from poolsearch.plan import Plan
from poolsearch.surgery.checking import replayed
from poolsearch.surgery.rebuild import rebuild
from poolsearch.surgery.record import record_calls, tensors_in


def prove(plan: Plan) -> None:
    """Return nothing when the rebuilt network makes the sizes of the replay, and every weight gets a finite gradient.

    Auxiliary heads and weights that the published network leaves without a gradient are left out.
    Raises SiteError with what differs.
    """
    replay = replayed(plan)
    plan = replay.plan
    calls, outputs = record_calls(rebuild(plan, device="meta").eval(), plan.size)
    for place, wanted in zip(outputs, replay.trace.outputs, strict=True):
        again, expected = calls[place].shape, replay.shapes[wanted]
        if again != expected:
            raise SiteError(f"'{plan}' was to give {expected[1:]}, but its network gives {again[1:]}.")
    gradients = _gradients(rebuild(plan), plan)
    for name, gradient in gradients.items():
        if not torch.isfinite(gradient).all():
            raise SiteError(f"The gradient of {name} in '{plan}' is not finite.")
    silent = set(_gradients(rebuild(plan.published), plan)) - set(gradients)
    if silent:
        raise SiteError(f"{min(silent)} gets no gradient in '{plan}', as it does in the published network.")


def _gradients(model: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """Return the gradients of one backward pass of two images, in eval mode: one pixel has no statistics."""
    images = torch.rand(2, *plan.size, generator=torch.Generator().manual_seed(0))
    results = tensors_in(model.eval()(images))
    loss = torch.stack([out.float().square().mean() for out in results]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
