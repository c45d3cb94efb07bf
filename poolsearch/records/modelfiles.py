"""What is in a model file, as frozen records: its poolings, its sizes, and the keys that do not fit a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """One key of a checkpoint that does not fit: the shape the network has, the shape the file has."""

    key: str
    wanted: tuple[int, ...] | None  # None: the network has no such key
    given: tuple[int, ...] | None  # None: the file has none


@dataclass(frozen=True)
class PoolingRow:
    """One pooling, or strided convolution, of a model file or backbone."""

    name: str  # of the site and its layer, or of the node in a graph
    does: str  # as the model says it: "max k3 s2 p1", or the operator of a graph
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str  # "1", "0:1x0:1" (begin and end of each axis), "SAME_UPPER"; empty where there is none
    spec: str  # text of the PoolSpec it corresponds to
    reason: str = ""  # why there is none
    ceil: bool = False
    counted: bool | None = None  # None where nothing is averaged
    before: tuple[int, int] | None = None  # height and width that enter, in pixels
    after: tuple[int, int] | None = None


@dataclass(frozen=True)
class Inventory:
    """What is in a model file, or in a backbone by name."""

    name: str
    format: Literal["backbone", "safetensors", "torch", "onnx"]
    plan: str = ""  # the network it was read as; empty when that is not known
    poolings: tuple[PoolingRow, ...] | None = None  # None: the keys alone do not say
    parameters: int = 0
    macs: int | None = None
    bytes: int | None = None  # of the file
    tensors: int = 0
    dtypes: tuple[tuple[str, int], ...] = ()  # bytes of the tensors of each type
    keys: tuple[str, ...] = ()  # the first and the last
    notes: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class FileRow:
    """One model file of a folder."""

    name: str
    format: str
    poolings: int | None
    parameters: int | None
    bytes: int
    problem: str = ""
