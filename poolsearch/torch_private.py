"""What has no public name in torch: the one place that knows private ones (2.6 to 2.13), each with its reason.

`tests/test_torch_private.py` says which name went away, and what broke with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_VERSIONS = "_metadata"


def transforms_active() -> bool:
    """Return whether vmap, grad or another transform of functorch is at work: numbers can't be looked at there."""
    active: bool = torch._C._are_functorch_transforms_active()
    return active


def storage_id(tensor: Tensor) -> int:
    """Return what tells a tensor's memory from any other's while it lives. On meta every address is 0."""
    identity: int = tensor.untyped_storage()._cdata
    return identity


def versions_of(state: Mapping[Any, Any]) -> Any:
    """Return the versions of the modules that wrote a state_dict, by their path; None of a plain mapping."""
    return getattr(state, _VERSIONS, None)


def stamp(state: Mapping[str, Tensor], versions: Mapping[str, Any]) -> None:
    """Give a state_dict the versions of the modules that wrote it, by which torch's own load reads older ones."""
    setattr(state, _VERSIONS, versions)


def child_names(module: nn.Module) -> list[str]:
    """Return the names of a module's children in order. `named_children` leaves out one that stands there twice."""
    return list(module._modules)


def saved_buffers(module: nn.Module) -> list[Tensor]:
    """Return the buffers of a module that its state_dict keeps. `buffers` also gives those that it does not keep."""
    return [one for name, one in module._buffers.items() if one is not None and _is_saved(module, name)]


def _is_saved(module: nn.Module, buffer: str) -> bool:
    return buffer not in module._non_persistent_buffers_set


def pads_nothing(conv: nn.Conv2d) -> None:
    """Let a convolution that mirrors its border pad nothing: it keeps what to pad apart from its padding."""
    conv.padding = (0, 0)
    conv._reversed_padding_repeated_twice = [0, 0, 0, 0]


def take_over(made: nn.Module, owner: nn.Module) -> None:
    """Give a module that fx traced every child, parameter, buffer and hook of its original, in the same order.

    fx keeps only those that its graph names, in the order of their use, and makes buffers of plain tensor attributes.
    """
    made._modules = dict(owner._modules)
    made._parameters = dict(owner._parameters)
    for name in [name for name in made._buffers if name not in owner._buffers]:
        object.__setattr__(made, name, made._buffers.pop(name))
    for name, buffer in owner._buffers.items():
        made.register_buffer(name, buffer, persistent=_is_saved(owner, name))
    made._forward_hooks, made._forward_pre_hooks = owner._forward_hooks, owner._forward_pre_hooks
