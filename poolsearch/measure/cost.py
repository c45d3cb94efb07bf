"""What each layer costs, from the replay: shape, parameters, operations, bytes, receptive field. Nothing is computed.

Covers one image in float32 on the way forward, at inference. MACs are those of convolutions, fully connected layers,
matrix products (self-attention too, but no einsum) and the filters of poolings; comparisons and additions are those of
poolings (`arithmetic.py`), not of norms, activations and sums.

Bytes are what a layer has to move: each input map and each weight read once, the output written once, no cache and no
fusion between layers. Intermediate maps inside a pooling are not in it. A view (flatten, a dropout at inference) moves
nothing; a layer that writes over its input reads and writes like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf, isfinite, prod

from poolsearch import memory
from poolsearch.errors import PlanError
from poolsearch.measure.arithmetic import Shape, Work, work
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import convolution
from poolsearch.plan.windows import Field
from poolsearch.records.network import DiskBytes, LayerPair, LayerRow, Site, Totals
from poolsearch.surgery import replayed
from poolsearch.surgery.edits import learned_numbers
from poolsearch.surgery.layout import ATTENTION
from poolsearch.surgery.sites import published_spec
from poolsearch.surgery.trace import SizedCall, Trace

_FLOAT32 = 4  # bytes

_WORDS = {
    "batch_norm": "norm",
    "hardtanh": "relu6",
    "adaptive_avg_pool2d": "average",
    "adaptive_max_pool2d": "maximum",
    "add_": "add",
}
_IDLE = {"dropout", "dropout2d", "feature_dropout", "alpha_dropout"}  # do nothing at inference
REST = "(other weights)"  # path of the row that holds what no layer accounts for


@memory.kept
def layer_rows(plan: Plan | str) -> tuple[LayerRow, ...]:
    """Return one row for each layer of the rebuilt network, in the order they run.

    Raises PlanError or SiteError when the Plan can't run.
    """
    replay = replayed(plan)
    trace, shapes, seen = replay.trace, replay.shapes, replay.fields
    size, sites = replay.network.size, replay.network.sites
    home = homes(sites)
    beside = {member.path for site in sites for member in site.members[1:]}
    live, main = _live(trace, shapes), _main(trace, seen)
    rows = []
    for index, call in enumerate(trace.calls[1:], start=1):
        source, shape = shapes[call.inputs[0]], shapes[index]
        learned = learned_numbers(call.spec, source[1]) if call.spec else 0
        done = _work(call, trace, [shapes[i] for i in call.inputs], shape, learned)
        read, written = _moved(call, shapes, shape, learned)
        rows.append(
            LayerRow(
                path=call.path or "forward",
                op=_words(call, trace),
                site=call.site or home.get(call.path or "forward", ""),
                shape=shape[1:],
                parameters=call.parameters + learned,
                macs=done.macs,
                comparisons=done.comparisons,
                additions=done.additions,
                bytes=0 if call.shares or call.op in _IDLE else written,
                read_bytes=read,
                written_bytes=written,
                live_bytes=live[index],
                buffer_bytes=call.buffer_bytes,
                field_px=_pixels(seen[index]),
                jump_px=seen[index].jump,
                beside=call.path.removesuffix(".pooling") in beside,
                main=index in main,
                covered=_pixels(seen[call.inputs[0]]) >= max(size[1:]),
            )
        )
    rest = _rest(trace)
    return (*rows, rest) if rest.parameters or rest.buffer_bytes else tuple(rows)


def _rest(trace: Trace) -> LayerRow:
    """Return the row of the weights that no layer accounts for, so that all rows add up to the whole network."""
    why = "run in training alone" if trace.idle else "used by no single layer"
    return LayerRow(
        REST, why, "", (), trace.parameters, 0, 0, 0, 0, 0, 0, 0, trace.buffer_bytes, inf, inf, main=False
    )  # fmt: skip


def homes(sites: Sequence[Site]) -> dict[str, str]:
    """Return the name of the site that each member belongs to, by the member's path."""
    return {member.path: site.name for site in sites for member in site.members}


def _words(call: SizedCall, trace: Trace) -> str:
    """Return what a layer does: `conv k3 s2 p1`, `max k3 s2 p1`, `norm`, `relu`."""
    if call.spec:
        return str(call.spec)
    if call.window:
        depthwise = "depthwise " if call.learned and call.groups > 1 and call.weight[1] == 1 else ""
        return f"{depthwise}{published_spec(call, trace) or _unnamed(call)}"
    return _WORDS.get(call.op, call.op)


def _unnamed(call: SizedCall) -> str:
    """Return what a layer does whose window no kind of pooling has: `fixed filter k5 s2 p2`, `lp_pool2d k2 s2`."""
    assert call.window is not None
    win = call.window
    as_spec = PoolSpec.of(convolution(), win.kernel, win.stride, win.padding, win.dilation)
    numbers = str(as_spec).removeprefix(f"{as_spec.kind} ")
    return f"{'fixed filter' if call.op == 'conv2d' else call.op} {numbers}"


def _work(call: SizedCall, trace: Trace, sources: list[Shape], shape: Shape, learned: int) -> Work:
    source = sources[0]
    if call.op in ("conv2d", "linear"):
        return Work(prod(shape) * prod(call.weight[1:]))
    if call.op in ("matmul", "bmm", "__matmul__"):
        return Work(prod(shape) * source[-1])
    if call.op == "scaled_dot_product_attention" and len(sources) >= 3:  # of queries with keys, of that with values
        keys, values = sources[1], sources[2]
        return Work(prod(source) * keys[-2] + prod(source[:-1]) * keys[-2] * values[-1])
    if call.op == "multi_head_attention_forward":  # four projections, and the same two products
        return Work(prod(source) * 4 * source[-1] + 2 * prod(source) * (prod(source) // source[-1]))
    spec = call.spec or published_spec(call, trace)
    if spec is None or len(source) != 4 or len(shape) not in (2, 4):
        return Work()
    if trace.calls[call.inputs[0]].channels_last:
        source = (source[0], source[3], *source[1:3])
        shape = (shape[0], shape[3], *shape[1:3]) if len(shape) == 4 else shape
    return work(spec, source[1:], (*shape[1:], 1, 1)[:3], learned)


def _moved(call: SizedCall, shapes: tuple[Shape, ...], shape: Shape, learned: int) -> tuple[int, int]:
    """Return the bytes that a layer reads (maps, weights, running statistics) and writes."""
    if (call.shares and not call.inplace) or call.op in _IDLE:
        return 0, 0
    maps = sum(prod(shapes[i]) for i in dict.fromkeys(call.inputs))
    weights = max(call.parameters + learned, prod(call.weight) if call.weight else 0)
    statistics = 2 * shapes[call.inputs[0]][1] * _FLOAT32 if call.op == "batch_norm" else 0
    return (maps + weights) * _FLOAT32 + statistics, prod(shape) * _FLOAT32


def _live(trace: Trace, shapes: tuple[Shape, ...]) -> list[int]:
    """Return, for each call, the bytes of all results that are held while it runs, its own and the image among them.

    Held is what the network's own forward holds, as it was recorded: a result that is in use, that a variable still
    names, or that was handed to a module which has not returned. What one function allocates inside itself is not in
    it, nor are weights.
    """
    freed: dict[int, list[int]] = {}
    for index, call in enumerate(trace.calls):
        if call.freed and not call.shares:
            freed.setdefault(max(call.freed, index + 1), []).append(index)
    held, found = 0, []
    for index, call in enumerate(trace.calls):
        held -= sum(prod(shapes[i]) * _FLOAT32 for i in freed.get(index, ()))
        held += 0 if call.shares else prod(shapes[index]) * _FLOAT32
        found.append(held)
    return found


def _pixels(field: Field) -> float:
    """Return the length of a receptive field in pixels, infinite behind what sees the whole map."""
    return field.pixels if isfinite(field.jump) else inf


def _main(trace: Trace, seen: tuple[Field, ...]) -> set[int]:
    """Return the calls on the path of the largest receptive field, from the output back to the input.

    A gate has seen the whole image; what it scales comes first.
    """
    index, found = len(trace.calls) - 1, set[int]()
    while index:
        found.add(index)
        index = max(trace.calls[index].inputs, key=lambda i: (isfinite(seen[i].pixels), seen[i].pixels))
    return found


def totals(rows: tuple[LayerRow, ...]) -> Totals:
    """Return the sums of a Plan's layers, its peak memory, its size on disk, and its last map before the head.

    Disk is all parameters and buffers of the network: 4, 2 or 1 bytes a parameter, without the scales that int8 needs;
    buffers stay as they are.
    """
    last = _last_map(rows)
    parameters, buffers = sum(row.parameters for row in rows), sum(row.buffer_bytes for row in rows)
    return Totals(
        parameters=parameters,
        macs=sum(row.macs for row in rows),
        comparisons=sum(row.comparisons for row in rows),
        additions=sum(row.additions for row in rows),
        activation_bytes=sum(row.bytes for row in rows),
        read_bytes=sum(row.read_bytes for row in rows),
        written_bytes=sum(row.written_bytes for row in rows),
        peak_bytes=max(row.live_bytes for row in rows),
        disk_bytes=DiskBytes(*(size * parameters + buffers for size in (4, 2, 1))),
        last_map=(last.height, last.width),
        field_px=inf if _attends(rows, last) else last.field_px,
    )


def _attends(rows: tuple[LayerRow, ...], last: LayerRow) -> bool:
    """Return whether the last map becomes tokens that attend to one another: each then sees the whole image."""
    behind = before_head(rows)[rows.index(last) :]
    return any(row.op in ATTENTION and row.field_px == inf for row in behind)


def _last_map(rows: tuple[LayerRow, ...]) -> LayerRow:
    """Return the last layer on the main path before the head."""
    maps = [row for row in before_head(rows) if row.main and len(row.shape) == 3]
    return maps[-1] if maps else rows[0]


def before_head(rows: Sequence[LayerRow]) -> Sequence[LayerRow]:
    """Return the layers before the head; all of them where there is no head."""
    head = next((place for place, row in enumerate(rows) if row.site == "head"), len(rows))
    return rows[:head]


def aligned(plan_a: Plan, plan_b: Plan) -> tuple[LayerPair, ...]:
    """Return the layers of two Plans of one backbone side by side, in the order they run, matched by module path.

    A pooling that only one of them attaches to a layer has no partner. Raises PlanError for two backbones.
    """
    if plan_a.backbone != plan_b.backbone:
        raise PlanError(
            f"Layers are compared within one backbone, got {plan_a.backbone} and {plan_b.backbone}. "
            f"Give both Plans one of them."
        )
    mine, theirs = _by_place(layer_rows(plan_a)), _by_place(layer_rows(plan_b))
    order: list[tuple[str, int]] = []
    waiting = list(theirs)
    for key in mine:
        if key in theirs:  # first what only the other has before it
            cut = waiting.index(key)
            order += waiting[:cut]
            waiting = waiting[cut + 1 :]
        order.append(key)
    pairs = []
    for key in order + waiting:
        a, b = mine.get(key), theirs.get(key)
        site = (a.site if a else "") or (b.site if b else "")
        pairs.append(LayerPair(key[0], site, a, b))
    return tuple(pairs)


def _by_place(rows: tuple[LayerRow, ...]) -> dict[tuple[str, int], LayerRow]:
    """Return the rows by their path and how often that path was there before."""
    found: dict[tuple[str, int], LayerRow] = {}
    visits: Counter[str] = Counter()
    for row in rows:
        found[row.path, visits[row.path]] = row
        visits[row.path] += 1
    return found
