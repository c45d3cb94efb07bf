"""What one pooling does to one picture, number by number.

Frozen records of plain numbers, each with its unit in its name. No torch, no study, no session; arrays are numpy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One pixel in the arithmetic of an output cell."""

    row: int
    column: int
    value: float
    weight: float | None


@dataclass(frozen=True)
class Cell:
    """How one output number comes about."""

    form: str  # pick, mean, weighted, root, copy, logexp or deviation
    window: tuple[int, int, int, int]  # row, column, rows, columns on the input; may reach outside
    terms: tuple[Term, ...]
    divisor: float
    winner: int | None  # index of the term that was picked
    gradient: tuple[tuple[int, int, float], ...] | None  # (row, column, d output / d input) where it is not zero


@dataclass(frozen=True)
class Stage:
    """One pooling on one small picture, cell by cell; all sizes in pixels."""

    input: tuple[tuple[float, ...], ...]
    output: tuple[tuple[float, ...], ...]
    outside: tuple[tuple[int, int, float], ...]  # (row, column, value) of the numbers in the border
    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    name: str  # of what picks
    number: float | None  # the exponent of a root, the sharpness of a log-sum-exp
    range: tuple[float, float]  # of the grey scale
    captions: tuple[str, str]  # above the input, above the output
    cells: tuple[Cell, ...]  # in reading order of the output
    id: str  # changes whenever anything here does


@dataclass(frozen=True)
class Comparison:
    """One layer in one framework."""

    title: str
    rule: str  # why its numbers are what they are
    values: tuple[tuple[float, ...], ...] | None
    refused: str = ""  # why there are none
    differs: tuple[tuple[int, int], ...] = ()  # row and column of each number that the first framework has not
    input: tuple[tuple[float | None, ...], ...] = ()  # with its padding; None where the padding holds no number
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))  # begin and end of both axes: those cells are no pixels
    windows: tuple[tuple[int, int, int, int], ...] = ()  # of each output: row, column, rows, columns of the map
