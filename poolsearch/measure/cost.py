"""What each layer costs, from the replay: shape, parameters, MACs, bytes, receptive field. Nothing is computed.

Covers one image in float32 on the way forward. MACs are those of convolutions and fully connected layers, blur
filters included (they are convolutions); comparisons and additions of poolings are not MACs and not in here.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

from poolsearch.kinds import KINDS
from poolsearch.plan import Plan
from poolsearch.rows import LayerRow, Totals
from poolsearch.surgery import check, find_sites, replayed
from poolsearch.surgery.edits import learned_numbers
from poolsearch.surgery.sites import published_spec
from poolsearch.surgery.trace import Call
from poolsearch.windows import spread

_FLOAT32 = 4  # bytes

_WORDS = {
    "batch_norm": "norm",
    "hardtanh": "relu6",
    "adaptive_avg_pool2d": "average",
    "adaptive_max_pool2d": "maximum",
    "add_": "add",
}


@lru_cache(maxsize=512)
def layer_rows(plan: Plan) -> tuple[LayerRow, ...]:
    """Return one row for each layer of the rebuilt network, in the order they run.

    Raises PlanError or SiteError when the Plan can't run.
    """
    plan = check(plan)
    trace, shapes, seen = replayed(plan)
    sites = find_sites(plan.backbone, plan.size)
    home = {member.path: site.name for site in sites for member in site.members}
    beside = {member.path for site in sites for member in site.members[1:]}
    rows = []
    for index, call in enumerate(trace.calls[1:], start=1):
        source = shapes[call.inputs[0]]
        shape = shapes[index]
        learned = learned_numbers(call.spec, source[1]) if call.spec else 0
        rows.append(
            LayerRow(
                path=call.path or "forward",
                op=_words(call),
                site=call.site or home.get(call.path or "forward", ""),
                shape=shape[1:],
                parameters=call.parameters + learned,
                macs=_macs(call, source, shape),
                bytes=0 if call.inplace or call.op == "flatten" else prod(shape) * _FLOAT32,
                field_px=seen[index].pixels,
                jump_px=seen[index].jump,
                beside=call.path.removesuffix(".pooling") in beside,
            )
        )
    return tuple(rows)


def _words(call: Call) -> str:
    """Return what a layer does: `conv k3 s2 p1`, `max k3 s2 p1`, `norm`, `relu`."""
    if call.spec:
        return str(call.spec)
    if call.window:
        depthwise = "depthwise " if call.groups > 1 and call.weight[1] == 1 else ""
        return f"{depthwise}{published_spec(call)}"
    return _WORDS.get(call.op, call.op)


def _macs(call: Call, source: tuple[int, ...], shape: tuple[int, ...]) -> int:
    if call.op == "conv2d":
        return prod(shape) * call.weight[1] * call.weight[2] * call.weight[3]
    if call.op == "linear":
        return prod(shape) * call.weight[1]
    if call.spec is None:
        return 0
    multiplies = KINDS[call.spec.kind].multiplies
    if multiplies == "weights":
        return prod(shape[2:]) * learned_numbers(call.spec, source[1])
    if multiplies == "filter":
        taps = (int(call.spec.option("taps")),) if call.spec.kind == "max-blur" else call.spec.kernel
        return prod(shape) * prod(spread(taps, 2, 1))
    return 0


def totals(rows: tuple[LayerRow, ...]) -> Totals:
    """Return the sums of a Plan's layers, and its last map before the head."""
    maps = [row for row in rows if len(row.shape) == 3 and row.field_px != float("inf") and row.site != "head"]
    last = maps[-1] if maps else rows[-1]
    return Totals(
        parameters=sum(row.parameters for row in rows),
        macs=sum(row.macs for row in rows),
        activation_bytes=sum(row.bytes for row in rows),
        last_map=(last.height, last.width),
        field_px=last.field_px,
    )
