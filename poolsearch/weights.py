"""Trained weights from anywhere: read in a child process, without running what a file holds.

Covers .safetensors and what torch.save writes (.pt, .pth), as tensors under names. Whether they fit a network is
decided in one place, `put_in`, by torch's own strict load.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from poolsearch.confined import ask
from poolsearch.errors import WeightsError, shortened
from poolsearch.inventory_rows import Difference

SUFFIXES = (".safetensors", ".pt", ".pth")
_CHILD = "poolsearch.weights_child"
# torchvision's DenseNet files were written when a layer's parts were named norm.1, relu.1, conv.1 and so on
_DENSE = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)")


@dataclass(frozen=True)
class Contents:
    """What is in a file of weights, without its numbers; every number in it is finite."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]  # "float32", ...
    said: tuple[str, ...] = ()  # what was taken off: a nesting, a prefix
    metadata: tuple[tuple[str, str], ...] = ()  # of a safetensors file
    versions: tuple[tuple[str, int], ...] = ()  # of the modules that wrote a state_dict: they decide what may lack


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, and what is said about them."""

    tensors: dict[str, Tensor]
    contents: Contents


def read(path: Path) -> dict[str, Tensor]:
    """Return the state_dict in a file, on the CPU, under the keys of the network that wrote it.

    Raises WeightsError when it holds anything else, is broken, or claims more than it has.
    """
    return opened(path).tensors


def opened(path: Path) -> Weights:
    """Return the tensors in a file with what was taken off their names. Raises WeightsError as `read` does."""
    _check(path)
    with tempfile.TemporaryDirectory(prefix="poolsearch-") as folder:
        reply = ask(_CHILD, [path], Path(folder))[0]
        if isinstance(reply, WeightsError):
            raise reply
        tensors = load_file(Path(folder) / "weights.safetensors")
        tensors.update({key: tensors[original] for key, original in reply["aliases"].items()})
        contents = _contents(reply)
        return Weights(_state({key: tensors[key] for key in reply["tensors"]}, contents.versions), contents)


def described(paths: Sequence[Path]) -> tuple[Contents | WeightsError, ...]:
    """Return what is in each file, or the error that says why it is refused. One child reads them all."""
    found: dict[Path, Contents | WeightsError] = {}
    for path in paths:
        try:
            _check(path)
        except WeightsError as error:
            found[path] = error
    rest = [path for path in paths if path not in found]
    for path, reply in zip(rest, ask(_CHILD, rest), strict=True):
        found[path] = reply if isinstance(reply, WeightsError) else _contents(reply)
    return tuple(found[path] for path in paths)


def _check(path: Path) -> None:
    """Refuse what needs no child to be refused."""
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"'{path.name}' is no file of weights by its name. Possible: {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise WeightsError(f"There is no file '{path}'.")
    if path.stat().st_size == 0:
        raise WeightsError(f"'{path.name}' is empty.")


def _contents(reply: dict[str, Any]) -> Contents:
    shapes = {key: tuple(shape) for key, (_, shape) in reply["tensors"].items()}
    dtypes = {key: dtype for key, (dtype, _) in reply["tensors"].items()}
    versions = tuple(reply["versions"].items())
    return Contents(shapes, dtypes, tuple(reply["said"]), tuple(reply["metadata"].items()), versions)


def _state(tensors: Mapping[str, Tensor], versions: Sequence[tuple[str, int]]) -> dict[str, Tensor]:
    """Return a state_dict as torch hands it round: with the versions of the modules that wrote it."""
    state = OrderedDict(tensors)
    if versions:
        _date(state, {path: {"version": version} for path, version in versions})
    return state


def _date(state: OrderedDict[str, Tensor], versions: Mapping[str, Any]) -> None:
    state._metadata = versions  # type: ignore[attr-defined]


def put_in(network: nn.Module, given: Mapping[str, Tensor]) -> tuple[Difference, ...]:
    """Return each key at which weights do not fit a network; none when they are in it now.

    The rule is torch's strict load, which asks every module: a batch norm from before version 2 has no
    `num_batches_tracked`, a frozen one wants none. The network's order, then what is left over; where anything differs
    the network holds a part of the weights and is of no use.
    """
    own = network.state_dict()
    state = OrderedDict((_renamed(key, own), value) for key, value in given.items())
    _date(state, getattr(given, "_metadata", {}))
    others = {key for key in own if key in state and not _fits(state[key], own[key])}
    found = {key: Difference(key, tuple(own[key].shape), tuple(state[key].shape)) for key in others}
    for key in others:  # torch would stop at these
        state[key] = own[key]
    missing, unexpected = _loaded(network, state)
    found |= {key: Difference(key, tuple(own[key].shape), None) for key in missing}
    found |= {key: Difference(key, None, tuple(state[key].shape)) for key in unexpected if key in state}
    return tuple(found[key] for key in (*own, *unexpected) if key in found)


def differences(network: nn.Module, contents: Contents) -> tuple[Difference, ...]:
    """Return each key at which a file does not fit a network on meta, as `put_in` does; no number is read."""
    return put_in(network, _state(_on_meta(contents), contents.versions))


def hint(network: nn.Module, given: Mapping[str, Tensor] | Contents) -> str:
    """Return the sentence for weights that fit but for one word before every key (Lightning's "model."), else ""."""
    tensors = _on_meta(given) if isinstance(given, Contents) else given
    words = {key.partition(".")[0] for key in tensors}
    if len(words) != 1:
        return ""
    prefix = f"{words.pop()}."
    rest = {key.removeprefix(prefix): value for key, value in tensors.items()}
    if not all(rest) or put_in(network, rest):
        return ""
    return f"Every key has '{shortened(prefix)}' before it; without that word the file fits."


def _on_meta(contents: Contents) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in contents.shapes.items()}


def _loaded(network: nn.Module, state: OrderedDict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Return the keys that a network misses and those it does not know. Raises WeightsError with torch's reason."""
    with warnings.catch_warnings(action="ignore"):  # on meta there is nothing to copy, says torch of each key
        try:
            try:
                missing, unexpected = network.load_state_dict(state, strict=False)
            except ValueError:  # a module that insists on a version (MNASNet), where safetensors keeps none
                _date(state, _versions_without_norms(network))
                missing, unexpected = network.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise WeightsError(f"torch does not take these weights: {str(error).splitlines()[-1].strip()}") from None
    return missing, unexpected


def _versions_without_norms(network: nn.Module) -> dict[str, Any]:
    """Return the versions of a network's modules but for its norms, which may then lack their counters."""
    modules = dict(network.named_modules())
    versions: Mapping[str, Any] = network.state_dict()._metadata  # type: ignore[attr-defined]
    return {path: one for path, one in versions.items() if not hasattr(modules.get(path), "num_batches_tracked")}


def _fits(given: Tensor, own: Tensor) -> bool:
    """Return whether torch takes a tensor for another: of one shape, or one number from before torch had such."""
    return given.shape == own.shape or (own.dim() == 0 and given.dim() == 1 and len(given) > 0)


def _renamed(key: str, own: Mapping[str, Tensor]) -> str:
    """Return the key that a layer of DenseNet has now for one that it had before."""
    found = None if key in own else _DENSE.fullmatch(key)
    return f"{found[1]}{found[2]}" if found and f"{found[1]}{found[2]}" in own else key
