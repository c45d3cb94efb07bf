"""The one door to torchvision: every import of it goes through `models()`.

Beside a CPU-only torch, PyPI's torchvision fails at import ("operator torchvision::nms does not exist"), because its
compiled extension wants CUDA. Declaring the two missing operator schemas first is enough for what is used here:
the networks are plain Python over torch.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from types import ModuleType

import torch

_MISSING = ("nms", "qnms")
_library: list[torch.library.Library] = []  # a Library forgets its operators when it is collected


def needs_shim() -> bool:
    """Return whether torchvision's compiled operators have to be declared by hand (CPU-only torch)."""
    return not torch.version.cuda and not torch.backends.mps.is_built()


@cache
def models() -> ModuleType:
    """Return torchvision.models, importable beside any torch."""
    if needs_shim() and not _library:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in _MISSING:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _library.append(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Failed to load image Python extension": images come through Pillow here
        return importlib.import_module("torchvision.models")
