"""What one run of a backbone leaves behind: its calls in order, as plain values. No tensors, no modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import Window

# How the height and width of a call's result follow from its first input's:
# same: they are those of call `size_from`; window: a kernel's arithmetic; ceil: the input divided by the stride,
# rounded up; fixed: `target`, whatever comes in; grow: pixels added or cut off; step: every n-th; ratio: as recorded
SizeRule = Literal["input", "same", "window", "ceil", "fixed", "grow", "step", "ratio"]


@dataclass(frozen=True)
class Call:
    """One call of a torch function on the way from the input to the output, as it was recorded."""

    op: str  # the function's name: conv2d, max_pool2d, relu, add, ...; "pool" for a pooling put in by a Plan
    path: str  # the module that made the call; "" is the network itself
    inputs: tuple[int, ...]  # indices of the calls whose results it takes
    shape: tuple[int, ...]  # of its result when it was recorded, (1, C, H, W) mostly
    leaf: bool = False  # the module has no children: the call is what the module does
    visit: int = 0  # how often this module had run before
    ordinal: int = 0  # how often this module had called this function before, in the same visit
    type: str = ""  # class of the module
    window: Window | None = None  # of convolutions and poolings
    counted: bool = True
    weight: tuple[int, ...] = ()  # shape of the weight of conv2d and linear
    learned: bool = True  # the weight is a parameter, not a buffer
    groups: int = 1
    dims: tuple[int, ...] = ()  # of reductions, permutations, flatten and cat; steps of a slice
    keepdim: bool = True
    target: tuple[int, ...] = ()  # output size that a reduction to a fixed size was asked for
    grow: tuple[tuple[int, int], ...] = ()  # pixels that pad adds to (rows, columns), begin and end
    outside: tuple[tuple[int, ...], ...] = ()  # shapes of tensors that come from no call: parameters, buffers
    parameters: int = 0  # numbers that the module owns, and those of others that the call takes, at their first call
    buffer_bytes: int = 0  # on disk, of the module's own buffers, at its first call
    shares: bool = False  # the result lies in the memory of its first input: a view, or written over it
    freed: int = 0  # else: the memory of the result is free again before this call; 0: not before the end
    inplace: bool = False
    spec: PoolSpec | None = None  # of an op "pool"
    site: str = ""  # name of the site it belongs to


@dataclass(frozen=True)
class SizedCall(Call):
    """A call with the rule of its sizes, which `layout.propagate` finds: how its map follows from those before it."""

    size_rule: SizeRule = "input"
    size_from: int = 0  # the call whose map leads
    map: tuple[int, int] = (1, 1)  # height and width when recorded, also where the shape does not show them
    spatial_axes: tuple[int, int] | None = (-2, -1)  # axes of height and width; None where there are none
    flattened_axis: int | None = None  # axis whose length goes with height times width
    gates: tuple[int, ...] = ()  # inputs that only scale or shift a map as a whole

    @property
    def channels_last(self) -> bool:
        """Return whether the result is a map of (1, H, W, C)."""
        return len(self.shape) == 4 and self.spatial_axes == (-3, -2)

    @property
    def channels(self) -> int:
        """Return how many channels the result has."""
        return self.shape[-1] if self.channels_last else self.shape[1]

    def map_in(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return height and width as they stand in a shape of this result; None where no axes are theirs."""
        if self.spatial_axes is None:
            return None
        height, width = self.spatial_axes
        return shape[height], shape[width]

    @property
    def reduces(self) -> bool:
        """Return whether the call shrinks a map: by a stride, a step, or a collapse to a fixed size."""
        if self.op == "pool" or self.window is not None:
            return self.size_rule in ("window", "ceil") and self.window is not None and max(self.window.stride) > 1
        return self.size_rule in ("fixed", "step")


def _rewired(call: SizedCall, source: Callable[[int], int]) -> SizedCall:
    """Return the call with other places for what it takes: dataclasses.replace takes four times as long."""
    new = object.__new__(SizedCall)
    new.__dict__.update(call.__dict__)
    new.__dict__["inputs"] = tuple([source(place) for place in call.inputs])
    new.__dict__["size_from"] = source(call.size_from)
    if call.gates:
        new.__dict__["gates"] = tuple([source(place) for place in call.gates])
    return new


@dataclass(frozen=True)
class Trace:
    """The calls of one backbone; call 0 is the input, `outputs` are what it returns."""

    backbone: str
    calls: tuple[SizedCall, ...]
    outputs: tuple[int, ...] = ()
    idle: bool = False  # some layers with weights did not run: heads for training only
    parameters: int = 0  # numbers of the network that no call above accounts for
    buffer_bytes: int = 0  # and bytes of buffers on disk

    def users(self) -> dict[int, list[int]]:
        """Return, for each call, the calls that take its result."""
        users: dict[int, list[int]] = {}
        for index, call in enumerate(self.calls):
            for source in call.inputs:
                users.setdefault(source, []).append(index)
        return users

    def home(self, index: int) -> int:
        """Return the call in whose memory the result of a call lies."""
        while self.calls[index].shares:
            index = self.calls[index].inputs[0]
        return index

    def insert(self, after: int, new: SizedCall, only: tuple[int, ...] | None = None) -> Trace:
        """Return the trace with a call behind call `after`, taken by all its users (or only by those named)."""

        def moved(index: int) -> int:
            return index + (index > after)

        calls = list(self.calls[: after + 1])
        held = self.home(after)
        until = moved(self.calls[held].freed) if only is None else max(only) + 2
        calls.append(replace(new, inputs=(after,), size_from=after, freed=until))
        for index, call in enumerate(self.calls[after + 1 :], start=after + 1):
            rewired = only is None or index in only

            def source(place: int, rewired: bool = rewired) -> int:
                return after + 1 if rewired and place == after else moved(place)

            calls.append(_rewired(call, source))
        for index, call in enumerate(calls):
            if call.freed > after and index != after + 1:
                calls[index] = replace(call, freed=call.freed + 1)
        if only is None:  # whoever held the result holds the new one instead
            calls[held] = replace(calls[held], freed=after + 2)
        outputs = tuple(after + 1 if only is None and i == after else moved(i) for i in self.outputs)
        return replace(self, calls=tuple(calls), outputs=outputs)

    def change(self, index: int, **fields: object) -> Trace:
        """Return the trace with other fields at one call."""
        calls = list(self.calls)
        calls[index] = replace(calls[index], **fields)  # type: ignore[arg-type]
        return replace(self, calls=tuple(calls))
