"""What is known of a network: its sites, its layers, its totals, its latency, and how its activations are spread.

Frozen records of plain numbers, each with its unit in its name. No torch, no study, no session; arrays are numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Member:
    """One reduction of a site: a pooling, or a strided convolution, and where a pooling may be attached behind it."""

    path: str
    form: Literal["pooling", "convolution", "function"]
    text: str  # what the published network has there
    spec: PoolSpec | None
    call: int  # index in the trace
    entering: int  # channels that a pooling before it would see
    channels: int  # and one in its place or behind it
    activation: int | None = None  # call of the activation behind a convolution
    anchor: tuple[Literal["after", "before"], str] | None = None  # module whose output or input that activation is


@dataclass(frozen=True)
class Behind:
    """The fully connected layer that takes what a head leaves, with nothing but a flattening in between."""

    path: str
    call: int  # index in the trace
    numbers: int  # that it takes of each channel: 49 of a map of 7x7
    last: bool  # it is the classifier: its outputs are the network's


@dataclass(frozen=True)
class Site:
    """A place in a backbone where height and width shrink; parallel branches that must agree are one site."""

    name: str
    role: Literal["trunk", "head", "gate", "aux"]
    members: tuple[Member, ...]
    channels: int
    before: tuple[int, int]  # height and width that enter, in pixels
    after: tuple[int, int]
    locked: str = ""  # why nothing else can stand here, in words
    behind: Behind | None = None  # of a head
    keeps_size: bool = False  # a pooling that keeps the map's size: its kind can change, its stride can't

    @property
    def main(self) -> Member:
        """Return the member that gives the site its published spec: the one on the longest path."""
        return self.members[0]

    @property
    def published(self) -> PoolSpec | None:
        """Return what the published network has here (None where no PoolSpec says it)."""
        return self.main.spec

    @property
    def form(self) -> Literal["pooling", "convolution", "function"]:
        """Return the form of the main member."""
        return self.main.form

    def keeps_convolution(self, kind: str) -> bool:
        """Return whether this kind here is the site's own convolution: its kernel and padding belong to its weights."""
        return self.form == "convolution" and KINDS[kind].convolution == "dense"


@dataclass(frozen=True)
class LayerRow:
    """One layer of a rebuilt network for one image: nothing was computed to know this."""

    path: str
    op: str
    site: str
    shape: tuple[int, ...]  # (C, H, W), or (features,)
    parameters: int
    macs: int  # multiply-accumulates
    comparisons: int  # of a pooling: k·k - 1 an output for a maximum
    additions: int  # of a pooling, each division, power or root counted as one: k·k an output for an average
    bytes: int  # of its output in float32; 0 when it writes over its input
    read_bytes: int  # its input maps and its weights, each once, in float32; 0 for a view
    written_bytes: int  # its output, also where it lies on its input; 0 for a view
    live_bytes: int  # all results that are still needed while it runs, its own among them
    buffer_bytes: int  # on disk, of what is kept but not learned: the running statistics of a batch norm
    field_px: float  # receptive field in input pixels; infinite behind a global pooling
    jump_px: float  # input pixels between two neighbouring outputs
    beside: bool = False  # on a branch beside the main path of its site: a shortcut
    main: bool = True  # on the path of the largest receptive field from the input to the output
    covered: bool = False  # the receptive field of what enters it is as long as the whole image

    @property
    def height(self) -> int:
        """Return the height of the map in pixels (1 for a vector)."""
        return self.shape[1] if len(self.shape) == 3 else 1

    @property
    def width(self) -> int:
        """Return the width of the map in pixels (1 for a vector)."""
        return self.shape[2] if len(self.shape) == 3 else 1

    @property
    def other(self) -> int:
        """Return the operations of a pooling that are no MACs: its comparisons and additions."""
        return self.comparisons + self.additions

    @property
    def intensity(self) -> float:
        """Return the FLOP for each byte read or written, a MAC counted as two; 0 for a view."""
        moved = self.read_bytes + self.written_bytes
        return (2 * self.macs + self.other) / moved if moved else 0.0


@dataclass(frozen=True)
class LayerPair:
    """One layer in two Plans of one backbone; None where a Plan does not have it."""

    path: str
    site: str
    a: LayerRow | None
    b: LayerRow | None


@dataclass(frozen=True)
class DiskBytes:
    """The size of a network's weights on disk by the type of its parameters; the statistics of norms stay float32."""

    float32: int
    float16: int
    int8: int


@dataclass(frozen=True)
class Totals:
    """The sums over the layers of one Plan."""

    parameters: int
    macs: int
    comparisons: int
    additions: int
    activation_bytes: int
    read_bytes: int
    written_bytes: int
    peak_bytes: int  # the largest sum of results that are needed at once, at inference
    disk_bytes: DiskBytes
    last_map: tuple[int, int]  # height and width in pixels, before the head
    field_px: float  # receptive field of that map

    @property
    def other(self) -> int:
        """Return the operations of poolings that are no MACs: their comparisons and additions."""
        return self.comparisons + self.additions

    @property
    def intensity(self) -> float:
        """Return the FLOP for each byte read or written, over all layers."""
        moved = self.read_bytes + self.written_bytes
        return (2 * self.macs + self.other) / moved if moved else 0.0


@dataclass(frozen=True)
class LatencyRow:
    """How long one forward pass takes; CPU time of the calling thread and wall time, both kept."""

    plan: str
    batch: int
    calls: int
    device: str
    cpu_ms: float  # median thread_time
    low_ms: float  # 95 % interval of the median of the figure to compare
    high_ms: float
    wall_ms: float  # median
    wall_p95_ms: float

    @property
    def ms(self) -> float:
        """Return the figure to compare: thread time on a CPU (preemption is not in it), wall time on a GPU."""
        return self.cpu_ms if self.device == "cpu" else self.wall_ms

    @property
    def busy(self) -> bool:
        """Return whether the machine was so busy that wall time says little (over 1.1 times the CPU time)."""
        return self.device == "cpu" and self.wall_ms > 1.1 * self.cpu_ms


@dataclass(frozen=True)
class Histogram:
    """How often each activation value occurs: counts between edges, and the share of exact zeros."""

    edges: Array
    counts: NDArray[np.int64]
    zeros: float
    mean: float
    deviation: float
