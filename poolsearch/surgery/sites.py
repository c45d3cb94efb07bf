"""From a trace to sites: which reductions stand on the same step between two map sizes, and what they are called.

Tensors that must share height and width (everything but reductions keeps them, sums and concatenations force them)
form one spatial class. All reductions between the same two classes are one site: the shortcut and the main path of
a residual stage, or concatenated branches, change together because nothing else could run. What the output can be
reached from only by scaling a whole map is a gate: it squeezes, but throws no pixels of the trunk away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Literal

from poolsearch.errors import SiteError
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS, by_class, by_function
from poolsearch.plan.windows import Window
from poolsearch.records.network import Behind, Member, Site
from poolsearch.surgery.replay import Shape, sizes
from poolsearch.surgery.trace import SizedCall, Trace

_ACTIVATIONS = {"relu", "relu_", "relu6", "hardtanh", "silu", "hardswish", "gelu", "leaky_relu", "elu", "prelu", "mish"}
_NORMS = {"batch_norm", "group_norm", "layer_norm", "instance_norm"}
_POOLINGS = {"max_pool2d", "max_pool2d_with_indices", "boolean_dispatch", "avg_pool2d"}
_FLATTENINGS = {"flatten", "view", "reshape", "squeeze", "dropout", "contiguous"}  # the same numbers in one row
Role = Literal["trunk", "head", "gate", "aux"]


def sites_of(trace: Trace, shapes: Sequence[Shape]) -> tuple[Site, ...]:
    """Return the sites of a recorded network in network order, with the map sizes of these results of its calls."""
    groups = _groups(trace)
    names = _names(trace, groups)
    users = trace.users()
    return tuple(
        _site(name, role, calls, trace, users, shapes) for name, (role, calls) in zip(names, groups, strict=True)
    )


def auxiliary_sites(trace: Trace, size: tuple[int, int, int]) -> tuple[Site, ...]:
    """Return the sites of heads that only training runs, which is what the trace is of.

    Where they can't run at this size, their maps are as they were recorded.
    """
    try:
        shapes = sizes(trace, size)
    except SiteError:
        shapes = [call.shape for call in trace.calls]
    users = trace.users()
    groups = [calls for role, calls in _groups(trace, training=True) if role == "aux"]
    return tuple(_site(f"aux{n}", "aux", calls, trace, users, shapes) for n, calls in enumerate(groups, start=1))


class _Classes:
    """Union-find over calls."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def find(self, x: int) -> int:
        while self.parent[x] != x:
            self.parent[x] = self.parent[self.parent[x]]
            x = self.parent[x]
        return x

    def union(self, a: int, b: int) -> None:
        self.parent[self.find(a)] = self.find(b)


def _groups(trace: Trace, training: bool = False) -> list[tuple[Role, list[int]]]:
    """Return the reducing calls that belong together with what they are for, in network order.

    Everything that the network returns when it is used is an output of its own (the levels of a feature pyramid). What
    it returns beside its first in training is that of auxiliary heads.
    """
    levels = _Classes(len(trace.calls))
    for index, call in enumerate(trace.calls):
        if not call.inputs:
            continue
        crop = call.size_rule == "grow" or (call.size_rule == "window" and not call.reduces)
        if call.size_rule == "same" or crop:  # a map that only lost or got a border is on the same level
            levels.union(index, call.size_from if call.size_rule == "same" else call.inputs[0])
        if call.size_rule == "same" and len(call.inputs) > 1:
            for other in call.inputs:
                if other not in call.gates:
                    levels.union(index, other)
    trunk = _reached(trace, trace.outputs[:1] if training else trace.outputs)
    aux = _reached(trace, trace.outputs) - trunk
    grouped: dict[tuple[object, ...], list[int]] = {}
    roles: dict[tuple[object, ...], Role] = {}
    for index, call in enumerate(trace.calls):
        still = call.op in _POOLINGS and call.size_rule == "same" and call.window is not None
        if not (call.reduces or still) or trace.calls[call.inputs[0]].map == (1, 1):
            continue
        role: Role = "gate"
        if index in trunk:
            role = "head" if call.size_rule == "fixed" else "trunk"
        elif index in aux:
            role = "aux"
        alone = still or role in ("gate", "aux")
        key = (index,) if alone else (levels.find(call.inputs[0]), levels.find(index))
        grouped.setdefault(key, []).append(index)
        roles[key] = role
    return [(roles[key], calls) for key, calls in sorted(grouped.items(), key=lambda item: min(item[1]))]


def _reached(trace: Trace, outputs: tuple[int, ...]) -> set[int]:
    """Return the calls from which these outputs are reached without passing through a gate."""
    found, open_ = set(outputs), list(outputs)
    while open_:
        call = trace.calls[open_.pop()]
        for source in call.inputs:
            if source not in call.gates and source not in found:
                found.add(source)
                open_.append(source)
    return found


def _names(trace: Trace, groups: list[tuple[Role, list[int]]]) -> list[str]:
    """Return a short stable name for each group.

    The outermost module that holds one site only and has a name of its own (`layer2`, `transition1`), `stem` for a
    lone pooling before the stages, the layer's own name for a lone convolution, `head` for the collapse; else
    `stage1`, `stage2`, ... Gates, auxiliary heads and poolings that keep the size are numbered apart.
    """
    shrinking = [calls[0] for role, calls in groups if role == "trunk" and trace.calls[calls[0]].reduces]
    parts = [trace.calls[index].path.split(".") for index in shrinking]
    lone = sum(len(part) == 1 and trace.calls[index].op != "conv2d" for index, part in zip(shrinking, parts)) == 1
    names: list[str] = []
    counts: dict[str, int] = {}
    stage = 0
    for role, calls in groups:
        call = trace.calls[calls[0]]
        if role in ("gate", "aux") or (role == "trunk" and not call.reduces):
            word = "pool" if role == "trunk" else role
            counts[word] = counts.get(word, 0) + 1
            name = f"{word}{counts[word]}"
        elif role == "head":
            name = "head"
        else:
            stage += 1
            name = _own_name(call, parts, lone) or f"stage{stage}"
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


def _own_name(call: SizedCall, others: list[list[str]], lone: bool) -> str:
    """Return the first part of the module's path that belongs to no other site and is a word; "" when there is none."""
    mine = call.path.split(".")
    for depth, part in enumerate(mine, start=1):
        if sum(other[:depth] == mine[:depth] for other in others) == 1:
            if lone and len(mine) == 1 and call.op != "conv2d":
                return "stem"
            return part if part and not part.isdigit() else ""
    return "" if call.path else call.op


def _site(
    name: str, role: Role, group: list[int], trace: Trace, users: dict[int, list[int]], shapes: Sequence[Shape]
) -> Site:
    members = [_member(trace, users, index) for index in group]
    # the main path is the one with an activation behind its convolution; a shortcut has none
    members.sort(key=lambda member: (member.activation is None, member.call))
    main = members[0]
    call = trace.calls[main.call]
    source = _entering(trace, main)
    before, after = shapes[source], shapes[main.call]
    entering = trace.calls[source]
    into, out = entering.map_in(before) or entering.map, call.map_in(after) or (1, 1)
    still = role == "trunk" and not call.reduces
    behind = _behind(trace, users, main.call, call.channels) if role == "head" and len(group) == 1 else None
    locked = _locked(role, call, members, trace)
    return Site(name, role, tuple(members), call.channels, into, out, locked, behind, still)


def _behind(trace: Trace, users: dict[int, list[int]], index: int, channels: int) -> Behind | None:
    """Return the fully connected layer that alone takes a head's result; None where anything else stands between."""
    head = trace.calls[index]
    if head.spatial_axes not in (None, (-2, -1)) or head.shape[:2] != (1, channels):
        return None
    while True:
        after = users.get(index, [])
        if len(after) != 1:
            return None
        index = after[0]
        call = trace.calls[index]
        if call.op == "linear":
            break
        if call.op not in _FLATTENINGS or len(call.inputs) != 1 or call.shape[0] != 1:
            return None
    alone = call.leaf and sum(other.path == call.path for other in trace.calls) == 1
    if not alone or call.type != "Linear" or call.weight[1] != channels * prod(head.map):
        return None
    return Behind(call.path, index, prod(head.map), index in trace.outputs[:1])


def _locked(role: Role, call: SizedCall, members: list[Member], trace: Trace) -> str:
    """Return why nothing else can stand at a site, in words; "" where something can."""
    if role == "gate":
        return "it squeezes a map into a gate that scales the trunk; no pixel of the trunk is lost there"
    if role == "aux":
        return "it belongs to an auxiliary head, which only training uses"
    if call.size_rule == "step":
        return "it takes every n-th pixel by indexing"
    if any(member.spec is None for member in members):
        return f"no kind of pooling says what its {call.op} does"
    if any(trace.calls[member.call].visit or _again(trace, member) for member in members if member.path):
        return "one module stands at several places of the network"
    return ""


def _again(trace: Trace, member: Member) -> bool:
    """Return whether a pooling module runs more than once."""
    return member.form == "pooling" and any(c.path == member.path and c.visit for c in trace.calls)


def _member(trace: Trace, users: dict[int, list[int]], index: int) -> Member:
    call = trace.calls[index]
    entering = trace.calls[call.inputs[0]].channels
    spec = published_spec(call, trace)
    if call.op == "conv2d" and call.learned:
        activation = _activation(trace, users, index)
        anchor = _anchor(trace, users, activation) if activation is not None else None
        activation = activation if anchor else None
        return Member(call.path, "convolution", str(spec), spec, index, entering, call.channels, activation, anchor)
    text = str(spec) if spec else f"{call.op} to {'x'.join(map(str, call.map))}"
    form: Literal["pooling", "function"] = "pooling" if call.leaf and call.parameters == 0 else "function"
    path = call.path if form == "pooling" else call.path or "forward"
    return Member(path, form, text, spec, index, entering, call.channels)


def published_spec(call: SizedCall, trace: Trace | None = None) -> PoolSpec | None:
    """Return what a recorded reduction is as a PoolSpec, or None where no kind says it."""
    if call.size_rule == "fixed":
        return _collapse(call.op, call.target)
    if call.window is None:
        return None
    pads, fixed = None, ""
    if call.op == "conv2d" and not call.learned:
        pads, fixed = _padded_before(call, trace), by_class(call.type)
    return _windowed(call.op, call.size_rule == "ceil", call.window, call.counted, call.learned, fixed, pads)


@lru_cache(maxsize=1024)
def _collapse(op: str, target: tuple[int, ...]) -> PoolSpec | None:
    if target == (1, 1):
        kind = by_function(op, "map")
        return PoolSpec(kind) if kind else None
    kind = by_function(op, "bins")
    square = len(set(target)) == 1 and target[0] <= 64
    return PoolSpec.of(kind, options={"size": target[0]}) if kind and square else None


@lru_cache(maxsize=4096)
def _windowed(
    op: str,
    same: bool,
    win: Window,
    counted: bool,
    learned: bool,
    fixed: str,
    pads: tuple[tuple[int, int], ...] | None,
) -> PoolSpec | None:
    """Return the spec of a strided kernel; making one takes longer than the rest of a layer's replay."""
    kind = by_function(op, "window")
    if same:
        return PoolSpec(kind, win.kernel, win.stride, "same-upper", win.dilation)
    if op == "conv2d" and not learned:  # a fixed filter
        known = fixed and set(win.kernel) <= {2, 3, 4, 5} and pads is not None
        return PoolSpec(fixed, win.kernel, win.stride, pads or ()) if known else None
    if not kind:
        return None
    counted = counted or "uncounted" not in KINDS[kind].takes
    return PoolSpec(kind, win.kernel, win.stride, win.padding, win.dilation, ceil=win.ceil, counted=counted)


def _entering(trace: Trace, member: Member) -> int:
    """Return the call whose result enters a member: a pooling module that pads by itself takes the map before that."""
    call = trace.calls[member.call]
    source = call.inputs[0]
    before = trace.calls[source]
    pads = member.form == "pooling" and before.op == "pad" and before.path == call.path
    return before.inputs[0] if pads else source


def _padded_before(call: SizedCall, trace: Trace | None) -> tuple[tuple[int, int], ...] | None:
    """Return what a pad in the same module added before a call."""
    if trace is None:
        return None
    before = trace.calls[call.inputs[0]]
    return before.grow if before.op == "pad" and before.path == call.path else ()


def _activation(trace: Trace, users: dict[int, list[int]], index: int) -> int | None:
    """Return the activation that alone takes a convolution's output, through norms; None when something else does."""
    while True:
        after = users.get(index, [])
        if len(after) != 1:
            return None
        index = after[0]
        call = trace.calls[index]
        if call.op in _ACTIVATIONS:
            return index
        if call.op not in _NORMS and not (call.op == "mul" and len(call.inputs) == 1):
            return None


def _anchor(
    trace: Trace, users: dict[int, list[int]], activation: int
) -> tuple[Literal["after", "before"], str] | None:
    """Return the module at which a pooling can be attached behind an activation, without touching any forward."""

    def alone(index: int) -> bool:
        call = trace.calls[index]
        return call.leaf and sum(other.path == call.path for other in trace.calls) == 1

    if alone(activation):
        return "after", trace.calls[activation].path
    after = users.get(activation, [])
    if len(after) == 1 and alone(after[0]):
        return "before", trace.calls[after[0]].path
    return None
