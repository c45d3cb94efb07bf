"""Replay a trace in whole numbers: every size, and the receptive field, for any input size. No model, no tensors."""

from __future__ import annotations

from math import inf, prod

from poolsearch.errors import SiteError, WindowError
from poolsearch.plan.windows import Field, pooled_size, seen_through
from poolsearch.surgery.layout import ATTENTION
from poolsearch.surgery.trace import SizedCall, Trace

Shape = tuple[int, ...]
Map = tuple[int, int]


def sizes(trace: Trace, size: tuple[int, int, int]) -> list[Shape]:
    """Return the shape of every call's result for one input of (channels, height, width).

    Raises SiteError where branches no longer meet, a map is empty, or a fixed layer gets another size.
    """
    maps: list[Map] = []
    shapes: list[Shape] = []
    for call in trace.calls:
        if call.op == "input":
            maps.append((size[1], size[2]))
            shapes.append((1, *size))
            continue
        found = _map(call, maps, trace)
        _must_meet(call, found, maps, trace)
        shape = _shape(call, found)
        if call.op == "linear":
            _must_fit(call, shapes[call.inputs[0]], trace)
        maps.append(found)
        shapes.append(shape)
    return shapes


def _map(call: SizedCall, maps: list[Map], trace: Trace) -> Map:
    """Return height and width of a call's result."""
    x = maps[call.inputs[0]]
    if call.spec is not None:
        try:
            height, width = pooled_size(call.spec, x)
        except WindowError as error:
            raise SiteError(f"Site '{call.site}': {error}") from None
        return height, width
    if call.size_rule == "same":
        return maps[call.size_from]
    if call.size_rule == "fixed":
        return call.target[0], call.target[1]
    if call.size_rule == "window":
        return _windowed(call, x, trace)
    before = trace.calls[call.inputs[0]].map
    if call.size_rule == "ceil":
        assert call.window is not None
        found = tuple(-(-n // s) for n, s in zip(x, call.window.stride, strict=True))
    elif call.size_rule == "grow":
        found = tuple(n + begin + end for n, (begin, end) in zip(x, call.grow, strict=True))
    elif call.size_rule == "step":
        step = max(call.dims, default=1)
        pairs = zip(x, call.map, before, strict=True)
        found = tuple(-(-n // step) if now != was else n for n, now, was in pairs)
    else:  # ratio
        pairs = zip(x, call.map, before, strict=True)
        found = tuple(max(1, round(n * now / was)) for n, now, was in pairs)
    if min(found) < 1:
        raise SiteError(f"{_place(call, trace)} ({call.op}) leaves nothing of the {x[0]}x{x[1]} map that reaches it.")
    return found[0], found[1]


def _windowed(call: SizedCall, x: Map, trace: Trace) -> Map:
    assert call.window is not None
    out = call.window.output(x)
    if min(out) < 1:
        kernel = "x".join(map(str, call.window.kernel))
        raise SiteError(
            f"{_place(call, trace)} has a kernel of {kernel}, larger than the {x[0]}x{x[1]} map that reaches it."
        )
    return out[0], out[1]


def _shape(call: SizedCall, found: Map) -> Shape:
    """Return the recorded shape with height and width as they are now."""
    shape = list(call.shape)
    if call.spatial_axes:
        shape[call.spatial_axes[0]], shape[call.spatial_axes[1]] = found
    elif call.flattened_axis is not None:
        shape[call.flattened_axis] = shape[call.flattened_axis] // prod(call.map) * prod(found)
    return tuple(shape)


def _must_fit(call: SizedCall, x: Shape, trace: Trace) -> None:
    if x[-1] != call.weight[1]:
        raise SiteError(
            f"{_place(call, trace)} is fully connected and takes exactly {call.weight[1]} numbers, "
            f"but {x[-1]} reach it."
        )


def _must_meet(call: SizedCall, found: Map, maps: list[Map], trace: Trace) -> None:
    """Refuse a sum or concatenation of maps of different size, and one with a tensor of fixed size."""
    branches = [maps[i] for i in call.inputs if i not in call.gates] if len(call.inputs) > 1 else []
    if len(set(branches)) > 1:
        got = " and ".join(sorted({f"{height}x{width}" for height, width in branches}))
        raise SiteError(f"The branches that meet at {_place(call, trace)} are {got} pixels; they must be equal.")
    if found != call.map and call.spatial_axes and not call.window and call.op not in ("batch_norm", "prelu"):
        for shape in call.outside:
            fixed = len(shape) >= -call.spatial_axes[0] and call.map_in(shape)
            if fixed == call.map and fixed != (1, 1):
                raise SiteError(
                    f"{_place(call, trace)} adds a tensor of {fixed[0]}x{fixed[1]} pixels, "
                    f"but a map of {found[0]}x{found[1]} reaches it."
                )


def _place(call: SizedCall, trace: Trace) -> str:
    return f"Layer {call.path} of {trace.backbone}" if call.path else trace.backbone


def fields(trace: Trace, shapes: list[Shape]) -> list[Field]:
    """Return the receptive field of every call's result along the height, in input pixels.

    Counts what a unit can see in principle; gates that scale a whole map are not in it.
    """
    seen: list[Field] = []
    for call in trace.calls:
        if not call.inputs:
            seen.append(Field())
            continue
        branches = [i for i in call.inputs if i not in call.gates] or list(call.inputs)
        field = seen[branches[0]]
        for other in branches[1:]:
            field = field.join(seen[other])
        seen.append(_through(call, field, shapes[call.inputs[0]], trace))
    return seen


def _through(call: SizedCall, field: Field, x: Shape, trace: Trace) -> Field:
    if call.spec is not None:
        return seen_through(call.spec, field, x[2:])
    if call.window is not None:
        win = call.window
        return field.through(win.kernel[0], win.stride[0], win.padding[0][0], win.dilation[0])
    if call.size_rule == "fixed" and call.target != (1, 1):  # bins of about n / target pixels
        return field.through(-(-x[2] // call.target[0]), max(1, x[2] // call.target[0]))
    mixed = (
        call.op in ATTENTION or call.flattened_axis is None
    )  # tokens see what their pixels saw, until they attend to others
    if call.size_rule == "fixed" or (call.spatial_axes is None and call.map != (1, 1) and mixed):
        return Field(inf, -inf, inf)
    if call.size_rule == "grow":
        return field.through(1, 1, call.grow[0][0])
    if call.size_rule == "step":
        return field.through(1, max(call.dims, default=1))
    if call.size_rule == "ratio":
        before = trace.calls[call.inputs[0]].map
        return Field(field.jump * before[0] / call.map[0], field.low, field.high)
    return field
