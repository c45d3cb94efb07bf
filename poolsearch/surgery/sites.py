"""From a trace to sites: which reductions stand on the same step between two map sizes, and what they are called.

Tensors that must share height and width (everything but reductions keeps them, sums and concatenations force them)
form one spatial class. All reductions between the same two classes are one site: the shortcut and the main path of
a residual stage, or concatenated branches, change together because nothing else could run.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from poolsearch.plan import PoolSpec
from poolsearch.rows import Member, Site
from poolsearch.surgery.record import record
from poolsearch.surgery.replay import sizes
from poolsearch.surgery.trace import Call, Trace

_ACTIVATIONS = {"relu", "relu_", "relu6", "hardtanh", "silu", "hardswish", "gelu", "leaky_relu", "elu"}
_NORMS = {"batch_norm", "group_norm", "layer_norm", "instance_norm"}


@cache
def find_sites(backbone: str, size: tuple[int, int, int]) -> tuple[Site, ...]:
    """Return the sites of a backbone in network order, with the map sizes they see at this input size.

    Raises SiteError when the published network can't run at that size.
    """
    trace = record(backbone, size[0])
    shapes = sizes(trace, size)
    groups = _groups(trace)
    names = _names(trace, groups)
    return tuple(_site(name, calls, trace, shapes) for name, calls in zip(names, groups, strict=True))


def _groups(trace: Trace) -> list[list[int]]:
    """Return the reducing calls that belong together, in network order."""
    parent: list[int] = []

    def find(x: int) -> int:
        while parent[x] != x:
            x = parent[x]
        return x

    classes: dict[int, int] = {}
    edges: list[tuple[int, int, int]] = []  # call, class before, class behind
    for index, call in enumerate(trace.calls):
        if len(call.shape) != 4:
            continue
        same = [i for i in call.inputs if i in classes and trace.calls[i].shape[2:] == call.shape[2:]]
        if same and not call.reduces:
            classes[index] = find(classes[same[0]])
            for other in same[1:]:
                parent[find(classes[other])] = find(classes[index])
            continue
        parent.append(len(parent))
        classes[index] = len(parent) - 1
        if call.reduces and call.inputs:
            edges.append((index, classes[call.inputs[0]], classes[index]))
    grouped: dict[tuple[int, int], list[int]] = {}
    for index, before, behind in edges:
        grouped.setdefault((find(before), find(behind)), []).append(index)
    return sorted(grouped.values(), key=min)


def _names(trace: Trace, groups: list[list[int]]) -> list[str]:
    """Return a short stable name for each group.

    The top-level module when it holds one site only (`layer2`, `stage1`), `stem` for a lone pooling before the
    stages, the layer's own name for a lone convolution, `head` for the collapse; else `stage1`, `stage2`, ...
    """
    tops = [trace.calls[group[0]].path.partition(".")[0] for group in groups]
    names: list[str] = []
    for group, top in zip(groups, tops, strict=True):
        call = trace.calls[group[0]]
        if call.target:
            name = "head"
        elif tops.count(top) > 1:
            name = f"stage{len(names) + 1}"
        elif "." not in call.path and call.op != "conv2d":
            name = "stem"
        else:
            name = top or call.op
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


def _site(name: str, group: list[int], trace: Trace, shapes: list[tuple[int, ...]]) -> Site:
    users = trace.users()
    members = [_member(trace, users, index) for index in group]
    # the main path is the one with an activation behind its convolution; a shortcut has none
    members.sort(key=lambda member: (member.activation is None, member.call))
    main = members[0]
    call = trace.calls[main.call]
    head = bool(call.target)
    locked = ""
    if main.form == "function":
        locked = "its pooling is a function call inside forward, not a module of its own"
    elif head and call.target != (1, 1):
        locked = f"the fully connected layers behind it expect exactly {call.target[0]}x{call.target[1]}"
    before, after = shapes[call.inputs[0]][2:], shapes[main.call][2:]
    role: Literal["head", "trunk"] = "head" if head else "trunk"
    return Site(name, role, tuple(members), call.shape[1], _two(before), _two(after), locked)


def _two(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]


def _member(trace: Trace, users: dict[int, list[int]], index: int) -> Member:
    call = trace.calls[index]
    entering = trace.calls[call.inputs[0]].shape[1]
    spec = published_spec(call)
    if call.op == "conv2d":
        activation = _activation(trace, users, index)
        anchor = _anchor(trace, users, activation) if activation is not None else None
        activation = activation if anchor else None
        return Member(call.path, "convolution", str(spec), spec, index, entering, call.shape[1], activation, anchor)
    text = str(spec) if spec else f"adaptive {call.op.split('_')[1]} {call.target[0]}x{call.target[1]}"
    form: Literal["pooling", "function"] = "pooling" if call.leaf and call.parameters == 0 else "function"
    return Member(call.path or "forward", form, text, spec, index, entering, call.shape[1])


def published_spec(call: Call) -> PoolSpec | None:
    """Return what a recorded reduction is as a PoolSpec, or None where no kind says it."""
    if call.target:
        kind = "global-max" if "max" in call.op else "global-avg"
        return PoolSpec(kind) if call.target == (1, 1) else None
    assert call.window is not None
    kind = {"conv2d": "conv", "avg_pool2d": "avg"}.get(call.op, "max")
    win = call.window
    pads = win.padding
    return PoolSpec(kind, win.kernel, win.stride, pads, win.dilation, ceil=win.ceil, counted=call.counted)


def _activation(trace: Trace, users: dict[int, list[int]], index: int) -> int | None:
    """Return the activation that alone takes a convolution's output, through norms; None when something else does."""
    while True:
        after = users.get(index, [])
        if len(after) != 1:
            return None
        index = after[0]
        if trace.calls[index].op in _ACTIVATIONS:
            return index
        if trace.calls[index].op not in _NORMS:
            return None


def _anchor(
    trace: Trace, users: dict[int, list[int]], activation: int
) -> tuple[Literal["after", "before"], str] | None:
    """Return the module at which a pooling can hang behind an activation, without touching any forward."""

    def alone(index: int) -> bool:
        call = trace.calls[index]
        return call.leaf and sum(other.path == call.path for other in trace.calls) == 1

    if alone(activation):
        return "after", trace.calls[activation].path
    after = users.get(activation, [])
    if len(after) == 1 and alone(after[0]):
        return "before", trace.calls[after[0]].path
    return None
