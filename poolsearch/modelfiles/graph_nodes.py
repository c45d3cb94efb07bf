"""One node of an ONNX graph as a row of the inventory, or counted where it shrinks a map and no row says how."""

from __future__ import annotations

from typing import Any

from poolsearch.errors import PlanError, WeightsError, shortened
from poolsearch.modelfiles.graph_around import (
    CONVOLUTIONS,
    OWN,
    Row,
    Surroundings,
    integer,
    ints,
    number_of,
    pads_of,
    pads_text,
    row_for,
    text,
    windowed,
)
from poolsearch.modelfiles.graph_maps import READERS, reduction
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS, by_operator, convolution

GLOBAL = ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")


def row_of(node: Any, number: int, around: Surroundings) -> Row | None:
    """Return the row of a node that is a pooling or a strided convolution; else count it where it may shrink a map."""
    operator = str(node.op_type)
    if node.domain not in OWN:
        return None if (node.domain, operator) in around.functions else _foreign(node, number, around)
    if windowed(operator) or operator in GLOBAL or operator in CONVOLUTIONS:
        return _pooling(node, number, around)
    if operator.startswith("Reduce"):
        return reduction(node, number, around)
    reader = READERS.get(operator)
    return reader(node, number, around) if reader else None


# ----------------------------------------------------------------------------------------- windows and convolutions


def _pooling(node: Any, number: int, around: Surroundings) -> Row | None:
    operator, stride = str(node.op_type), ints(node, "strides")
    place = CONVOLUTIONS.get(operator)
    if place is not None and max(stride, default=1) <= 1:
        return None
    weight = around.weights.get(node.input[place], ()) if place is not None and len(node.input) > place else ()
    kernel = ints(node, "kernel_shape") or weight[2:]
    auto = text(node, "auto_pad")
    # ONNX: a stride of 1 along each axis unless given, not the kernel as in torch
    row = row_for(node, number, kernel, stride or (1,) * len(kernel)) | {
        "padding": auto if auto not in ("", "NOTSET") else pads_text(pads_of(node)),
        "ceil": bool(integer(node, "ceil_mode")),
        "counted": bool(integer(node, "count_include_pad")) if operator == "AveragePool" else None,
    }
    try:
        return row | {"spec": str(_spec(node, row, auto, weight[1] if len(weight) > 2 else None))}
    except PlanError as error:  # its advice is for who writes a Plan: this layer is as it should be
        return row | {"reason": f"No PoolSpec says it. {str(error).partition('. ')[0].removesuffix('.')}."}
    except WeightsError as error:
        return row | {"reason": str(error)}


def _spec(node: Any, row: Row, auto: str, depth: int | None) -> PoolSpec:
    """Return the PoolSpec that a node corresponds to. Raises with the reason when there is none."""
    operator, kernel = row["does"], row["kernel"]
    if operator == "GlobalLpPool":
        exponent = number_of(node, "p", 2)
        raise WeightsError(
            f"The {exponent:g}-norm of a whole map has no PoolSpec: 'gem' takes a mean where it has a sum."
        )
    if operator in GLOBAL:
        return PoolSpec(by_operator(operator))
    if operator == "DeformConv":
        raise WeightsError("A convolution whose taps move has no PoolSpec.")
    if not kernel:
        raise WeightsError("The graph does not say its kernel.")
    pads = pads_of(node)
    if len(row["stride"]) != len(kernel) or (pads and len(pads) != len(kernel)):
        raise WeightsError("Its kernel, strides and pads are of different lengths.")
    padding = {"SAME_UPPER": "same-upper", "SAME_LOWER": "same-lower"}.get(auto, pads if auto in ("", "NOTSET") else ())
    # with auto_pad the definition gives one output size, whether rounded up or not
    ceil = row["ceil"] and auto in ("", "NOTSET")
    kind = windowed(operator) or _convolution(integer(node, "group") or 1, depth)
    options = {"norm": number_of(node, "p", 2)} if KINDS[kind].option("norm") else None
    return PoolSpec.of(
        kind, kernel, row["stride"], padding, ints(node, "dilations"), ceil=ceil,
        counted=row["counted"] is not False, options=options,
    )  # fmt: skip


def _convolution(groups: int, depth: int | None) -> str:
    if groups == 1:
        return convolution()
    if depth == 1:  # one input channel for each filter
        return convolution(depthwise=True)
    raise WeightsError(f"A convolution of {groups} groups has no PoolSpec: 'conv' mixes all channels.")


def _foreign(node: Any, number: int, around: Surroundings) -> Row | None:
    """Return the row of another domain's operator that is a pooling by its name or strides; count any other."""
    stride = ints(node, "strides")
    if "pool" not in str(node.op_type).lower() and max(stride, default=1) <= 1:
        around.foreign[f"{node.domain}.{node.op_type}"] += 1
        return None
    reason = f"Only the domain '{shortened(str(node.domain))}' says what it does; it is not looked into."
    row = row_for(node, number, ints(node, "kernel_shape"), stride, reason=reason)
    return row | {"padding": pads_text(pads_of(node)), "ceil": bool(integer(node, "ceil_mode"))}
