"""Replay a trace in whole numbers: every size, and the receptive field, for any input size. No model, no tensors."""

from __future__ import annotations

from math import inf, prod

from poolsearch.errors import SiteError, WindowError
from poolsearch.surgery.trace import Call, Trace
from poolsearch.windows import Field, pooled_size, seen_through

Shape = tuple[int, ...]


def sizes(trace: Trace, size: tuple[int, int, int]) -> list[Shape]:
    """Return the shape of every call's result for one input of (channels, height, width).

    Raises SiteError where branches no longer meet, a map is empty, or a fixed layer gets another size.
    """
    shapes: list[Shape] = []
    for call in trace.calls:
        shapes.append((1, *size) if call.op == "input" else _shape(call, [shapes[i] for i in call.inputs], trace))
    return shapes


def _shape(call: Call, inputs: list[Shape], trace: Trace) -> Shape:
    x = inputs[0]
    if call.spec is not None:
        try:
            return (*x[:2], *pooled_size(call.spec, x[2:]))
        except WindowError as error:
            raise SiteError(f"Site '{call.site}': {error}") from None
    if call.window is not None:
        out = call.window.output(x[2:])
        if min(out) < 1:
            kernel = "x".join(map(str, call.window.kernel))
            raise SiteError(
                f"{_place(call, trace)} has a kernel of {kernel}, larger than the {_map(x)} map that reaches it."
            )
        return (x[0], call.weight[0] if call.weight else x[1], *out)
    if call.target:
        return (*x[:2], *call.target) if call.keepdim else x[:2]
    if call.op == "flatten":
        return (*x[: call.dims[0]], prod(x[call.dims[0] :]))
    if call.op == "linear":
        if x[-1] != call.weight[1]:
            raise SiteError(
                f"{_place(call, trace)} is fully connected and takes exactly {call.weight[1]} numbers, "
                f"but {x[-1]} reach it."
            )
        return (*x[:-1], call.weight[0])
    if call.op in ("cat", "concat"):
        _must_meet(call, [s[2:] for s in inputs], trace)
        return (x[0], sum(s[1] for s in inputs), *x[2:])
    if len(inputs) > 1:
        full = [s for s in inputs if len(s) < 4 or s[2:] != (1, 1)] or inputs
        _must_meet(call, [s[2:] for s in full], trace)
        return full[0]
    recorded = trace.calls[call.inputs[0]].shape
    if call.shape != recorded:
        raise SiteError(f"{_place(call, trace)} ({call.op}) changes the shape in a way that can't be replayed yet.")
    return x


def _must_meet(call: Call, maps: list[Shape], trace: Trace) -> None:
    if len(set(maps)) > 1:
        got = " and ".join(sorted({"x".join(map(str, m)) for m in maps}))
        raise SiteError(f"The branches that meet at {_place(call, trace)} are {got} pixels; they must be equal.")


def _place(call: Call, trace: Trace) -> str:
    return f"Layer {call.path} of {trace.backbone}" if call.path else trace.backbone


def _map(shape: Shape) -> str:
    return "x".join(map(str, shape[2:]))


def fields(trace: Trace, shapes: list[Shape]) -> list[Field]:
    """Return the receptive field of every call's result along the height, in input pixels.

    Counts what a unit can see in principle; gates that scale a whole map are not in it.
    """
    seen: list[Field] = []
    for call in trace.calls:
        if not call.inputs:
            seen.append(Field())
            continue
        field = seen[call.inputs[0]]
        x = shapes[call.inputs[0]]
        for other in call.inputs[1:]:
            if shapes[other][2:] == x[2:]:
                field = field.join(seen[other])
        seen.append(_through(call, field, x))
    return seen


def _through(call: Call, field: Field, x: Shape) -> Field:
    if call.spec is not None:
        return seen_through(call.spec, field, x[2:])
    if call.window is not None:
        win = call.window
        return field.through(win.kernel[0], win.stride[0], win.padding[0][0], win.dilation[0])
    if call.target and call.target != (1, 1):  # adaptive: bins of about n / target pixels
        return field.through(-(-x[2] // call.target[0]), max(1, x[2] // call.target[0]))
    if call.target or call.op in ("flatten", "linear"):
        return Field(inf, -inf, inf)
    return field
