"""Nodes of an ONNX graph that shrink a map without a window: reductions, pixels moved, skipped and resampled."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from poolsearch.modelfiles.graph_around import (
    CONVOLUTIONS,
    Row,
    Shape,
    Surroundings,
    integer,
    ints,
    row_for,
    text,
    windowed,
)
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import by_operator

# ------------------------------------------------------------------------------------------------------- reductions


def reduction(node: Any, number: int, around: Surroundings) -> Row | None:
    """Return the row of a reduction of whole maps. One of channels alone is none; one of some axes is counted."""
    operator, source = str(node.op_type), node.input[0] if node.input else ""
    axes = _axes(node, around)
    rank = len(around.shapes.get(source) or ()) or _MAPS.get(axes or (), 0)
    if axes is None or not rank or not all(-rank <= axis < rank for axis in axes):
        around.partial[operator] += 1
        return None
    found = {axis % rank for axis in axes} or set(range(rank))
    if rank < 3 or (found == {1} and rank > 3):  # no map, or its channels alone
        return None
    pixels = {_pixel_axis(source, around)} if rank == 3 else set(range(2, rank))
    if found == pixels and not _normalises(node, around):
        kind = by_operator(operator)
        return row_for(node, number, (), (), kind, "" if kind else f"No PoolSpec says what {operator} does to a map.")
    if rank == 4 and found == {1, 2}:
        reason = "It reduces axes 1 and 2: height and width, where the channels come last."
        return row_for(node, number, (), (), reason=reason)
    if rank > 3 or found != {2}:  # of tokens the last axis is their channels
        around.partial[operator] += 1
    return None


def _axes(node: Any, around: Surroundings) -> tuple[int, ...] | None:
    """Return the axes of a reduction, an attribute before opset 18, then an input; () is all, None is not known."""
    if len(node.input) > 1 and node.input[1]:
        found = around.numbers.get(node.input[1])
        return None if found is None else tuple(int(axis) for axis in found)
    return ints(node, "axes")


_MAPS = {(2, 3): 4, (-2, -1): 4, (2, 3, 4): 5, (-3, -2, -1): 5}  # reduced axes of a map whose shape is not known


def _pixel_axis(name: str, around: Surroundings) -> int | None:
    """Return which axis of a value of three axes holds the pixels of a map; None where that can't be seen."""
    turned = False
    for _ in around.makers:  # no longer than there are nodes, also where a broken graph goes in circles
        shape, node = around.shapes.get(name), around.makers.get(name)
        if node is None or shape is None or len(shape) != 3 or not node.input:
            return None
        before = around.shapes.get(node.input[0]) or ()
        flattened = len(before) == 4 and before[:2] == shape[:2] and node.op_type in ("Reshape", "Flatten")
        if flattened or node.op_type in CONVOLUTIONS or windowed(node.op_type):
            return 1 if turned else 2
        if node.op_type == "Transpose":
            turned = not turned
            name = node.input[0]
            continue
        same = next((one for one in node.input if around.shapes.get(one) == shape), None)  # a norm, an activation
        if same is None:
            return None
        name = same
    return None


def _normalises(node: Any, around: Surroundings) -> bool:
    """Return whether a mean is taken to be subtracted from what it is the mean of, or of such differences squared."""
    source = node.input[0]
    if any(taker.op_type == "Sub" and source in taker.input for taker in around.takers.get(node.output[0], [])):
        return True
    squared = around.makers.get(source)
    if squared is None or squared.op_type not in ("Pow", "Mul"):
        return False
    differs = around.makers.get(squared.input[0])
    return differs is not None and differs.op_type == "Sub"


# ----------------------------------------------------------------------------------- pixels moved, skipped, resampled


def _blocks(node: Any, number: int, around: Surroundings) -> Row:
    size = integer(node, "blocksize")
    return row_for(node, number, (size, size), (size, size), reason=_MOVED)


_MOVED = "It moves pixels into channels and drops none; 'space-to-depth' has a learned 1x1 convolution behind it."


def _unshuffled(node: Any, number: int, around: Surroundings) -> Row | None:
    """Return the row of a Reshape, Transpose, Reshape that moves blocks of pixels into channels, as torch writes it."""
    turn = around.makers.get(node.input[0]) if node.input else None
    split = around.makers.get(turn.input[0]) if turn is not None and turn.op_type == "Transpose" else None
    if split is None or split.op_type != "Reshape":
        return None
    before, after = around.shapes.get(split.input[0]), around.shapes.get(node.output[0])
    if before is None or after is None or len(before) != 4 or len(after) != 4 or before[0] != after[0]:
        return None
    (channels, height, width), (more, rows, columns) = before[1:], after[1:]
    if not (channels and height and width and more and rows and columns) or height % rows or width % columns:
        return None
    block = (height // rows, width // columns)
    moved = max(block) > 1 and more == channels * prod(block)
    return row_for(node, number, block, block, reason=_MOVED) if moved else None


def _slice(node: Any, number: int, around: Surroundings) -> Row | None:
    """Return the row of slices that take every n-th pixel, one behind another for each axis; a crop is none."""
    steps = _steps(node, around)
    if steps is None:
        around.passed["Slice"] += 1
        return None
    if not steps or any(_steps(taker, around) for taker in around.takers.get(node.output[0], [])):
        return None  # the last of them speaks for all
    before = node
    for _ in around.makers:
        before = around.makers.get(before.input[0])
        earlier = _steps(before, around) if before is not None else None
        if before is None or not earlier:
            break
        steps = earlier | steps
    rank = len(around.shapes.get(node.input[0]) or ()) or 4
    stride = tuple(
        abs(steps.get(axis, (0, 1))[1]) for axis in (range(1, max(steps) + 1) if 1 in steps else range(2, rank))
    )
    reason = ""
    if rank < 3 or (0 in steps and len(steps) == 1):
        return None
    if 0 in steps or 1 in steps:
        reason = "It steps along axis 1: the channels, or the height where the channels come last."
    elif any(step < 0 or start for start, step in steps.values()):
        reason = "It does not begin at the first pixel, where 'subsample' does."
    return row_for(node, number, (1,) * len(stride), stride, "" if reason else _subsampled(stride), reason)


def _subsampled(stride: tuple[int, ...]) -> str:
    return str(PoolSpec.of(by_operator("Slice"), (), stride))


def _steps(node: Any, around: Surroundings) -> dict[int, tuple[int, int]] | None:
    """Return first pixel and step of each axis along which a slice leaves pixels out; None where that is not known."""
    if node.op_type != "Slice" or len(node.input) < 5 or not node.input[4]:
        return {}  # it takes every one
    steps = around.numbers.get(node.input[4])
    axes = around.numbers.get(node.input[3]) if node.input[3] else tuple(range(len(steps or ())))
    if steps is None or axes is None:
        return None
    starts = around.numbers.get(node.input[1]) or (1,) * len(steps)  # not known: not at the first
    rank = len(around.shapes.get(node.input[0]) or ()) or 4
    found = zip(axes, starts, steps, strict=False)
    return {int(axis) % rank: (int(start), int(step)) for axis, start, step in found if abs(step) > 1}


def _resampled(node: Any, number: int, around: Surroundings) -> Row | None:
    """Return the row of a resize that makes a map smaller; count what else does, or may."""
    operator = str(node.op_type)
    before, after = (around.shapes.get(name) for name in (node.input[0], node.output[0]))
    scales: tuple[float, ...] = ()
    if operator in ("Resize", "Upsample"):
        place = 1 if operator == "Upsample" or len(node.input) < 3 else 2
        scales = around.numbers.get(node.input[place], ()) if len(node.input) > place else ()
    smaller = _smaller(before, after)
    if smaller is None and scales:
        smaller = min(scales) < 1
    if smaller is False or (smaller is None and operator not in ("Resize", "Upsample", "GridSample")):
        return None
    if operator == "Resize" and smaller:
        mode = text(node, "mode") or "nearest"
        return row_for(
            node, number, (), (), reason=f"It resizes the map to a smaller one ({mode}); no PoolSpec says how."
        )
    around.passed[operator] += 1
    return None


def _smaller(before: Shape | None, after: Shape | None) -> bool | None:
    """Return whether a map loses pixels between two shapes; None where they do not say."""
    if before is None or after is None:
        return None
    if len(before) != len(after) or len(before) < 4 or before[0] != after[0]:
        return False
    pairs = list(zip(before[2:], after[2:], strict=True))
    if any(was is None or now is None for was, now in pairs):
        return None
    return any(now < was for was, now in pairs if was is not None and now is not None)


def _product(shape: Shape) -> int | None:
    return None if None in shape else prod(n for n in shape if n is not None)


def _regions(node: Any, number: int, around: Surroundings) -> Row:
    return row_for(node, number, (), (), reason="It pools regions that come in as a second input.")


READERS: dict[str, Callable[[Any, int, Surroundings], Row | None]] = {
    "Slice": _slice,
    "SpaceToDepth": _blocks,
    "Reshape": _unshuffled,
    **dict.fromkeys(("MaxRoiPool", "RoiAlign"), _regions),
    **dict.fromkeys(("GridSample", "Resize", "Upsample", "Gather", "GatherElements"), _resampled),
    **dict.fromkeys(("Compress", "TopK", "CenterCropPad"), _resampled),
}
