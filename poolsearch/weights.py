"""Trained weights from anywhere: read in a child process, without running what a file holds.

Covers .safetensors and what torch.save writes (.pt, .pth), as tensors under names. Which network they fit is asked with
`differences`; poolsearch.surgery puts them in.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from poolsearch.confined import ask
from poolsearch.errors import WeightsError
from poolsearch.inventory_rows import Difference

SUFFIXES = (".safetensors", ".pt", ".pth")
_CHILD = "poolsearch.weights_child"


@dataclass(frozen=True)
class Contents:
    """What is in a file of weights, without its numbers; every number in it is finite."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]  # "float32", ...
    said: tuple[str, ...] = ()  # what was taken off: a nesting, a prefix
    metadata: tuple[tuple[str, str], ...] = ()  # of a safetensors file


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, and what is said about them."""

    tensors: dict[str, Tensor]
    contents: Contents


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file, on the CPU, under the keys of the network that wrote them.

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
        return Weights({key: tensors[key] for key in reply["tensors"]}, _contents(reply))


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
    return Contents(shapes, dtypes, tuple(reply["said"]), tuple(reply["metadata"].items()))


def differences(own: Mapping[str, Iterable[int]], given: Mapping[str, Iterable[int]]) -> tuple[Difference, ...]:
    """Return each key at which two state_dicts differ, from their shapes: the network's order, then what is left over.

    Empty when the given one can be loaded strictly.
    """
    wanted = {key: tuple(shape) for key, shape in own.items()}
    there = {key: tuple(shape) for key, shape in given.items()}
    keys = [*wanted, *(key for key in there if key not in wanted)]
    return tuple(Difference(key, wanted.get(key), there.get(key)) for key in keys if wanted.get(key) != there.get(key))
