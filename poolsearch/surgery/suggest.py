"""Another kind at a site: the one rule by which the pages, the sweeps and the benchmarks fill in a spec.

A kind, a kernel, a stride and a placement can be asked for. The padding follows from them: at every input size the map
is as large as the one that the published pooling leaves. Where several paddings do, the first is taken of: the same at
both ends, ceil mode, one pixel more at the end. A kind that has only some kernels takes the nearest that can keep the
size. A kind without padding (`area`, `subsample`), or a kernel smaller than what the size asks for, leaves the nearest
size that it can. A pooling that is asked for another stride has no published size to keep: it gets the usual padding,
(kernel - 1) / 2 at both ends, rounded down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial

from poolsearch.errors import PlanError
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS, adaptive
from poolsearch.plan.spec import Padding
from poolsearch.plan.windows import effective, output_size, same_padding, spread
from poolsearch.records.network import Site

Pair = tuple[int, int]  # rows, columns
SizeRule = Callable[[int, int], int]  # (axis, pixels that come in) -> pixels that go out


@lru_cache(maxsize=8192)
def suggest(
    site: Site,
    kind: str,
    kernel: tuple[int, ...] = (),
    stride: tuple[int, ...] = (),
    placement: str = "after",
    like: PoolSpec | None = None,
) -> PoolSpec:
    """Return the spec of a kind at an open site; what is not asked for is the published pooling's.

    `like` is a spec whose size rule is kept instead of the published one's.
    """
    own = site.published
    assert own is not None, "only an open site, which has a published spec, can take another kind"
    stride, takes = stride or own.stride or (2,), KINDS[kind].takes
    convolution = site.form == "convolution"
    as_published = kind == own.kind and like is None and kernel in ((), own.kernel)
    if site.keeps_convolution(kind) or as_published:
        return replace(own, stride=stride)
    placement = placement if convolution else "after"
    make = partial(
        PoolSpec,
        kind,
        stride=stride,
        counted=own.counted if kind == own.kind else True,
        placement=placement,
        options=own.options if {kind, own.kind} <= {*adaptive()} else (),
    )
    if "kernel" not in takes:
        return make()
    kernels = _kernels(kind, _pair(kernel or _usual_kernel(site)), bool(kernel))
    if not convolution and like is None and stride != own.stride and not isinstance(own.padding, str):
        first = next(kernels)
        return make(first, padding=tuple(((n - 1) // 2, (n - 1) // 2) for n in first))
    wanted, nearest = size_rule(site, stride, placement, like), list[PoolSpec]()
    for size in kernels:
        for spec in _padded(partial(make, size), _pair(stride), wanted, own.padding, "ceil" in takes):
            if _keeps(spec, wanted):
                return spec
        nearest.append(spec)
    return nearest[0]


def other_kind(site: Site, now: PoolSpec, kind: str) -> PoolSpec:
    """Return another kind in the place of what stands at a site: what was asked for there stays asked for."""
    kernel, stride = _asked(site, now)
    if now.kind in KINDS and "kernel" in KINDS[now.kind].takes and not follows_rule(site, now):
        return suggest(site, kind, now.kernel, now.stride, now.placement, now)  # its padding was chosen by hand
    return suggest(site, kind, kernel, stride, now.placement)


def other_window(site: Site, now: PoolSpec, **asked: tuple[int, ...] | str) -> PoolSpec:
    """Return what stands at a site with another kernel, stride or placement; a padding chosen by hand stays."""
    if not follows_rule(site, now) or site.keeps_convolution(now.kind):
        return replace(now, **asked)  # type: ignore[arg-type]
    kernel, stride = _asked(site, now)
    given = {"kernel": kernel, "stride": stride, "placement": now.placement} | asked
    new = suggest(site, now.kind, **given)
    return replace(
        now, kernel=new.kernel, stride=new.stride, padding=new.padding, ceil=new.ceil, placement=new.placement
    )


def follows_rule(site: Site, now: PoolSpec) -> bool:
    """Return whether a spec's window is the rule's own for its kernel and stride."""
    kernel, stride = _asked(site, now)
    rule = suggest(site, now.kind, kernel, stride, now.placement)
    fields = ("kernel", "stride", "padding", "dilation", "ceil")
    return all(getattr(now, field) == getattr(rule, field) for field in fields)


def _asked(site: Site, now: PoolSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the kernel and the stride of a spec, empty where they are what the rule takes of itself."""
    usual = suggest(site, now.kind, placement=now.placement)
    return (
        () if now.kernel == usual.kernel else now.kernel,
        () if now.stride == usual.stride else now.stride,
    )


def _pair(values: tuple[int, ...]) -> Pair:
    """Return (rows, columns) of a field of a spec, 1 where it is not given."""
    rows, columns = spread(values, 2, 1)
    return rows, columns


def _usual_kernel(site: Site) -> tuple[int, ...]:
    """Return the kernel of the published pooling; of a convolution, whose kernel is made for learning, 2 or 3."""
    own = site.published
    assert own is not None
    if site.form != "convolution":
        return own.kernel or (2,)
    return tuple(n if 2 <= n <= 3 else 3 for n in own.kernel)


def _kernels(kind: str, wanted: tuple[int, ...], asked: bool) -> Iterator[Pair]:
    """Yield the kernels to try, the nearest that the kind has first; one that is asked for and exists alone."""
    there = KINDS[kind].kernels
    if there is None or (asked and set(wanted) <= set(there)):
        yield wanted[0], wanted[1]
        return
    order = [sorted(there, key=lambda size: abs(size - n)) for n in wanted]
    yield from zip(*order, strict=True)


def _padded(
    make: Callable[..., PoolSpec], stride: Pair, wanted: SizeRule, own: Padding, ceil: bool
) -> Iterator[PoolSpec]:
    """Yield a kernel with each padding that might keep the size, last the legal one that comes nearest."""
    kernel = spread(make().kernel, 2, 1)
    flat, up = (
        [_total(kernel[axis], stride[axis], partial(wanted, axis), rounded) for axis in (0, 1)]
        for rounded in (False, True)
    )
    tries: list[tuple[Padding, bool]] = [(own, False)] if isinstance(own, str) else []
    for total, rounded in ((flat, False), (up, True)):
        if all(n is not None and n >= 0 and n % 2 == 0 for n in total) and (ceil or not rounded):
            tries.append((tuple((n // 2, n // 2) for n in total if n is not None), rounded))
    if all(n is not None and n >= 0 for n in flat):
        tries.append((tuple((n // 2, n - n // 2) for n in flat if n is not None), False))
    near = [min(max(k - 1 if n is None else n, 0), k // 2 * 2) // 2 for n, k in zip(flat, kernel, strict=True)]
    for padding, rounded in (*tries, (tuple((n, n) for n in near), False)):
        with contextlib.suppress(PlanError):  # more padding than this kernel may have
            yield make(padding=padding, ceil=rounded)


def _total(kernel: int, stride: int, wanted: Callable[[int], int], ceil: bool) -> int | None:
    """Return how many pixels of padding leave the wanted sizes, below zero where pixels would have to go."""
    for total in sorted(range(-2 * kernel - stride, 3 * kernel + 8), key=lambda n: (n % 2, abs(n))):
        sizes = _lengths(kernel)
        if all(output_size(n, kernel, stride, total // 2, total - total // 2, 1, ceil) == wanted(n) for n in sizes):
            return total
    return None


def _lengths(kernel: int) -> range:
    """Return lengths of an axis that hold for all: the rules repeat themselves with the stride (at most 16)."""
    return range(max(kernel, 16), max(kernel, 16) + 48)


def keeps_size(site: Site, spec: PoolSpec) -> bool:
    """Return whether a spec leaves maps of the published size at every input size."""
    own = site.published
    assert own is not None
    if KINDS[spec.kind].reduces != "window":
        return True
    if site.keeps_convolution(spec.kind):
        return spec == own
    return _keeps(spec, size_rule(site, own.stride, spec.placement))


def _keeps(spec: PoolSpec, wanted: SizeRule) -> bool:
    kernel, stride = spread(spec.kernel, 2, 1), spread(spec.stride, 2, 1)
    return all(_out(spec, axis, n) == wanted(axis, n) for axis in (0, 1) for n in _lengths(max(*kernel, *stride)))


def _out(spec: PoolSpec, axis: int, n: int) -> int:
    """Return the output length of a spec's window along one axis."""
    kernel, stride = spread(spec.kernel, 2, 1)[axis], spread(spec.stride, 2, 1)[axis]
    dilation = spread(spec.dilation, 2, 1)[axis]
    if isinstance(spec.padding, str):
        begin, end = same_padding(n, kernel, stride, dilation)
    else:
        begin, end = (spec.padding * 2 if len(spec.padding) == 1 else spec.padding or ((0, 0), (0, 0)))[axis]
    return output_size(n, kernel, stride, begin, end, dilation, spec.ceil)


def size_rule(site: Site, stride: tuple[int, ...], placement: str = "after", like: PoolSpec | None = None) -> SizeRule:
    """Return the size rule of the map that a pooling at a site has to leave, of the map that reaches the pooling.

    Behind a convolution that now runs at stride 1 this is the length divided by the stride, rounded up, whatever its
    kernel and padding. Before it, the convolution's own loss of pixels comes on top.
    """
    own = like or site.published
    assert own is not None
    if site.form != "convolution" or (like is not None and KINDS[like.kind].convolution != "dense"):
        shown = replace(own, stride=stride)
        return lambda axis, n: _out(shown, axis, n)
    strides, lost = spread(stride, 2, 1), (0, 0)
    if placement != "after" and not isinstance(own.padding, str):
        pads = own.padding * 2 if len(own.padding) == 1 else own.padding or ((0, 0), (0, 0))
        spans = zip(spread(own.kernel, 2, 1), spread(own.dilation, 2, 1), strict=True)
        spanned = [effective(kernel, dilation) - 1 for kernel, dilation in spans]
        lost = (spanned[0] - sum(pads[0]), spanned[1] - sum(pads[1]))
    keeps = lost if placement == "before" else (0, 0)  # hybrid: a 1x1 convolution loses nothing
    return lambda axis, n: -(-(n - lost[axis]) // strides[axis]) + keeps[axis]
