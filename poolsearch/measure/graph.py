"""The poolings of an ONNX graph as the graph says them; in a child, `python -m poolsearch.measure.graph`.

Attributes are those of the operators' definitions, opset 22 (onnx.ai/onnx/operators). The library onnx is optional and
imported in the child only; no weights are loaded, no shape inferred, nothing computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from poolsearch.confined import serve
from poolsearch.errors import PlanError, WeightsError
from poolsearch.plan import PoolSpec

WINDOWED = {"MaxPool": "max", "AveragePool": "avg", "LpPool": "lp"}
GLOBAL = {"GlobalAveragePool": "global-avg", "GlobalMaxPool": "global-max"}
_LONGEST = 200  # letters of a name that are kept
_MOST = 100_000  # poolings in one graph


def opened(path: Path, into: Path | None = None) -> dict[str, Any]:
    """Return the poolings and the parameters of a graph, as plain values. Raises WeightsError."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError:
        raise WeightsError("is no ONNX graph, or is cut short.") from None
    graphs = [*_graphs(model.graph), *(graph for function in model.functions for graph in _graphs(function))]
    if model.ir_version < 1 or not any(len(graph.node) for graph in graphs):
        raise WeightsError("is no ONNX graph: it has no nodes.")
    tensors = [tensor for graph in graphs for tensor in _tensors(graph)]
    _check(tensors, path.stat().st_size, onnx.TensorProto.EXTERNAL)
    kernels = {tensor.name: tuple(tensor.dims[2:]) for tensor in tensors}
    depths = {tensor.name: tensor.dims[1] for tensor in tensors if len(tensor.dims) > 2}
    rows = []
    for graph in graphs:
        for number, node in enumerate(graph.node):
            if row := _row(node, number, kernels, depths):
                rows.append(row)
            if len(rows) > _MOST:
                raise WeightsError(f"has more than {_MOST:,} poolings.")
    types = onnx.TensorProto.DataType
    bytes_of: dict[str, int] = {}
    for tensor in tensors:
        name = types.Name(tensor.data_type).lower() if tensor.data_type in types.values() else "unknown"
        bytes_of[name] = bytes_of.get(name, 0) + _bytes(tensor)
    return {
        "poolings": rows,
        "parameters": sum(prod(tensor.dims) for tensor in tensors),
        "tensors": len(tensors),
        "dtypes": bytes_of,
        "said": [f"Opset {', '.join(str(o.version) for o in model.opset_import if o.domain in ('', 'ai.onnx'))}."],
    }


def _graphs(graph: Any) -> Iterator[Any]:
    """Return a graph and the graphs inside it: the branches of an If, the body of a Loop."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _graphs(inner)


def _tensors(graph: Any) -> list[Any]:
    """Return the initializers of a graph: its weights, and whatever else is constant in it."""
    found = list(getattr(graph, "initializer", ()))  # a function has none
    for sparse in getattr(graph, "sparse_initializer", ()):
        found += [sparse.values, sparse.indices]
    return found


def _check(tensors: list[Any], size: int, external: int) -> None:
    for tensor in tensors:
        if tensor.data_location == external or tensor.external_data:
            raise WeightsError("keeps its weights in another file, which is not read. Save it as one file.")
        if min(tensor.dims, default=1) < 0 or prod(tensor.dims) > 8 * size:  # the smallest type has a bit or more
            raise WeightsError(f"has {size:,} bytes, fewer than its initializers claim.")


def _bytes(tensor: Any) -> int:
    """Return the bytes that a tensor takes in the file: as raw data, or as a list of numbers."""
    return len(tensor.raw_data) or tensor.ByteSize()


def _row(node: Any, number: int, kernels: dict[str, tuple[int, ...]], depths: dict[str, int]) -> dict[str, Any] | None:
    """Return what a node says when it is a pooling or a strided convolution."""
    operator = str(node.op_type)
    stride = _ints(node, "strides")
    pools = operator in WINDOWED or operator in GLOBAL
    if node.domain not in ("", "ai.onnx") or not (pools or (operator == "Conv" and max(stride, default=1) > 1)):
        return None
    weight = node.input[1] if len(node.input) > 1 else ""
    kernel = _ints(node, "kernel_shape") or (kernels.get(weight, ()) if operator == "Conv" else ())
    auto = _text(node, "auto_pad")
    row: dict[str, Any] = {
        "name": str(node.name or next(iter(node.output), "") or f"node {number}")[:_LONGEST],
        "does": operator,
        "kernel": kernel,
        "stride": stride or (1,) * len(kernel),  # ONNX: 1 along each axis unless said, not the kernel as in torch
        "padding": auto if auto not in ("", "NOTSET") else _pads_text(_pads(node)),
        "ceil": bool(_int(node, "ceil_mode")),
        "counted": bool(_int(node, "count_include_pad")) if operator == "AveragePool" else None,
    }
    try:
        row |= {"spec": str(_spec(node, row, auto, depths.get(weight))), "reason": ""}
    except (PlanError, WeightsError) as error:
        row |= {"spec": "", "reason": str(error)}
    return row


def _spec(node: Any, row: dict[str, Any], auto: str, depth: int | None) -> PoolSpec:
    """Return the PoolSpec that a node corresponds to. Raises with the reason when there is none."""
    operator, kernel = row["does"], row["kernel"]
    if operator in GLOBAL:
        return PoolSpec(GLOBAL[operator])
    if not kernel:
        raise WeightsError("The graph does not say its kernel.")
    pads = _pads(node)
    if len(row["stride"]) != len(kernel) or (pads and len(pads) != len(kernel)):
        raise WeightsError("Its kernel, strides and pads are of different lengths.")
    padding = {"SAME_UPPER": "same-upper", "SAME_LOWER": "same-lower"}.get(auto, pads if auto in ("", "NOTSET") else ())
    # with auto_pad the definition gives one output size, whether rounded up or not
    ceil = row["ceil"] and auto in ("", "NOTSET")
    kind = WINDOWED.get(operator) or _convolution(_int(node, "group") or 1, depth)
    return PoolSpec.of(
        kind, kernel, row["stride"], padding, _ints(node, "dilations"), ceil=ceil,
        counted=row["counted"] is not False, options={"norm": _number(node, "p", 2)} if kind == "lp" else None,
    )  # fmt: skip


def _convolution(groups: int, depth: int | None) -> str:
    if groups == 1:
        return "conv"
    if depth == 1:  # one input channel for each filter
        return "conv-depthwise"
    raise WeightsError(f"A convolution of {groups} groups has no PoolSpec: 'conv' mixes all channels.")


# ------------------------------------------------------------------------------------------------------- attributes


def _attribute(node: Any, name: str) -> Any:
    return next((one for one in node.attribute if one.name == name), None)


def _ints(node: Any, name: str) -> tuple[int, ...]:
    found = _attribute(node, name)
    return tuple(found.ints) if found is not None else ()


def _int(node: Any, name: str) -> int:
    found = _attribute(node, name)
    return int(found.i) if found is not None else 0


def _number(node: Any, name: str, default: float) -> float:
    found = _attribute(node, name)
    return default if found is None else float(found.i or found.f)  # a float before opset 2


def _text(node: Any, name: str) -> str:
    found = _attribute(node, name)
    return found.s.decode("utf-8", "replace")[:_LONGEST] if found is not None else ""


def _pads(node: Any) -> tuple[tuple[int, int], ...]:
    """Return (begin, end) of each axis; ONNX lists all beginnings, then all ends."""
    pads = _ints(node, "pads")
    half = len(pads) // 2
    return tuple(zip(pads[:half], pads[half:], strict=False))


def _pads_text(pads: tuple[tuple[int, int], ...]) -> str:
    if not any(number for pair in pads for number in pair):
        return ""
    return "x".join(f"{begin}:{end}" if begin != end else f"{begin}" for begin, end in pads)


if __name__ == "__main__":
    serve(opened)
