"""The same layer in PyTorch, ONNX and TensorFlow: what each makes of one picture, and the rule that makes them differ.

"The same layer" is what a person writes down in each: kernel, stride, and padding or none, all else left at the
framework's default. Every result is computed by Poolsearch's own operators, as the framework's rule says it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from poolsearch.errors import PlanError, PoolsearchError
from poolsearch.explain.sight import sizes_of
from poolsearch.explain.stage import stage
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import same_padding, spread
from poolsearch.records.explain import Comparison, Stage
from poolsearch.records.network import Array

# from a spec and the sizes of the map: the spec as the framework reads it, and the rule in a sentence
Rule = Callable[[PoolSpec, tuple[int, ...]], tuple[PoolSpec, str]]


def compared() -> tuple[str, ...]:
    """Return the kinds that are poolings of ONNX; the other two have them too, or a sentence on why not."""
    return tuple(kind for kind in KINDS if _operator(kind).endswith("Pool"))


def _operator(kind: str) -> str:
    """Return what ONNX calls a kind, which stands for the layer in all three; "" where it has none."""
    return KINDS[kind].onnx[0] if KINDS[kind].onnx else ""


def compare(picture: Array, spec: PoolSpec) -> tuple[Comparison, ...]:
    """Return the output in each framework for a picture (H, W), with the cells that differ from the first one there is.

    Raises PlanError for a kind that not all of them have.
    """
    if spec.kind not in compared():
        possible = ", ".join(compared())
        raise PlanError(f"PyTorch, ONNX and TensorFlow do not all have '{spec.kind}'. Possible: {possible}.")
    found = [_one(name, rule, picture, spec) for name, rule in FRAMEWORKS.items()]
    first = next((one.values for one in found if one.values is not None), None)
    return tuple(one if one.values is first else replace(one, differs=_differing(first, one.values)) for one in found)


def _one(name: str, rule: Rule, picture: Array, spec: PoolSpec) -> Comparison:
    try:
        theirs, explanation = rule(spec, sizes_of((picture.shape[0], picture.shape[1])))
        shown = stage(picture, theirs)
        windows = tuple(cell.window for cell in shown.cells)
        padded = padded_input(shown, counts_zeros="uncounted" in KINDS[theirs.kind].takes and theirs.counted)
        return Comparison(name, explanation, shown.output, input=padded, padding=shown.padding, windows=windows)
    except PoolsearchError as error:
        return Comparison(name, "", None, refused=str(error))


def padded_input(shown: Stage, counts_zeros: bool) -> tuple[tuple[float | None, ...], ...]:
    """Return the input with its padding as rows of numbers, None where the padding holds none.

    An average that counts its padding reads zeros there.
    """
    numbers: dict[tuple[int, int], float] = {(row, column): value for row, column, value in shown.outside}
    numbers |= {(r, c): value for r, line in enumerate(shown.input) for c, value in enumerate(line)}
    empty = 0.0 if counts_zeros else None
    (top, bottom), (left, right) = shown.padding
    rows, columns = range(-top, len(shown.input) + bottom), range(-left, len(shown.input[0]) + right)
    return tuple(tuple(numbers.get((row, column), empty) for column in columns) for row in rows)


def legend(grids: tuple[Comparison, ...]) -> str:
    """Return what the marks of a comparison mean: a name for the first framework that has numbers."""
    first = next((one.title for one in grids if one.values is not None), "")
    return f"Outlined, with a filled corner: differs from {first}." if first else ""


def _differing(
    first: tuple[tuple[float, ...], ...] | None, values: tuple[tuple[float, ...], ...] | None
) -> tuple[tuple[int, int], ...]:
    """Return the cells of `values` that the first grid does not have, or has with another number."""
    if first is None or values is None:
        return ()
    return tuple(
        (row, column)
        for row, line in enumerate(values)
        for column, value in enumerate(line)
        if row >= len(first) or column >= len(first[0]) or not np.isclose(value, first[row][column], atol=1e-5)
    )


def _pytorch(spec: PoolSpec, sizes: tuple[int, ...]) -> tuple[PoolSpec, str]:
    """As torch.nn.MaxPool2d and AvgPool2d take it."""
    uneven = isinstance(spec.padding, str) or any(begin != end for begin, end in spec.padding)
    if uneven:
        raise PlanError("PyTorch pads both ends alike. For this padding call torch.nn.functional.pad first.")
    if spec.border:
        raise PlanError("PyTorch's poolings have no such border. Call torch.nn.functional.pad first.")
    if _operator(spec.kind) == "LpPool":
        if spec.padding:
            raise PlanError("torch.nn.LPPool2d takes no padding. Call torch.nn.functional.pad first.")
        return spec, "LPPool2d sums powers of x itself, so negative values can give NaN; here they are |x|."
    average = _operator(spec.kind) == "AveragePool"
    if average and not spec.padding:
        return spec, "AvgPool2d without padding: nothing to count."
    if average:
        counted = "AvgPool2d counts the padding's zeros: the divisor is the whole window."
        return spec, counted if spec.counted else "AvgPool2d was told not to count the padding."
    if KINDS[spec.kind].reduces == "map":
        return spec, "AdaptiveAvgPool2d(1) or AdaptiveMaxPool2d(1)."
    return spec, "MaxPool2d pads with −∞ at both ends alike, so padding never wins."


def _onnx(spec: PoolSpec, sizes: tuple[int, ...]) -> tuple[PoolSpec, str]:
    """As the operators MaxPool, AveragePool and LpPool define it, opset 22."""
    if spec.border:
        raise PlanError("ONNX's poolings have no such border. Put a Pad node before them.")
    average = _operator(spec.kind) == "AveragePool"
    if average and spec.option("divisor"):
        raise PlanError("ONNX AveragePool takes no divisor of its own.")
    if average:
        rule = "AveragePool leaves padding out of the divisor (count_include_pad = 0 by default)."
        return replace(spec, counted=False), rule
    if _operator(spec.kind) == "LpPool":
        return spec, "LpPool sums |x|^p; padding adds nothing."
    if KINDS[spec.kind].reduces == "map":
        return spec, "GlobalAveragePool or GlobalMaxPool."
    ends = {
        "same-upper": " SAME_UPPER puts an odd pixel at the end.",
        "same-lower": " SAME_LOWER puts it at the start.",
    }
    explanation = ends[spec.padding] if isinstance(spec.padding, str) else ""
    return spec, f"MaxPool takes any amount at each end, and padding never wins.{explanation}"


def _tensorflow(spec: PoolSpec, sizes: tuple[int, ...]) -> tuple[PoolSpec, str]:
    """As tf.nn.max_pool and avg_pool define padding="SAME" and "VALID"."""
    if _operator(spec.kind) == "LpPool":
        raise PlanError("TensorFlow has no Lp pooling.")
    if KINDS[spec.kind].reduces == "map":
        return spec, "reduce_mean or reduce_max over the map: nothing to differ."
    if spec.border or spec.dilation:
        raise PlanError("tf.nn's poolings take neither a dilation nor a border of their own.")
    if not spec.padding:
        return replace(spec, ceil=False), "VALID: only windows that fit, always rounded down."
    kernel, stride = spread(spec.kernel, len(sizes), 1), spread(spec.stride, len(sizes), 1)
    begin, end = same_padding(sizes[0], kernel[0], stride[0])
    out = -(-sizes[0] // stride[0])
    average = _operator(spec.kind) == "AveragePool"
    counted = " and is never counted" if average else " and never wins"
    rule = (
        f"SAME: ⌈{sizes[0]} / {stride[0]}⌉ = {out} come out, whatever the padding asked for. "
        f"It pads {begin} before and {end} behind{counted}; the odd pixel stands at the end."
    )
    return replace(spec, padding="same-upper", ceil=False, counted=not average, options=()), rule


FRAMEWORKS: dict[str, Rule] = {
    "PyTorch": _pytorch,
    "ONNX": _onnx,
    "TensorFlow": _tensorflow,
}
