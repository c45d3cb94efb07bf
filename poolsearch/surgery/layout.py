"""What each recorded call does to height and width: the law by which the sizes of its result follow from its input's.

Found from recorded shapes alone, so that a replay needs neither the model nor torch. A tensor may carry its map where
its shape does not show it: flattened, permuted, or split into groups of channels.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from poolsearch.surgery.trace import Call

_REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "std", "var", "logsumexp"}
_VIEWS = {
    "view", "reshape", "flatten", "unflatten", "contiguous", "squeeze", "unsqueeze", "expand", "repeat", "roll",
    "expand_as", "view_as", "reshape_as",
}  # fmt: skip
_TURNS = {"permute", "transpose", "swapaxes", "movedim"}
ATTENTION = {"matmul", "bmm", "__matmul__", "einsum", "scaled_dot_product_attention", "multi_head_attention_forward"}


def laid(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Return the calls with their law, the map they carry, and where it stands in their shape."""
    done: list[Call] = []
    for call in calls:
        if call.op == "input":
            done.append(replace(call, map=(call.shape[-2], call.shape[-1])))
        else:
            done.append(replace(call, **_laid(call, done)))
    return tuple(done)


def _laid(call: Call, done: list[Call]) -> dict[str, Any]:
    first = call.inputs[0]
    x = done[first]
    shape, same = call.shape, {"law": "same", "follows": first, "map": x.map}
    spatial = len(shape) == 4 and len(x.shape) == 4
    if call.window is not None and spatial:
        # weights that follow from the map (CondConv) scale it as a whole: their own size is none
        return {**_windowed(call, x, first), "gates": tuple(i for i in call.inputs[1:] if i != first)}
    if call.target and len(shape) == 4:
        return {"law": "fixed", "map": call.target, "follows": first}
    if call.op in _REDUCTIONS and call.dims and x.lay:
        return _reduced(call, x, same)
    if call.op == "pad" and x.lay == (-2, -1):
        if shape[-2:] == x.map or call.type.endswith("Same"):
            return {**same, "lay": x.lay}
        return {"law": "grow", "map": shape[-2:], "follows": first}
    if call.op == "__getitem__" and x.lay and len(shape) == len(x.shape) and _at(shape, x.lay) != x.map:
        cut = _at(shape, x.lay)
        if max(call.dims, default=1) > 1:
            return {"law": "step", "map": cut, "lay": x.lay, "follows": first}
        ends = tuple((0, now - before) for now, before in zip(cut, x.map, strict=True))
        return {"law": "grow", "grow": ends, "map": cut, "lay": x.lay, "follows": first}
    if call.op in _TURNS and (x.lay or x.flat is not None):
        return {**same, **_turned(call, x)}
    if call.op == "linear":
        kept = x.flat if x.flat is not None and x.flat < len(shape) - 1 else None
        return {**same, "lay": x.lay if x.lay and x.lay[1] < -1 else None, "flat": kept}
    if call.op in ATTENTION:
        others = tuple(i for i in call.inputs if done[i].map != x.map)  # keys and values of a smaller map
        return {**same, "lay": None, "flat": x.flat if call.shape == x.shape else None, "gates": others}
    if len(call.inputs) > 1:
        return _joined(call, done)
    if call.op in _VIEWS or len(shape) != len(x.shape):
        return {**same, **_viewed(call, x)}
    if x.lay and _at(shape, x.lay) != x.map:
        return {"law": "ratio", "map": _at(shape, x.lay), "lay": x.lay, "follows": first}
    # a token put before the others ends what goes with the map's area
    kept = x.flat is not None and shape[x.flat] == x.shape[x.flat]
    return {**same, "lay": x.lay, "flat": x.flat if kept else None}


def _at(shape: tuple[int, ...], lay: tuple[int, int]) -> tuple[int, int]:
    return shape[lay[0]], shape[lay[1]]


def _windowed(call: Call, x: Call, first: int) -> dict[str, Any]:
    out, win = (call.shape[-2], call.shape[-1]), call.window
    assert win is not None
    if x.lay != (-2, -1) or (x.shape[-2:] != x.map and not call.type.endswith("Same") and x.op != "pad"):
        return {"law": "ratio", "map": out, "follows": first}  # reached through a reshape: only its ratio is known
    if max(win.stride) == 1 and out == x.map:
        return {"law": "same", "map": out, "follows": first}
    return {"law": "ceil" if call.type.endswith("Same") else "window", "map": out, "follows": first}


def _reduced(call: Call, x: Call, same: dict[str, Any]) -> dict[str, Any]:
    axes = len(x.shape)
    dims = {d % axes - axes for d in call.dims}
    assert x.lay is not None
    if set(x.lay) <= dims:
        return {
            "law": "fixed", "map": (1, 1), "target": (1, 1), "lay": x.lay if call.keepdim else None,
            "follows": same["follows"],
        }  # fmt: skip
    if dims & set(x.lay):  # along one axis alone, as in coordinate attention: a map, but no site
        return {"law": "ratio", "map": _at(call.shape, x.lay) if call.keepdim else (1, 1),
                "lay": x.lay if call.keepdim else None, "follows": same["follows"]}  # fmt: skip
    lay = x.lay if call.keepdim else tuple(axis + sum(d > axis for d in dims) for axis in x.lay)
    return {**same, "lay": lay}


def _turned(call: Call, x: Call) -> dict[str, Any]:
    axes = len(x.shape)
    order = list(range(axes))
    dims = [d % axes for d in call.dims]
    if call.op == "permute":
        order = dims
    elif len(dims) == 2:
        order[dims[0]], order[dims[1]] = order[dims[1]], order[dims[0]]
    flat = order.index(x.flat % axes) if x.flat is not None else None
    if x.lay is None:
        return {"lay": None, "flat": flat}
    return {"lay": tuple(order.index(axis % axes) - axes for axis in x.lay), "flat": flat}


def _viewed(call: Call, x: Call) -> dict[str, Any]:
    """Find height and width in another shape of the same numbers; else the axis that they are flattened into."""
    shape, numel = call.shape, prod(call.shape)
    if numel == prod(x.shape) or call.op in ("expand", "repeat", "expand_as"):
        tail = prod(x.shape[x.lay[1] % len(x.shape) + 1 :]) if x.lay and x.lay[1] == x.lay[0] + 1 else None
        for axis in range(len(shape) - 1):
            found = shape[axis : axis + 2] == x.map and (x.map != (1, 1) or x.lay is not None)
            if found and (tail is None or prod(shape[axis + 2 :]) == tail):
                return {"lay": (axis - len(shape), axis + 1 - len(shape)), "flat": None}
    area = prod(x.map)
    if area == 1:
        return {"lay": None, "flat": None}
    exact = [axis for axis in range(1, len(shape)) if shape[axis] == area]
    multiple = [axis for axis in range(1, len(shape)) if shape[axis] % area == 0]
    return {"lay": None, "flat": next(iter(exact or multiple), None)}


def _joined(call: Call, done: list[Call]) -> dict[str, Any]:
    """A sum, a product, a concatenation: the largest map leads; what is smaller only scales or shifts it."""
    with_map = [i for i in call.inputs if done[i].lay]
    if not with_map:
        lead = max(call.inputs, key=lambda i: prod(done[i].shape))
        same = done[lead]
        flat = same.flat if same.shape == call.shape else None  # a token put before the others ends it
        gates = tuple(i for i in call.inputs if done[i].map != same.map)
        return {"law": "same", "follows": lead, "map": same.map, "lay": None, "flat": flat, "gates": gates}
    lead = max(with_map, key=lambda i: (len(done[i].shape) == len(call.shape), prod(done[i].map)))
    x = done[lead]
    gates = tuple(i for i in call.inputs if done[i].map != x.map)
    lay = x.lay if x.lay and len(x.shape) == len(call.shape) and _at(call.shape, x.lay) == x.map else None
    if lay is None and call.shape[-2:] == x.map:  # stacked
        lay = (-2, -1)
    return {"law": "same", "follows": lead, "map": x.map, "lay": lay, "gates": gates}
