"""What each recorded call does to height and width: the rule by which the sizes of its result follow from its input's.

Found from recorded shapes alone, so that a replay needs neither the model nor torch. A tensor may carry its map where
its shape does not show it: flattened, permuted, or split into groups of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from poolsearch.surgery.trace import Call, SizedCall, SizeRule

Axes = tuple[int, int]

_REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "std", "var", "logsumexp"}
_VIEWS = {
    "view", "reshape", "flatten", "unflatten", "contiguous", "squeeze", "unsqueeze", "expand", "repeat", "roll",
    "expand_as", "view_as", "reshape_as",
}  # fmt: skip
_TURNS = {"permute", "transpose", "swapaxes", "movedim"}
ATTENTION = {"matmul", "bmm", "__matmul__", "einsum", "scaled_dot_product_attention", "multi_head_attention_forward"}


def propagate(calls: Sequence[Call]) -> tuple[SizedCall, ...]:
    """Return the calls with their size rule, the map they carry, and where it stands in their shape."""
    done: list[SizedCall] = []
    for call in calls:
        if call.op == "input":
            done.append(_sized(call, "input", 0, (call.shape[-2], call.shape[-1])))
        else:
            done.append(_propagated(call, done))
    return tuple(done)


def _sized(
    call: Call,
    rule: SizeRule,
    source: int,
    map: tuple[int, ...],
    axes: Axes | None = (-2, -1),
    flattened: int | None = None,
    gates: tuple[int, ...] = (),
    **changed: object,
) -> SizedCall:
    recorded = {**call.__dict__, **changed}
    return SizedCall(
        **recorded, size_rule=rule, size_from=source, map=(map[0], map[1]), spatial_axes=axes,
        flattened_axis=flattened, gates=gates,
    )  # fmt: skip


def _propagated(call: Call, done: list[SizedCall]) -> SizedCall:
    first = call.inputs[0]
    x, shape = done[first], call.shape
    axes, flattened = x.spatial_axes, x.flattened_axis
    if call.window is not None and len(shape) == len(x.shape) == 4:
        return _windowed(call, x)
    if call.target and len(shape) == 4:
        return _sized(call, "fixed", first, call.target)
    if call.op in _REDUCTIONS and call.dims and axes:
        return _reduced(call, x, axes)
    if call.op == "pad" and axes == (-2, -1):
        keeps = shape[-2:] == x.map or call.type.endswith("Same")
        return _sized(call, "same", first, x.map) if keeps else _sized(call, "grow", first, shape[-2:])
    if call.op == "__getitem__" and axes and len(shape) == len(x.shape) and _at(shape, axes) != x.map:
        cut = _at(shape, axes)
        if max(call.dims, default=1) > 1:
            return _sized(call, "step", first, cut, axes)
        ends = tuple((0, now - before) for now, before in zip(cut, x.map, strict=True))
        return _sized(call, "grow", first, cut, axes, grow=ends)
    if call.op in _TURNS and (axes or flattened is not None):
        return _turned(call, x)
    if call.op == "linear":  # it takes the last axis for itself
        kept = flattened if flattened is not None and flattened < len(shape) - 1 else None
        return _sized(call, "same", first, x.map, axes if axes and axes[1] < -1 else None, kept)
    if call.op in ATTENTION:
        others = tuple(i for i in call.inputs if done[i].map != x.map)  # keys and values of a smaller map
        return _sized(call, "same", first, x.map, None, flattened if call.shape == x.shape else None, others)
    if len(call.inputs) > 1:
        return _joined(call, done)
    if call.op in _VIEWS or len(shape) != len(x.shape):
        return _viewed(call, x)
    if axes and _at(shape, axes) != x.map:
        return _sized(call, "ratio", first, _at(shape, axes), axes)
    # a token put before the others ends what goes with the map's area
    kept = flattened if flattened is not None and shape[flattened] == x.shape[flattened] else None
    return _sized(call, "same", first, x.map, axes, kept)


def _at(shape: tuple[int, ...], axes: Axes) -> tuple[int, int]:
    return shape[axes[0]], shape[axes[1]]


def _windowed(call: Call, x: SizedCall) -> SizedCall:
    out, win, first = (call.shape[-2], call.shape[-1]), call.window, call.inputs[0]
    assert win is not None
    # weights that follow from the map (CondConv) scale it as a whole: their own size is none
    gates = tuple(i for i in call.inputs[1:] if i != first)
    rule: SizeRule = "ceil" if call.type.endswith("Same") else "window"
    if x.spatial_axes != (-2, -1) or (x.shape[-2:] != x.map and not call.type.endswith("Same") and x.op != "pad"):
        rule = "ratio"  # reached through a reshape: only its ratio is known
    elif max(win.stride) == 1 and out == x.map:
        rule = "same"
    return _sized(call, rule, first, out, gates=gates)


def _reduced(call: Call, x: SizedCall, axes: Axes) -> SizedCall:
    first, count = call.inputs[0], len(x.shape)
    dims = {d % count - count for d in call.dims}
    kept = axes if call.keepdim else None
    if set(axes) <= dims:
        return _sized(call, "fixed", first, (1, 1), kept, target=(1, 1))
    if dims & set(axes):  # along one axis alone, as in coordinate attention: a map, but no site
        return _sized(call, "ratio", first, _at(call.shape, axes) if call.keepdim else (1, 1), kept)
    height, width = (axis + sum(d > axis for d in dims) for axis in axes)
    return _sized(call, "same", first, x.map, kept or (height, width))


def _turned(call: Call, x: SizedCall) -> SizedCall:
    count = len(x.shape)
    order = list(range(count))
    dims = [d % count for d in call.dims]
    if call.op == "permute":
        order = dims
    elif len(dims) == 2:
        order[dims[0]], order[dims[1]] = order[dims[1]], order[dims[0]]
    flattened = order.index(x.flattened_axis % count) if x.flattened_axis is not None else None
    axes = None
    if x.spatial_axes is not None:
        height, width = (order.index(axis % count) - count for axis in x.spatial_axes)
        axes = height, width
    return _sized(call, "same", call.inputs[0], x.map, axes, flattened)


def _viewed(call: Call, x: SizedCall) -> SizedCall:
    """Find height and width in another shape of the same numbers; else the axis that they are flattened into."""
    axes, flattened = _in_view(call, x)
    return _sized(call, "same", call.inputs[0], x.map, axes, flattened)


def _in_view(call: Call, x: SizedCall) -> tuple[Axes | None, int | None]:
    shape, axes = call.shape, x.spatial_axes
    if prod(shape) == prod(x.shape) or call.op in ("expand", "repeat", "expand_as"):
        tail = prod(x.shape[axes[1] % len(x.shape) + 1 :]) if axes and axes[1] == axes[0] + 1 else None
        for axis in range(len(shape) - 1):
            here = shape[axis : axis + 2] == x.map and (x.map != (1, 1) or axes is not None)
            if here and (tail is None or prod(shape[axis + 2 :]) == tail):
                return (axis - len(shape), axis + 1 - len(shape)), None
    area = prod(x.map)
    if area == 1:
        return None, None
    exact = [axis for axis in range(1, len(shape)) if shape[axis] == area]
    multiple = [axis for axis in range(1, len(shape)) if shape[axis] % area == 0]
    return None, next(iter(exact or multiple), None)


def _joined(call: Call, done: list[SizedCall]) -> SizedCall:
    """A sum, a product, a concatenation: the largest map leads; what is smaller only scales or shifts it."""
    with_map = [i for i in call.inputs if done[i].spatial_axes]
    if with_map:
        lead = max(with_map, key=lambda i: (len(done[i].shape) == len(call.shape), prod(done[i].map)))
    else:
        lead = max(call.inputs, key=lambda i: prod(done[i].shape))
    x = done[lead]
    gates = tuple(i for i in call.inputs if done[i].map != x.map)
    if not with_map:  # a token put before the others ends what goes with the map's area
        flattened = x.flattened_axis if x.shape == call.shape else None
        return _sized(call, "same", lead, x.map, None, flattened, gates)
    axes = x.spatial_axes
    if not (axes and len(x.shape) == len(call.shape) and _at(call.shape, axes) == x.map):
        axes = (-2, -1) if call.shape[-2:] == x.map else None  # stacked
    return _sized(call, "same", lead, x.map, axes, gates=gates)
