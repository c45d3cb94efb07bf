"""Put weights into a network, by the rule of torch's strict load, and say where they do not fit."""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from poolsearch.errors import WeightsError
from poolsearch.records.modelfiles import Difference
from poolsearch.torch_private import stamp, versions_of

# torchvision's DenseNet files were written when a layer's parts were named norm.1, relu.1, conv.1 and so on
_DENSE = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)")


def put_in(network: nn.Module, given: Mapping[str, Tensor]) -> tuple[Difference, ...]:
    """Return each key at which weights do not fit a network; none when they are in it now.

    The rule is torch's strict load, which asks every module: a batch norm from before version 2 has no
    `num_batches_tracked`, a frozen one wants none. The network's order, then what is left over; where anything differs
    the network holds a part of the weights and is of no use.
    """
    own = network.state_dict()
    state = OrderedDict((_renamed(key, own), value) for key, value in given.items())
    stamp(state, versions_of(given) or {})
    others = {key for key in own if key in state and not _fits(state[key], own[key])}
    found = {key: Difference(key, tuple(own[key].shape), tuple(state[key].shape)) for key in others}
    for key in others:  # torch would stop at these
        state[key] = own[key]
    missing, unexpected = _loaded(network, state)
    found |= {key: Difference(key, tuple(own[key].shape), None) for key in missing}
    found |= {key: Difference(key, None, tuple(state[key].shape)) for key in unexpected if key in state}
    return tuple(found[key] for key in (*own, *unexpected) if key in found)


def _loaded(network: nn.Module, state: OrderedDict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Return the keys that a network misses and those it does not know. Raises WeightsError with torch's reason."""
    with warnings.catch_warnings(action="ignore"):  # on meta there is nothing to copy, says torch of each key
        try:
            try:
                missing, unexpected = network.load_state_dict(state, strict=False)
            except ValueError:  # a module that insists on a version (MNASNet), where safetensors keeps none
                stamp(state, _versions_without_norms(network))
                missing, unexpected = network.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise WeightsError(f"torch does not take these weights: {str(error).splitlines()[-1].strip()}") from None
    return missing, unexpected


def _versions_without_norms(network: nn.Module) -> dict[str, Any]:
    """Return the versions of a network's modules but for its norms, which may then lack their counters."""
    modules = dict(network.named_modules())
    versions: Mapping[str, Any] = versions_of(network.state_dict())
    return {path: one for path, one in versions.items() if not hasattr(modules.get(path), "num_batches_tracked")}


def _fits(given: Tensor, own: Tensor) -> bool:
    """Return whether torch takes a tensor for another: of one shape, or one number from before torch had such."""
    return given.shape == own.shape or (own.dim() == 0 and given.dim() == 1 and len(given) > 0)


def _renamed(key: str, own: Mapping[str, Tensor]) -> str:
    """Return the key that a layer of DenseNet has now for one that it had before."""
    found = None if key in own else _DENSE.fullmatch(key)
    return f"{found[1]}{found[2]}" if found and f"{found[1]}{found[2]}" in own else key
