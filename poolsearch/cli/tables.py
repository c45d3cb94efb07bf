"""Rows as tables for the terminal (rich), and numbers as words: one way to write a size, a time, a count."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from poolsearch.errors import printable, shortened
from poolsearch.objectives import OBJECTIVES, USUAL
from poolsearch.plan.costs import measured, measured_where
from poolsearch.plan.kinds import Kind
from poolsearch.records.modelfiles import Difference
from poolsearch.records.network import LayerRow, Site, Totals
from poolsearch.records.sweep import TrialRow
from poolsearch.units import change, count, intensity, pixels, shape, size


class PlainConsole(Console):
    """A console that shows a text as it is: no markup in it counts, and nothing in it steers the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield what is drawn, its texts printable; what rich itself tells the terminal is left as it is."""
        for segment in super().render(renderable, options):
            yield segment if segment.control or segment.text == "\n" else segment._replace(text=_shown(segment.text))


def _shown(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def console() -> Console:
    """Return the console of stdout: as wide as the terminal, 120 columns in a pipe."""
    return PlainConsole(width=None if sys.stdout.isatty() else 120)


def _table(title: str, left: Sequence[str], right: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in left:
        table.add_column(column, overflow="fold")
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def kinds_table(kinds: Mapping[str, Kind]) -> Table:
    """Return every kind of pooling as a table, with what forward and backward cost beside the average."""
    columns = "time against the average in channels_last (in NCHW) and bytes kept, measured on"
    title = f"{len(kinds)} kinds of pooling; {columns} {measured_where()}"
    table = _table(title, ("kind", "formula", "takes", "source"), ("time", "kept"))
    costs = measured()
    for name, kind in kinds.items():
        learned = "; learned" if kind.learned else ""
        about = "\n".join([kind.formula, *kind.collapses, *([kind.note] if kind.note else [])])
        cost = costs.get(name)
        figures = (f"{cost.times:.1f} x ({cost.times_nchw:.1f})", f"{cost.kept:.1f} x") if cost else ("", "")
        table.add_row(name, about, takes_in_words(kind) + learned, kind.source, *figures)
    return table


def takes_in_words(kind: Kind) -> str:
    """Return what a kind takes, its options with their default and range."""
    options = [f"{o.name}={o.default:g} ({o.low:g} to {o.high:g})" for o in kind.options]
    return ", ".join([*kind.takes, *options]) or "the whole map"


FAMILIES = {
    "window": "Over a window",
    "learned": "Learned and rearranging",
    "anti-aliased": "Anti-aliased, and the counter-example",
    "head": "Heads: the whole map",
    "channels": "Across channels",
}


def kinds_markdown(kinds: Mapping[str, Kind]) -> str:
    """Return every kind of pooling as a page of Markdown, family by family."""
    lines = [
        "# Every pooling",
        "",
        "Made by `python -m poolsearch poolings --markdown` from the records in `poolsearch/plan/kinds.py`. *Time* is",
        "forward and backward at the usual window against torch's average, in channels_last, the layout that trains",
        "(in NCHW), *kept* what stays in memory for the backward pass against the input; measured by",
        f"`benchmarks/pooling.py` on {measured_where()}.",
        "A kind that collapses to another says so; each of these identities is tested.",
    ]
    for family, heading in FAMILIES.items():
        lines += ["", f"## {heading}", "", "| kind | formula | takes | time | kept | source |", "| --- " * 6 + "|"]
        lines += [_markdown_row(name, kind) for name, kind in kinds.items() if kind.family == family]
    return "\n".join(lines) + "\n"


def _markdown_row(name: str, kind: Kind) -> str:
    cost = measured().get(name)
    about = [f"`{kind.formula}`", *(f"`{one}`" for one in kind.collapses), *([kind.note] if kind.note else [])]
    figures = (f"{cost.times:.1f} ({cost.times_nchw:.1f})", f"{cost.kept:.1f}") if cost else ("", "")
    cells = (f"`{name}`{', learned' * kind.learned}", "<br>".join(about), takes_in_words(kind), *figures, kind.source)
    bar = "\\|"  # inside a table a bar would end the cell
    return f"| {' | '.join(cell.replace('|', bar) for cell in cells)} |"


def sites_table(title: str, sites: Sequence[Site]) -> Table:
    """Return the sites of a backbone as a table."""
    table = _table(title, ("site", "published", "in", "out", "members"))
    for site in sites:
        members = ", ".join(f"{member.path} ({member.text})" for member in site.members)
        note = f"\nlocked: {site.locked}" if site.locked else ""
        table.add_row(site.name, site.main.text, shape(site.before), shape(site.after), members + note)
    return table


def layers_table(title: str, rows: Sequence[LayerRow]) -> Table:
    """Return the layers of a Plan as a table."""
    left = ("layer", "does", "site")
    right = ("shape", "MACs", "other", "output", "moved", "FLOP/B", "sees")
    table = _table(f"{title}\nother: comparisons and additions of poolings; moved: bytes read and written", left, right)
    table.padding = (0, 1, 0, 0)  # long paths fit 120 columns
    for row in rows:
        operations = (count(n) if n else "" for n in (row.macs, row.other))
        memory = (size(row.bytes), size(row.read_bytes + row.written_bytes), intensity(row.intensity))
        table.add_row(row.path, row.op, row.site, shape(row.shape), *operations, *memory, pixels(row.field_px))
    return table


def totals_table(plan: Totals, published: Totals) -> Table:
    """Return the totals of a Plan beside those of the published network."""
    table = _table("totals for one image, float32", ("",), ("this Plan", "published", "change"))
    for name, write, field in (
        ("parameters", count, "parameters"),
        ("MACs", count, "macs"),
        ("comparisons of poolings", count, "comparisons"),
        ("additions of poolings", count, "additions"),
        ("activations", size, "activation_bytes"),
        ("activations at once, at most", size, "peak_bytes"),
        ("read", size, "read_bytes"),
        ("written", size, "written_bytes"),
        ("FLOP/byte", intensity, "intensity"),
        ("on disk, float32", size, "disk_bytes.float32"),
        ("on disk, float16", size, "disk_bytes.float16"),
        ("on disk, int8", size, "disk_bytes.int8"),
    ):
        mine, theirs = attrgetter(field)(plan), attrgetter(field)(published)
        table.add_row(name, write(mine), write(theirs), change(mine, theirs))
    table.add_row("last map", f"{shape(plan.last_map)} px", f"{shape(published.last_map)} px", "")
    table.add_row("it sees", pixels(plan.field_px), pixels(published.field_px), "")
    return table


def front_table(rows: Sequence[TrialRow], objectives: Sequence[str] = USUAL) -> Table:
    """Return the front in a sweep's objectives, fastest first, and the published network beside it."""
    shown = [OBJECTIVES[name] for name in dict.fromkeys(("latency_ms", *objectives, "accuracy"))]
    title = "Pareto front (* the published network, - beaten)"
    table = _table(title, (), ("trial", *(objective.label.lower() for objective in shown)))
    table.add_column("plan", overflow="fold")
    found = [row for row in rows if row.state == "complete" and (row.on_front or row.published)]
    for row in sorted(found, key=lambda row: row.latency_ms or 0):
        mark = ("*" if row.published else "") + ("" if row.on_front else "-")
        table.add_row(f"{mark}{row.number}", *(one.shown(one.of(row)) for one in shown), str(row.plan))
    return table


def cells_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return texts as a table, as they are, without the columns in which none of them stands."""
    kept = [number for number in range(len(columns)) if not rows or any(row[number] for row in rows)]
    table = _table(title, [columns[number] for number in kept])
    for row in rows:
        table.add_row(*(Text(printable(row[number])) for number in kept))
    return table


def differences_table(network: str, differences: Sequence[Difference], most: int = 30) -> Table:
    """Return the keys of a checkpoint that do not fit a network, with the shapes wanted and given."""
    table = _table(f"{len(differences)} keys do not fit {network}", ("key", "wanted", "given"))
    for one in differences[:most]:
        wanted = "no such key" if one.wanted is None else shape(one.wanted) or "one number"
        given = "missing" if one.given is None else shape(one.given) or "one number"
        table.add_row(Text(shortened(one.key)), wanted, given)
    if len(differences) > most:
        table.add_row(f"and {len(differences) - most} more", "", "")
    return table
