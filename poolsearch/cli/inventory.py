"""What is in a model file, in words: lines, the cells of its table, Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from poolsearch.errors import printable, shortened
from poolsearch.records.modelfiles import FileRow, Inventory, PoolingRow
from poolsearch.units import count, shape, size

POOLING_COLUMNS = ("name", "is", "kernel", "stride", "padding", "flags", "in", "out", "PoolSpec or reason")
FILE_COLUMNS = ("file", "format", "poolings", "parameters", "size", "problem")
_LONGEST = 400  # letters of a line: names in a file may go on and on
Cells = tuple[str, tuple[str, ...], list[tuple[str, ...]]]  # title, columns, rows


def inventory_lines(found: Inventory) -> list[str]:
    """Return what a model file or backbone has, in lines: network, parameters, MACs, bytes, types, keys, notes."""
    lines = [f"{found.name}: {found.format}"]
    lines += [f"network: {found.plan}"] if found.plan and found.plan != found.name else []
    macs = f", {count(found.macs)} MACs for one image" if found.macs is not None else ""
    lines.append(f"parameters: {found.parameters:,}{macs}")
    if found.bytes is not None:
        types = ", ".join(f"{name} {size(number)}" for name, number in found.dtypes)
        lines.append(f"size: {size(found.bytes)} in {found.tensors} tensors" + (f" ({types})" if types else ""))
    lines += [f"keys: {shortened(found.keys[0])} to {shortened(found.keys[-1])}"] if found.keys else []
    if found.poolings is None and not found.differences:
        lines.append("poolings: the keys alone do not say. Name the network with --backbone.")
    return [shortened(line, _LONGEST) for line in (*lines, *found.notes)]


def inventory_cells(found: Inventory | Sequence[FileRow]) -> Cells:
    """Return the poolings of a model file or backbone, or the files of a folder, as the cells of a table."""
    if isinstance(found, Inventory):
        rows = [_pooling_cells(row) for row in found.poolings or ()]
        return f"{len(rows)} poolings and strided convolutions", POOLING_COLUMNS, rows
    return f"{len(found)} model files", FILE_COLUMNS, [_file_cells(row) for row in found]


def _pooling_cells(row: PoolingRow) -> tuple[str, ...]:
    flags = ["ceil"] * row.ceil
    if row.counted is not None and row.padding:  # nothing to count without
        flags.append("counted" if row.counted else "uncounted")
    sizes = [shape(one) if one else "" for one in (row.kernel, row.stride)]
    maps = [shape(one) if one else "" for one in (row.before, row.after)]
    text = "; ".join(part for part in (row.spec, row.reason) if part)
    return tuple(printable(cell) for cell in (row.name, row.does, *sizes, row.padding, " ".join(flags), *maps, text))


def _file_cells(row: FileRow) -> tuple[str, ...]:
    numbers = ["" if one is None else f"{one:,}" for one in (row.poolings, row.parameters)]
    cells = (row.name, row.format, *numbers, size(row.bytes), row.problem)
    return tuple(shortened(cell, _LONGEST) for cell in cells)


def inventory_markdown(found: Inventory | Sequence[FileRow]) -> str:
    """Return the poolings of a model file or backbone as Markdown, or the files of a folder."""
    title, columns, rows = inventory_cells(found)
    lines = [f"- {_cell(line)}" for line in inventory_lines(found)] + [""] if isinstance(found, Inventory) else []
    if isinstance(found, Inventory) and found.differences:
        title, columns = f"{len(found.differences)} keys do not fit {found.plan}", ("key", "wanted", "given")
        rows = [
            (shortened(one.key), *("" if it is None else shape(it) for it in (one.wanted, one.given)))
            for one in found.differences
        ]
    lines = [f"## {title}", "", *lines]
    if rows:
        lines += [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
        lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text with what Markdown would read as markup escaped."""
    return "".join(f"\\{letter}" if letter in "\\`*_|<[" else letter for letter in text)
