"""Sentences on what a Plan's sizes mean: layers that see no more, a last map of one pixel, strides without a filter.

The border layer is the first whose input has a receptive field as long as the image; layers behind it add no context
and little accuracy (Richter, Byttner, Krumnack, Schallner, Shenk 2021, arXiv:2106.12307). The field along the height
counts for both axes, against the longer side of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from poolsearch.errors import SiteError
from poolsearch.measure.cost import before_head, layer_rows, totals
from poolsearch.plan import Plan
from poolsearch.plan.kinds import KINDS
from poolsearch.records.network import LayerRow
from poolsearch.surgery import Replay, replayed
from poolsearch.surgery.checking import untrainable

_LARGER = 2  # an input of up to twice the published side can be advised; thousands of pixels nobody trains on


def unproductive(rows: Sequence[LayerRow]) -> tuple[LayerRow, ...]:
    """Return the convolutions and poolings of the main path whose input has seen the whole image already."""
    return tuple(row for row in _windows(rows) if row.covered)


def _windows(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Return the layers of the main path before the head that look through a window: convolutions and poolings."""
    return [row for row in before_head(rows) if row.main and _kind(row)]


def _kind(row: LayerRow) -> str:
    """Return the kind of a convolution or windowed pooling; "" for any other layer."""
    word = row.op.removeprefix("depthwise ").partition(" ")[0]
    return word if word in KINDS and KINDS[word].reduces in ("window", "ratio") else ""


def advice(plan: Plan) -> tuple[str, ...]:
    """Return what a Plan's sizes say against it, a sentence or two each; one sentence when they say nothing.

    Of a Plan whose maps vanish or do not meet this is the reason why it can't run.
    """
    try:
        replay, rows = replayed(plan), layer_rows(plan)
    except SiteError as error:
        return (str(error),)
    usual = max(replay.network.source.backbone.size[1:])
    found = [*_seen(rows, max(plan.size[1:]), usual), *_one_pixel(rows), *_unfiltered(replay), *replay.consequences]
    if reason := untrainable(plan):
        found.append(f"It runs, but it can't be trained at this size: {reason}")
    return tuple(found) or (_all_gain(rows, max(plan.size[1:])),)


def _seen(rows: Sequence[LayerRow], side: int, usual: int) -> list[str]:
    """Return what the border layer means, as advice that can be followed; `usual` is the published input's side."""
    late = unproductive(rows)
    border = next((row for row in _windows(rows) if row.field_px >= side), None)
    if not late or border is None:
        return []
    convolutions = sum(bool(KINDS[_kind(row)].convolution) for row in late)
    counts = [_counted(convolutions, "convolution"), _counted(len(late) - convolutions, "pooling")]
    layers = " and ".join(filter(None, counts))
    if not isfinite(border.field_px):
        return [
            f"After {border.path} every unit sees the whole {side}-pixel input; the last {layers} of the main path "
            f"cannot show it more."
        ]
    seen = (
        f"After {border.path} a unit in the middle already sees the whole {side}-pixel input (its receptive field is "
        f"{border.field_px:.0f} pixels); the last {layers} of the main path cannot show it more. "
    )
    enough = _before(rows, late[-1])
    if enough > _LARGER * usual:
        return [
            f"{seen}This network is deeper than any usual input is long: at this size a shallower one sees as much."
        ]
    return [f"{seen}Give the stem a smaller stride or kernel, or use an input of more than {enough:.0f} pixels."]


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number > 1)}" if number else ""


def _before(rows: Sequence[LayerRow], layer: LayerRow) -> float:
    """Return the receptive field of what enters a layer of the main path, in pixels."""
    main = [row for row in rows if row.main]
    place = main.index(layer)
    return main[place - 1].field_px if place else 1


def _one_pixel(rows: tuple[LayerRow, ...]) -> list[str]:
    if totals(rows).last_map != (1, 1):
        return []
    return [
        "The map is 1x1 before the head: a pooling there has one pixel to reduce. Take a stride away, or use a larger "
        "input."
    ]


def _unfiltered(replay: Replay) -> list[str]:
    names = []
    for site in replay.network.sites:
        spec = replay.plan.spec(site.name) or site.published
        if site.role != "trunk" or spec is None or KINDS[spec.kind].filters_first:
            continue
        if max(spec.stride, default=1) > 1 or KINDS[spec.kind].reduces == "ratio":
            names.append(site.name)
    if not names:
        return []
    counted = f"{len(names)} sites drop" if len(names) > 1 else "1 site drops"
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return [
        f"{counted} pixels without a filter ({shown}): detail finer than the new grid folds over. A pooling that "
        f"averages, such as blur or max-blur, keeps less of it."
    ]


def _all_gain(rows: Sequence[LayerRow], side: int) -> str:
    windows = _windows(rows)
    if not windows:
        return "No layer looks through a window, so none can gain or lose context."
    enters = _before(rows, windows[-1])
    return (
        f"All {len(windows)} convolutions and poolings still gain context: what enters the last one, "
        f"{windows[-1].path}, has seen {enters:.0f} of {side} pixels."
    )
