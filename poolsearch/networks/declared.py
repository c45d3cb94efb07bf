"""Networks that other installed packages declare, by the entry point group `poolsearch.backbones`.

    [project.entry-points."poolsearch.backbones"]
    tutorial = "nets.models:tutorial"

The function takes the number of classes and returns a torch.nn.Module. Its attribute `size`, where it has one, is the
input it is made for, (channels, height, width); else that is 3x224x224. Names are read from what is installed; nothing
is imported before such a network is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions
from typing import Any

import torch
from torch import nn

from poolsearch.errors import PlanError, kind_of
from poolsearch.plan import Plan

GROUP = "poolsearch.backbones"
_SIZE = (3, 224, 224)


@dataclass(frozen=True)
class Declared:
    """A network that a package declares; called as every builder is, with the channels and the number of classes."""

    name: str
    package: str  # its name and version
    function: str  # "nets.models:tutorial"

    def __str__(self) -> str:
        return f"'{self.function}' of the package {self.package}"

    @property
    def module(self) -> str:
        """Return the module that the function is in."""
        return self.function.partition(":")[0].strip()

    def expression(self, classes: int) -> str:
        """Return the Python that builds the network where its module is imported."""
        return f"{self.function.partition('[')[0].strip().replace(':', '.')}({classes})"

    def loaded(self) -> Callable[[int], Any]:
        """Return the function that builds the network. Raises PlanError where it can't be imported."""
        try:
            function = EntryPoint(self.name, self.function, GROUP).load()
        except (Exception, SystemExit) as error:  # whatever runs when the package is imported
            raise PlanError(self._refusal("can't be imported", error)) from None
        if not callable(function):
            raise PlanError(f"The backbone '{self.name}' is no function of the classes: {self} is {kind_of(function)}.")
        called: Callable[[int], Any] = function
        return called

    @property
    def size(self) -> tuple[int, int, int]:
        """Return the input that the network is made for: channels, height, width. Raises PlanError."""
        size = getattr(self.loaded(), "size", _SIZE)
        if isinstance(size, Sequence) and len(size) == 3 and all(isinstance(n, int) and 1 <= n <= 4096 for n in size):
            return size[0], size[1], size[2]
        raise PlanError(
            f"The backbone '{self.name}' has no input size: the attribute size of {self} is {size!r}. "
            "Write (channels, height, width), each from 1 to 4096."
        )

    def __call__(self, channels: int, classes: int) -> nn.Module:
        """Return the network with so many classes. Raises PlanError where the package's function does not."""
        function = self.loaded()
        try:
            network = function(classes)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise PlanError(self._refusal("can't be built", error)) from None
        if not isinstance(network, nn.Module):
            raise PlanError(f"The backbone '{self.name}' is no torch.nn.Module: {self} returns {kind_of(network)}.")
        return network

    def _refusal(self, what: str, error: BaseException) -> str:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return f"The backbone '{self.name}' {what}: {self} raises {reason.rstrip('.')}."


@cache
def declared() -> dict[str, tuple[Declared, ...]]:
    """Return what installed packages declare, by name: more than one where several take the same name."""
    found: dict[str, dict[str, Declared]] = {}
    for package in distributions():
        try:
            entries = package.entry_points.select(group=GROUP)
            ones = [Declared(entry.name, f"{package.name} {package.version}", entry.value) for entry in entries]
        except Exception:  # its files can't be read: that is for whoever installs it, and other names stay known
            continue
        for one in ones:
            with suppress(PlanError):  # a name that no Plan can have
                found.setdefault(Plan(one.name, _SIZE).backbone, {})[one.function] = one  # may be on the path twice
    return {name: tuple(ones.values()) for name, ones in found.items()}
