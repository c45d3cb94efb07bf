"""A Network: a backbone opened at one input size, the value that surgery and measurements hand on.

It is as small as its name. Its recording, its sites and its sizes are computed when they are first asked for and kept
in `memory`, for all Networks of the same source and size alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from poolsearch import memory
from poolsearch.errors import SiteError, kind_of
from poolsearch.networks.backbones import check_channels, published
from poolsearch.networks.source import Source
from poolsearch.plan import Plan
from poolsearch.records.network import Site
from poolsearch.surgery.record import record
from poolsearch.surgery.replay import Shape, sizes
from poolsearch.surgery.sites import auxiliary_sites, sites_of
from poolsearch.surgery.trace import Trace


@dataclass(frozen=True)
class Network:
    """An opened backbone at one input size (channels, height, width)."""

    source: Source
    size: tuple[int, int, int]

    @property
    def published(self) -> Plan:
        """Return the Plan of this network, with no changes."""
        return Plan(self.source.name, self.size)

    @property
    def hash(self) -> str:
        """Return 12 hexadecimal digits that name this network at this input size."""
        return self.published.hash

    @property
    def trace(self) -> Trace:
        """Return its calls as they were recorded, at whatever input size. Raises SiteError when it can't be run."""
        return record(self.source, self.size[0])

    @property
    def training_trace(self) -> Trace:
        """Return its calls in training mode, in which auxiliary heads run, too."""
        return record(self.source, self.size[0], training=True)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Return the shape of every call's result for one input of this size."""
        return tuple(sizes(self.trace, self.size))

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return its sites in network order, with the map sizes at this input size.

        Raises SiteError when it can't run at that size, with the smallest input that can.
        """
        return _sites(self)


def open_network(given: Network | Plan | str, size: tuple[int, int, int] | None = None) -> Network:
    """Return the opened network of a name, of a text with an input size, of a Plan (its published network) or its text.

    `size` is (channels, height, width), that of the text or the Plan or else the usual one when it is not given.
    Raises PlanError for what no backbone has or takes, SiteError for what is neither. Nothing is built yet.
    """
    if isinstance(given, str) and ":" in given:
        given = Plan.parse(given)
    if isinstance(given, str) and (size is None or "/" in given):
        given = published(given)
    if not isinstance(given, str | Plan | Network):
        raise SiteError(f"A backbone's name is needed, as in 'resnet18'; got {kind_of(given)}.")
    if size is None and not isinstance(given, str):
        size = given.size
    if not (isinstance(size, tuple) and len(size) == 3 and all(isinstance(n, int) for n in size)):
        raise SiteError(f"An input size is three whole numbers, as in (3, 64, 64); got {size!r}.")
    if isinstance(given, Network):
        given = given.published
    plan = Plan(given, size) if isinstance(given, str) else given
    if plan.size != size:
        plan = replace(plan, size=size, sites=())
    check_channels(plan)
    return Network(Source(plan.backbone), plan.size)


@memory.kept
def _sites(network: Network) -> tuple[Site, ...]:
    trace = network.trace
    try:
        found = sites_of(trace, network.shapes)
    except SiteError as error:
        raise SiteError(f"{error} {_smallest(network)}".rstrip()) from None
    return (*found, *auxiliary_sites(network.training_trace, network.size)) if trace.idle else found


def _smallest(network: Network) -> str:
    """Return the sentence that names the smallest square input the published network runs at; "" where none does."""
    channels, name = network.size[0], network.source.name
    for side in range(1, network.source.backbone.size[1] + 1):
        try:
            sizes(network.trace, (channels, side, side))
        except SiteError:
            continue
        return f"The smallest input of {name} is {channels}x{side}x{side}."
    return ""
