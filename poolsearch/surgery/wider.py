"""The fully connected layer behind a head: where a head leaves another number of numbers, it takes that many.

Its weights stay the published ones, summed and tiled; nothing is drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.records.network import Site
from poolsearch.surgery.trace import Trace


@dataclass(frozen=True)
class Widen:
    """Another width of the fully connected layer behind a head: it takes `blocks` numbers of each channel.

    Its weights are summed over the numbers that it took of a channel: a map of one value gives the same answer. Then
    they are tiled, each tile divided by how many there are, so that equal numbers give the same answer, too.
    """

    site: str
    path: str
    call: int
    head: int  # call of the pooling
    channels: int
    numbers: int  # that it took of each channel
    blocks: tuple[int, ...]  # one behind the other: of each channel, so many numbers
    spec: PoolSpec

    def sentence(self) -> str:
        """Return what happens to the layer, in a sentence."""
        takes, took, tiles = self.channels * sum(self.blocks), self.channels * self.numbers, sum(self.blocks)
        done = []
        if self.numbers > 1:
            done = [f"summed over its {self.numbers} pixels, as if what the head leaves stood at each of them"]
        if tiles > 1:
            done += [f"tiled {tiles} times, each tile divided by {tiles}"]
        return f"{self.path} takes {takes:,} numbers instead of {took:,}: its weights are {', then '.join(done)}."


def widened(site: Site, spec: PoolSpec) -> list[Widen]:
    """Return the edit of the layer behind a head that leaves another number of numbers than the published one."""
    behind, blocks = site.behind, blocks_of(spec)
    if behind is None or sum(blocks) == behind.numbers:
        return []
    place = (behind.path, behind.call, site.main.call)
    return [Widen(site.name, *place, site.channels, behind.numbers, blocks, spec)]


def blocks_of(spec: PoolSpec) -> tuple[int, ...]:
    """Return how many numbers of each channel a head leaves, block behind block."""
    kind = KINDS[spec.kind]
    if kind.reduces == "bins":
        return (int(spec.option("size")) ** 2,)
    if kind.channels == "levels":
        return tuple(n * n for n in range(1, int(spec.option("levels")) + 1))
    return (1, 1) if kind.channels == "double" else (1,)


def wider(trace: Trace, head: int, linear: int, change: Widen) -> Trace:
    """Write the width that a head leaves into all calls from it to the fully connected layer."""
    numbers = sum(change.blocks)
    area = numbers if KINDS[change.spec.kind].reduces == "bins" else 1
    old = trace.calls[linear]
    index = old.inputs[0]
    while index >= head:
        call = trace.calls[index]
        if len(call.shape) == 4:
            shape = (1, change.channels * numbers // area, *call.shape[2:])
            trace = trace.change(index, shape=shape)
        else:
            trace = trace.change(index, shape=(1, change.channels * numbers), spatial_axes=None, flattened_axis=None)
        index = call.inputs[0]
    rows, columns = old.weight[0], change.channels * numbers
    parameters = old.parameters + rows * (columns - old.weight[1])
    return trace.change(linear, weight=(rows, columns), parameters=parameters, spatial_axes=None, flattened_axis=None)
