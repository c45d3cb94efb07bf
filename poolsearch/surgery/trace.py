"""What one run of a backbone leaves behind: its calls in order, as plain values. No tensors, no modules."""

from __future__ import annotations

from dataclasses import dataclass, replace

from poolsearch.plan import PoolSpec
from poolsearch.windows import Window


@dataclass(frozen=True)
class Call:
    """One call of a torch function on the way from the input to the output."""

    op: str  # the function's name: conv2d, max_pool2d, relu, add, ...; "pool" for a pooling put in by a Plan
    path: str  # the module that made the call; "" is the network itself
    inputs: tuple[int, ...]  # indices of the calls whose results it takes
    shape: tuple[int, ...]  # of its result when it was recorded, (1, C, H, W)
    leaf: bool = False  # the module has no children: the call is what the module does
    visit: int = 0  # how often this module had run before
    window: Window | None = None  # of convolutions and poolings
    counted: bool = True
    weight: tuple[int, ...] = ()  # shape of the weight of conv2d and linear
    groups: int = 1
    dims: tuple[int, ...] = ()  # of reductions, flatten and cat
    keepdim: bool = True
    target: tuple[int, ...] = ()  # output size that an adaptive pooling was asked for
    parameters: int = 0  # numbers that the module owns, at its first call
    inplace: bool = False
    spec: PoolSpec | None = None  # of an op "pool"
    site: str = ""  # name of the site it belongs to

    @property
    def reduces(self) -> bool:
        """Return whether the call is made to shrink a map: a stride, or a collapse to a fixed size."""
        return bool(self.target) or (self.window is not None and max(self.window.stride) > 1)


@dataclass(frozen=True)
class Trace:
    """The calls of one backbone; call 0 is the input, the last one the output."""

    backbone: str
    calls: tuple[Call, ...]

    def users(self) -> dict[int, list[int]]:
        """Return, for each call, the calls that take its result."""
        users: dict[int, list[int]] = {}
        for index, call in enumerate(self.calls):
            for source in call.inputs:
                users.setdefault(source, []).append(index)
        return users

    def insert(self, after: int, new: Call, only: tuple[int, ...] | None = None) -> Trace:
        """Return the trace with a call behind call `after`, taken by all its users (or only by those named)."""

        def moved(index: int) -> int:
            return index + (index > after)

        calls = list(self.calls[: after + 1])
        calls.append(replace(new, inputs=(after,)))
        for index, call in enumerate(self.calls[after + 1 :], start=after + 1):
            rewired = only is None or index in only
            inputs = tuple(after + 1 if rewired and source == after else moved(source) for source in call.inputs)
            calls.append(replace(call, inputs=inputs))
        return replace(self, calls=tuple(calls))

    def change(self, index: int, **fields: object) -> Trace:
        """Return the trace with other fields at one call."""
        calls = list(self.calls)
        calls[index] = replace(calls[index], **fields)  # type: ignore[arg-type]
        return replace(self, calls=tuple(calls))
