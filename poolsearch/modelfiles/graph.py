"""The poolings of an ONNX graph as the graph says them; in a child, `python -m poolsearch.modelfiles.graph`.

The library onnx is optional and imported in the child only. No weights are loaded and nothing is computed but shapes. A
graph may keep its weights in another file: its name is read, and taken out of the graph before anything else is done
with it, so that nothing can open it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from poolsearch.errors import WeightsError, shortened
from poolsearch.modelfiles.confined import serve
from poolsearch.modelfiles.graph_around import Shape, Surroundings
from poolsearch.modelfiles.graph_nodes import row_of

_MOST = 100_000  # poolings in one graph
_MOST_NUMBERS = 1 << 50  # of one tensor in another file, whose size is not looked at
_SHORT = 64  # numbers of a constant that is read: axes, starts, steps
_KEPT = 1 << 12  # bytes of a constant that shapes may follow from


def opened(path: Path, into: Path | None = None) -> dict[str, Any]:
    """Return the poolings and the parameters of a graph, as plain values. Raises WeightsError."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError:
        raise WeightsError("is no ONNX graph, or is cut short.") from None
    elsewhere = _unlinked(model)
    graphs = [*_graphs(model.graph), *(graph for function in model.functions for graph in _graphs(function))]
    if model.ir_version < 1 or not any(len(graph.node) for graph in graphs):
        raise WeightsError("is no ONNX graph: it has no nodes.")
    tensors = [tensor for graph in graphs for tensor in _tensors(graph)]
    _check(tensors, path.stat().st_size, elsewhere)
    types = onnx.TensorProto.DataType
    bytes_of: dict[str, int] = {}
    for tensor in tensors:
        name = types.Name(tensor.data_type).lower() if tensor.data_type in types.values() else "unknown"
        bytes_of[name] = bytes_of.get(name, 0) + (_claimed(tensor) if id(tensor) in elsewhere else _bytes(tensor))
    around = _surroundings(model, graphs, tensors)
    rows = []
    for graph in graphs:
        for number, node in enumerate(graph.node):
            if row := row_of(node, number, around):
                rows.append(row)
            if len(rows) > _MOST:
                raise WeightsError(f"has more than {_MOST:,} poolings.")
    opsets = ", ".join(str(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx"))
    return {
        "poolings": rows,
        "parameters": sum(prod(tensor.dims) for tensor in tensors),
        "tensors": len(tensors),
        "dtypes": bytes_of,
        "notes": [f"Opset {opsets}.", *_files(tensors, elsewhere), *_passed_over(around)],
    }


def _graphs(graph: Any) -> Iterator[Any]:
    """Return a graph and the graphs inside it: the branches of an If, the body of a Loop."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _graphs(inner)


# ---------------------------------------------------------------------------------------------------------- tensors


def _messages(message: Any) -> Iterator[Any]:
    """Return a protobuf message and every message in it."""
    yield message
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for inner in value if kind.is_repeated else (value,):
                yield from _messages(inner)


def _unlinked(model: Any) -> dict[int, tuple[Any, str]]:
    """Take every name of another file out of a model; return the tensors that lie in one, by id, and its name."""
    found = {}
    for message in _messages(model):
        if message.DESCRIPTOR.name == "TensorProto" and (message.external_data or message.data_location):
            name = next((entry.value for entry in message.external_data if entry.key == "location"), "")
            message.ClearField("external_data")
            message.ClearField("data_location")
            found[id(message)] = (message, shortened(name))  # kept, so that its id is not given to another
    return found


def _tensors(graph: Any) -> list[Any]:
    """Return the initializers of a graph: its weights, and whatever else is constant in it."""
    found = list(getattr(graph, "initializer", ()))  # a function has none
    for sparse in getattr(graph, "sparse_initializer", ()):
        found += [sparse.values, sparse.indices]
    return found


def _check(tensors: list[Any], size: int, elsewhere: dict[int, tuple[Any, str]]) -> None:
    for tensor in tensors:
        here = id(tensor) not in elsewhere
        # the smallest type has a bit or more
        if min(tensor.dims, default=1) < 0 or (here and prod(tensor.dims) > 8 * size):
            raise WeightsError(f"has {size:,} bytes, fewer than its initializers claim.")
        if prod(tensor.dims) > _MOST_NUMBERS:
            raise WeightsError(f"claims more than {_MOST_NUMBERS:,} numbers for one tensor in another file.")


def _bytes(tensor: Any) -> int:
    """Return the bytes that a tensor takes in the file: as raw data, or as a list of numbers."""
    return len(tensor.raw_data) or tensor.ByteSize()


def _claimed(tensor: Any) -> int:
    """Return the bytes that a tensor takes in another file, by its shape and type."""
    from onnx import helper

    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError):
        width = 0
    return int(prod(tensor.dims) * width)


# ------------------------------------------------------------------------------------------------- what lies around


def _surroundings(model: Any, graphs: list[Any], tensors: list[Any]) -> Surroundings:
    weights = {tensor.name: tuple(tensor.dims) for tensor in tensors}
    numbers = {tensor.name: found for tensor in tensors if (found := _numbers(tensor)) is not None}
    makers: dict[str, Any] = {}
    takers: dict[str, list[Any]] = {}
    for graph in graphs:
        for node in graph.node:
            makers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                takers.setdefault(name, []).append(node)
            if node.op_type == "Constant" and node.output and (found := _constant(node)) is not None:
                numbers[node.output[0]] = found
    functions = frozenset((function.domain, function.name) for function in model.functions)
    return Surroundings(_shapes(model, tensors), weights, numbers, makers, takers, functions)


def _constant(node: Any) -> tuple[float, ...] | None:
    for attribute in node.attribute:
        if attribute.name == "value":
            return _numbers(attribute.t)
        if attribute.name in ("value_int", "value_float"):
            return (attribute.i or attribute.f,)
        if attribute.name in ("value_ints", "value_floats"):
            return tuple(attribute.ints or attribute.floats)[:_SHORT]
    return None


def _numbers(tensor: Any) -> tuple[float, ...] | None:
    """Return the numbers of a short tensor; None where it is long, of another type, or not in this file."""
    from onnx import TensorProto, numpy_helper

    types = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32)
    if tensor.data_type not in types or len(tensor.dims) > 1 or not 0 <= prod(tensor.dims) <= _SHORT:
        return None
    try:
        return tuple(numpy_helper.to_array(tensor).ravel().tolist())
    except (ValueError, TypeError):  # fewer numbers than its shape says
        return None


def _shapes(model: Any, tensors: list[Any]) -> dict[str, Shape]:
    """Return the shape of each value, as far as the graph says it or it follows; long weights lose their numbers."""
    from onnx import shape_inference

    for tensor in tensors:
        if len(tensor.raw_data) > _KEPT:
            tensor.ClearField("raw_data")
    with contextlib.suppress(Exception):  # whatever a broken graph makes it raise: what the graph itself says is left
        model = shape_inference.infer_shapes(model)
    found: dict[str, Shape] = {}
    for graph in _graphs(model.graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
                axes = value.type.tensor_type.shape.dim
                found[value.name] = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)
    return found


# ------------------------------------------------------------------------------------------------------ in sentences


def _files(tensors: list[Any], elsewhere: dict[int, tuple[Any, str]]) -> list[str]:
    """Return the sentence that says which weights are in other files."""
    apart = [tensor for tensor in tensors if id(tensor) in elsewhere]
    if not apart:
        return []
    names = list(dict.fromkeys(elsewhere[id(tensor)][1] for tensor in apart))
    listed = ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [f"The numbers of {len(apart)} of {len(tensors)} tensors are in {listed}, which is not opened."]


def _passed_over(around: Surroundings) -> list[str]:
    """Return what has no row in sentences, each with how often and by which operators."""
    kinds = (
        (around.passed, "shrinks the map, or may, and is", "shrink the map, or may, and are"),
        (around.partial, "reduces some axes of a map and is", "reduce some axes of a map and are"),
        (around.foreign, "belongs to another domain and is", "belong to other domains and are"),
    )
    return [
        f"{total} node{'s' * (total > 1)} {many if total > 1 else one} not looked into: {_listed(counts)}."
        for counts, one, many in kinds
        if (total := counts.total())
    ]


def _listed(counts: Counter[str]) -> str:
    first = counts.most_common(5)
    more = counts.total() - sum(number for _, number in first)
    return ", ".join(f"{shortened(name)} {number}" for name, number in first) + (f" and {more} more" if more else "")


if __name__ == "__main__":
    serve(opened)
