"""Trained weights from anywhere: read in a child process, without running what a file holds.

Covers .safetensors and what torch.save writes (.pt, .pth), as tensors under names. Whether they fit a network is
decided in one place, `put_in`, by torch's own strict load.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from poolsearch.errors import WeightsError, shortened
from poolsearch.modelfiles.confined import ask
from poolsearch.records.modelfiles import Difference
from poolsearch.surgery.fitting import put_in
from poolsearch.torch_private import stamp

SUFFIXES = (".safetensors", ".pt", ".pth")
_CHILD = "poolsearch.modelfiles.weights_child"


@dataclass(frozen=True)
class Contents:
    """What is in a file of weights, without its numbers; every number in it is finite."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]  # "float32", ...
    notes: tuple[str, ...] = ()  # what was taken off: a nesting, a prefix
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
    return Contents(shapes, dtypes, tuple(reply["notes"]), tuple(reply["metadata"].items()), versions)


def _state(tensors: Mapping[str, Tensor], versions: Sequence[tuple[str, int]]) -> dict[str, Tensor]:
    """Return a state_dict as torch hands it round: with the versions of the modules that wrote it."""
    state = OrderedDict(tensors)
    if versions:
        stamp(state, {path: {"version": version} for path, version in versions})
    return state


def differences(network: nn.Module, contents: Contents) -> tuple[Difference, ...]:
    """Return each key at which a file does not fit a network on meta, as `put_in` does; no number is read."""
    return put_in(network, _state(_on_meta(contents), contents.versions))


def hint(network: nn.Module, given: Mapping[str, Tensor] | Contents) -> str:
    """Return the sentence for weights that fit but for one word before every key (Lightning's "model."), else ""."""
    tensors = _on_meta(given) if isinstance(given, Contents) else given
    prefixes = {key.partition(".")[0] for key in tensors}
    if len(prefixes) != 1:
        return ""
    prefix = f"{prefixes.pop()}."
    rest = {key.removeprefix(prefix): value for key, value in tensors.items()}
    if not all(rest) or put_in(network, rest):
        return ""
    return f"Every key has '{shortened(prefix)}' before it; without that word the file fits."


def _on_meta(contents: Contents) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in contents.shapes.items()}
