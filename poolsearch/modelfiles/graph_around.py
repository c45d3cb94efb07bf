"""What the rows of an ONNX graph are made from: a node's attributes, and what the graph around it says.

Attributes are those of the operators' definitions, opset 22 (onnx.ai/onnx/operators). A node is a protobuf message;
nothing here imports onnx or opens a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from poolsearch.errors import shortened
from poolsearch.plan.kinds import KINDS, by_operator

Shape = tuple[int | None, ...]  # None for an axis whose length the graph leaves open
Row = dict[str, Any]

OWN = ("", "ai.onnx")  # the domain of ONNX itself
CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "DeformConv": 1}  # and which input is the weight
_LONGEST = 200  # letters of a name that are kept


@dataclass(frozen=True)
class Surroundings:
    """What a node's row needs to know of the graph around it, by the names of values."""

    shapes: Mapping[str, Shape]
    weights: Mapping[str, tuple[int, ...]]  # shapes of the initializers
    numbers: Mapping[str, tuple[float, ...]]  # of what is constant and short: axes, starts, steps, scales
    makers: Mapping[str, Any]  # the node that a value comes from
    takers: Mapping[str, list[Any]]
    functions: frozenset[tuple[str, str]] = frozenset()  # domain and name of those that the model itself defines
    passed: Counter[str] = field(default_factory=Counter)  # operators that shrink a map, and have no row
    foreign: Counter[str] = field(default_factory=Counter)  # operators of other domains
    partial: Counter[str] = field(default_factory=Counter)  # reductions along some axes of a map


def windowed(operator: str) -> str:
    """Return the kind that an operator with a kernel and no weights computes, "" where none does."""
    kind = "" if operator in CONVOLUTIONS else by_operator(operator)
    return kind if kind and "kernel" in KINDS[kind].takes else ""


def row_for(
    node: Any, number: int, kernel: Iterable[int], stride: Iterable[int], spec: str = "", reason: str = ""
) -> Row:
    """Return the row of a node, named as the graph names it, else by its first result, else by its place."""
    name = str(node.name or next(iter(node.output), "") or f"node {number}")[:_LONGEST]
    does = str(node.op_type) if node.domain in OWN else f"{node.domain}.{node.op_type}"
    return {
        "name": name, "does": shortened(does), "kernel": tuple(kernel), "stride": tuple(stride), "padding": "",
        "ceil": False, "counted": None, "spec": spec, "reason": reason,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------- attributes


def _attribute(node: Any, name: str) -> Any:
    return next((one for one in node.attribute if one.name == name), None)


def ints(node: Any, name: str) -> tuple[int, ...]:
    """Return an attribute that is a list of whole numbers; () where it is not given."""
    found = _attribute(node, name)
    return tuple(found.ints) if found is not None else ()


def integer(node: Any, name: str) -> int:
    """Return an attribute that is a whole number; 0 where it is not given."""
    found = _attribute(node, name)
    return int(found.i) if found is not None else 0


def number_of(node: Any, name: str, default: float) -> float:
    """Return an attribute that is a number."""
    found = _attribute(node, name)
    return default if found is None else float(found.i or found.f)  # a float before opset 2


def text(node: Any, name: str) -> str:
    """Return an attribute that is a text; "" where it is not given."""
    found = _attribute(node, name)
    return found.s.decode("utf-8", "replace")[:_LONGEST] if found is not None else ""


def pads_of(node: Any) -> tuple[tuple[int, int], ...]:
    """Return (begin, end) of each axis; ONNX lists all beginnings, then all ends."""
    pads = ints(node, "pads")
    half = len(pads) // 2
    return tuple(zip(pads[:half], pads[half:], strict=False))


def pads_text(pads: tuple[tuple[int, int], ...]) -> str:
    """Return padding as text, "0:1x0:1" (begin and end of each axis), "1" where they are alike; "" for none."""
    if not any(number for pair in pads for number in pair):
        return ""
    return "x".join(f"{begin}:{end}" if begin != end else f"{begin}" for begin, end in pads)
