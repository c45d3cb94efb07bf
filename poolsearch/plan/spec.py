"""PoolSpec: what stands at a site, and its text: `avg k3 s2 p1 uncounted`.

Defaults and what can't change the result are left out, so that one spec has one text. Knows kinds, not backbones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from poolsearch.errors import PlanError, kind_of, shortened, unknown
from poolsearch.plan.kinds import KINDS, same_as

Placement = Literal["after", "before", "hybrid"]
PLACEMENTS: tuple[str, ...] = get_args(Placement)
SAME = ("same-upper", "same-lower")
BORDERS = ("zeros", "reflect", "circular")  # what stands in the padding; unsaid, the kind's own
Padding = str | tuple[tuple[int, int], ...]

_LARGEST = 4096  # pixels, of an input side: no window, step or border is longer
_AXES = 3

_FLAGS = ("ceil", "uncounted")
_LETTERS = {"k": "kernel", "s": "stride", "p": "padding", "d": "dilation"}


@dataclass(frozen=True)
class PoolSpec:
    """What stands at a site. A tuple of one number counts for every axis; an empty one means "the default".

    Raises PlanError when made with what can't exist (kernel 0, padding above half the kernel, an unknown kind).
    """

    kind: str  # one of the names in poolsearch.plan.kinds
    kernel: tuple[int, ...] = ()  # pixels along each axis
    stride: tuple[int, ...] = ()  # pixels; the kernel's when left out, as torch has it
    padding: Padding = ()  # pixels at begin and end of each axis, or one of SAME
    dilation: tuple[int, ...] = ()  # pixels from one number of the window to the next
    ceil: bool = False  # the output size is rounded up
    counted: bool = True  # an average counts the padding's zeros, as torch does by default
    border: str = ""  # real numbers in the padding, one of BORDERS; "" is the kind's own
    placement: str = "after"  # only at a strided convolution
    options: tuple[tuple[str, float], ...] = ()  # those of the kind that are not at their default

    def __post_init__(self) -> None:
        _normalise(self)

    @classmethod
    def of(
        cls,
        kind: str,
        kernel: int | tuple[int, ...] = (),
        stride: int | tuple[int, ...] = (),
        padding: int | Padding = (),
        dilation: int | tuple[int, ...] = (),
        *,
        ceil: bool = False,
        counted: bool = True,
        border: str = "",
        placement: str = "after",
        options: Mapping[str, float] | None = None,
    ) -> PoolSpec:
        """Return the spec from plain numbers: `PoolSpec.of("max", 3, 2, 1)`."""
        pad = ((padding, padding),) if isinstance(padding, int) else padding
        return cls(
            kind, _axes(kernel), _axes(stride), pad, _axes(dilation), ceil, counted, border, placement,
            tuple((options or {}).items()),
        )  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> PoolSpec:
        """Return the spec of a text like `avg k3 s2 p1 uncounted`. Strict: raises PlanError at an unknown word."""
        return _parse_spec(text)

    def option(self, name: str) -> float:
        """Return the value of an option, its default when the spec doesn't name it."""
        declared = KINDS[self.kind].option(name)
        assert declared is not None, f"{self.kind} has no option {name}"
        return dict(self.options).get(name, declared.default)

    def __str__(self) -> str:
        words = [self.kind]
        words += [f"{letter}{_cross(values)}" for letter, values in zip("ks", (self.kernel, self.stride)) if values]
        if self.padding:
            words.append(self.padding if isinstance(self.padding, str) else f"p{_pads(self.padding)}")
        if self.dilation:
            words.append(f"d{_cross(self.dilation)}")
        words += ["ceil"] * self.ceil + ["uncounted"] * (not self.counted)
        words += [self.border] * bool(self.border)
        words += [self.placement] * (self.placement != "after")
        return " ".join(words + [f"{name}={f'{value:.6f}'.rstrip('0').rstrip('.')}" for name, value in self.options])


def as_spec(given: PoolSpec | str) -> PoolSpec:
    """Return the spec itself, or that of a text. Raises PlanError for anything else."""
    if isinstance(given, str):
        return PoolSpec.parse(given)
    if isinstance(given, PoolSpec):
        return given
    raise PlanError(f"A PoolSpec or its text is needed, as in 'avg k2 s2'; got {kind_of(given)}.")


# ---------------------------------------------------------------------------------------------- one spec, one form


def _axes(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _collapse(values: tuple[int, ...]) -> tuple[int, ...]:
    return values[:1] if len(set(values)) == 1 else values


def _cross(values: tuple[int, ...]) -> str:
    return "x".join(map(str, values))


def _pads(pads: tuple[tuple[int, int], ...]) -> str:
    return "x".join(str(b) if b == e else f"{b}:{e}" for b, e in pads)


def _normalise(spec: PoolSpec) -> None:
    """Check a spec as it is made, and drop what can't change its result."""
    if spec.kind not in KINDS:
        raise PlanError(unknown("pooling", spec.kind, KINDS, meant=same_as(spec.kind), most=3))
    takes = KINDS[spec.kind].takes
    padded = isinstance(spec.padding, str) or any(pair != (0, 0) for pair in spec.padding)
    given = {
        "padding": padded, "dilation": set(spec.dilation) - {1}, "ceil": spec.ceil, "uncounted": not spec.counted,
        "border": spec.border,
    }  # fmt: skip
    _check_numbers(spec)
    fixed: dict[str, Any] = {}
    if "kernel" in takes:
        fixed["kernel"] = _collapse(spec.kernel)
        fixed["stride"] = _collapse(spec.stride or spec.kernel)  # torch's default: the windows touch
    else:
        fixed["kernel"] = ()
        fixed["stride"] = _collapse(spec.stride)
    if "stride" not in takes:
        fixed["stride"] = ()
    possible = (*takes, "border") if "padding" in takes else takes
    refused = [
        name for name in ("padding", "dilation", "ceil", "uncounted", "border") if given[name] and name not in possible
    ]
    if KINDS[spec.kind].reduces == "window" and refused:
        raise PlanError(f"Pooling '{spec.kind}' takes no {refused[0]}. It takes: {', '.join(possible)}.")
    fixed["options"] = _check_options(spec)
    _drop_idle(spec, fixed, takes)
    for name, value in fixed.items():
        object.__setattr__(spec, name, value)
    if "padding" in takes and not isinstance(spec.padding, str):
        _check_padding(spec)


def _drop_idle(spec: PoolSpec, fixed: dict[str, Any], takes: tuple[str, ...]) -> None:
    """Set padding, border, dilation, ceil and counting to their default where they can't change the result."""
    padding = spec.padding if "padding" in takes else ()
    if not isinstance(padding, str):
        padding = () if all(pair == (0, 0) for pair in padding) else padding
        padding = padding[:1] if len(set(padding)) == 1 else padding
    fixed["padding"] = padding
    one_dilation = set(spec.dilation) <= {1} or fixed["kernel"] == (1,) or "dilation" not in takes
    fixed["dilation"] = () if one_dilation else _collapse(spec.dilation)
    fixed["ceil"] = spec.ceil and "ceil" in takes and fixed["stride"] != (1,)
    kind = KINDS[spec.kind]
    # a filter behind the window has a border of its own; an average that counts zeros has them in its padding
    has_border = bool(padding) or any(option.name == "taps" for option in kind.options)
    own = kind.border if kind.border != "neutral" else "zeros" if "uncounted" in takes else ""
    divided = any(name == "divisor" for name, _ in fixed["options"])
    fixed["border"] = spec.border if has_border and spec.border != own else ""
    fixed["counted"] = spec.counted or not padding or "uncounted" not in takes or bool(spec.border) or divided


def _check_numbers(spec: PoolSpec) -> None:
    takes = KINDS[spec.kind].takes
    for name, values in (("kernel", spec.kernel), ("stride", spec.stride), ("dilation", spec.dilation)):
        if len(values) > _AXES:
            raise PlanError(f"{name.capitalize()} has a number for each of {_AXES} axes at most, got {len(values)}.")
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise PlanError(f"{name.capitalize()} must be a whole number from 1 up, got {value}. Nearest: 1.")
            if value > _LARGEST:
                raise PlanError(f"{name.capitalize()} goes up to {_LARGEST}, got {value}. Nearest: {_LARGEST}.")
    if "kernel" in takes and not spec.kernel:
        raise PlanError(f"Pooling '{spec.kind}' needs a kernel. Write it as in '{spec.kind} k2 s2'.")
    if takes == ("stride",) and not spec.stride:
        raise PlanError(f"Pooling '{spec.kind}' needs a stride. Write it as in '{spec.kind} s2'.")
    kernels = KINDS[spec.kind].kernels
    for value in spec.kernel if kernels else ():
        if value not in (kernels or ()):
            near = min(kernels or (), key=lambda kernel: abs(kernel - value))
            possible = " or ".join(map(str, kernels or ()))
            raise PlanError(f"Pooling '{spec.kind}' has kernel {possible}, got {value}. Nearest: {near}.")
    if isinstance(spec.padding, str):
        if spec.padding not in SAME:
            raise PlanError(unknown("padding", spec.padding, SAME))
    elif len(spec.padding) > _AXES:
        raise PlanError(f"Padding has a number for each of {_AXES} axes at most, got {len(spec.padding)}.")
    elif any(min(pair) < 0 for pair in spec.padding):
        raise PlanError(f"Padding must be 0 or more, got {_pads(spec.padding)}. Nearest: 0.")
    elif any(max(pair) > _LARGEST for pair in spec.padding):
        raise PlanError(f"Padding goes up to {_LARGEST}, got {_pads(spec.padding)}. Nearest: {_LARGEST}.")
    if spec.border and spec.border not in BORDERS:
        raise PlanError(unknown("border", spec.border, BORDERS))
    if spec.placement not in PLACEMENTS:
        raise PlanError(unknown("placement", spec.placement, PLACEMENTS))


def _check_padding(spec: PoolSpec) -> None:
    """Refuse symmetric padding above half the kernel (torch's limit) and any that holds a whole window of nothing."""
    assert not isinstance(spec.padding, str)
    kind = KINDS[spec.kind]
    # with numbers in the padding torch's limit is not theirs; without ceil mode a window of nothing else is no trap
    numbers = bool(spec.border) or kind.border in ("reflect", "circular") or kind.multiplies == "weights"
    if numbers and "ceil" not in kind.takes:
        return
    kernels = spec.kernel * max(1, len(spec.padding)) if len(spec.kernel) == 1 else spec.kernel
    pads = spec.padding * len(kernels) if len(spec.padding) == 1 else spec.padding
    dilations = spec.dilation * len(kernels) if len(spec.dilation) == 1 else spec.dilation or (1,) * len(kernels)
    for kernel, dilation, (begin, end) in zip(kernels, dilations, pads, strict=False):
        spans = dilation * (kernel - 1) + 1
        if begin == end and begin > spans // 2 and not numbers:
            dilated = f" dilated by {dilation}" if dilation > 1 else ""
            enough = 2 * begin if dilation == 1 else -(-(2 * begin - 1) // dilation) + 1
            raise PlanError(
                f"Padding {begin} is more than half of kernel {kernel}{dilated}, so PyTorch refuses it. "
                f"Lower the padding to {spans // 2} or raise the kernel to {enough}."
            )
        if max(begin, end) > dilation * (kernel - 1):
            raise PlanError(
                f"Padding {begin}:{end} holds a whole window of kernel {kernel}. "
                f"The largest padding at one end is {dilation * (kernel - 1)}."
            )


def _check_options(spec: PoolSpec) -> tuple[tuple[str, float], ...]:
    kind, given = KINDS[spec.kind], dict(spec.options)
    for name, value in given.items():
        option = kind.option(name)
        if option is None:
            raise PlanError(unknown("option", name, [o.name for o in kind.options], where=spec.kind))
        if not math.isfinite(value):
            raise PlanError(f"Option {name} of '{spec.kind}' goes from {option.low:g} to {option.high:g}, got {value}.")
        steps = (value - option.low) / option.step
        if not option.low <= value <= option.high or (option.whole and steps != int(steps)):
            near = min(max(value, option.low), option.high)
            near = option.low + option.step * round((near - option.low) / option.step) if option.whole else near
            raise PlanError(
                f"Option {name} of '{spec.kind}' goes from {option.low:g} to {option.high:g} ({option.help}), "
                f"got {value:g}. Nearest: {near:g}."
            )
    # six decimals are what the text carries, so that text and value stay inverse
    rounded = {name: round(float(value), 6) for name, value in given.items()}
    return tuple((o.name, rounded[o.name]) for o in kind.options if rounded.get(o.name, o.default) != o.default)


# ---------------------------------------------------------------------------------------------------------- parsing


def _parse_spec(text: str) -> PoolSpec:
    words = text.split()
    if not words:
        raise PlanError(f"A pooling is missing. Write it as in 'avg k2 s2'. Possible: {', '.join(KINDS)}.")
    kind = words[0]
    if kind not in KINDS:
        raise PlanError(unknown("pooling", kind, KINDS, text.strip(), same_as(kind), most=3))
    fields: dict[str, object] = {}
    options: dict[str, float] = {}
    for word in words[1:]:
        name, value = _parse_word(word, kind, text)
        if name in fields or name in options:
            raise PlanError(
                f"'{shortened(word)}' gives {name} a second time in '{shortened(text.strip())}'. Give it once."
            )
        if isinstance(value, float):
            options[name] = value
        else:
            fields[name] = value
    return PoolSpec(kind, options=tuple(options.items()), **fields)  # type: ignore[arg-type]


def _parse_word(word: str, kind: str, text: str) -> tuple[str, object]:
    """Return (field, value) of one word; an option's value is a float, nothing else is."""
    if word in _FLAGS:
        return ("ceil", True) if word == "ceil" else ("counted", False)
    if word in PLACEMENTS:
        return "placement", word
    if word in SAME:
        return "padding", word
    if word in BORDERS:
        return "border", word
    if match := re.fullmatch(r"([ksd])(-?\d+(?:x-?\d+)*)", word):
        return _LETTERS[match[1]], tuple(_whole(n) for n in match[2].split("x"))
    if match := re.fullmatch(r"p(-?\d+(?::\d+)?(?:x\d+(?::\d+)?)*)", word):
        pairs = [part.split(":") for part in match[1].split("x")]
        return "padding", tuple((_whole(pair[0]), _whole(pair[-1])) for pair in pairs)
    if match := re.fullmatch(r"([a-z]+)=(-?\d+(?:\.\d+)?)", word):
        return match[1], float(match[2])
    possible = ["kN", "sN", "pN", "dN", *_FLAGS, *SAME, *BORDERS, *PLACEMENTS]
    raise PlanError(unknown("word", word, [*possible, *(f"{o.name}=N" for o in KINDS[kind].options)], text.strip()))


def _whole(digits: str) -> int:
    """Return the number of a text of digits; Python itself reads 4,300 of them at most."""
    if len(digits) > 12:
        raise PlanError(f"A number of {len(digits):,} digits is no size. The largest is {_LARGEST}.")
    return int(digits)
