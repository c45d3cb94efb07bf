"""Numbers as text: one way to write a count, a size, a time, a shape, a change, and a table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from poolsearch.config import TRIALS_MOST
from poolsearch.records.sweep import SweepStatus


def count(number: float) -> str:
    """Return a count in three digits: 11.7 M, 1.81 G, 940."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{_three_digits(number / limit)} {unit}"
    return f"{number:.0f}"


def size(number: float) -> str:
    """Return bytes in binary units: 3.06 MiB."""
    for limit, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= limit:
            return f"{_three_digits(number / limit)} {unit}"
    return f"{number:.0f} B"


def _three_digits(number: float) -> str:
    """Return a number of 1 to 1023 in three digits, four above 999: never with an exponent."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def intensity(number: float) -> str:
    """Return FLOP per byte: 16.3, 0.12; empty where nothing is computed."""
    return f"{number:.3g}" if number else ""


def pixels(number: float) -> str:
    """Return a length in pixels; what sees the whole image says so."""
    return "all" if number == float("inf") else f"{number:.0f} px"


def duration(seconds: float) -> str:
    """Return a time in words: 42 s, 3 min 5 s, 4 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if minutes >= 10 or not rest else f"{minutes} min {rest} s"


def left_in_words(seconds: float) -> str:
    """Return the time left, rounded as far as it is known: "about 40 s left", "about 3 min left"."""
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5):.0f} s left"
    return f"about {round(seconds / 60):.0f} min left"


def of_budget(status: SweepStatus) -> str:
    """Return how much of its budget a sweep has used: "12 of 24 trials, 1 failed", "12 trials, 50 s of 5 min"."""
    open_end = status.minutes and status.trials >= TRIALS_MOST
    text = f"{status.ended} trials" if open_end else f"{status.ended} of {status.trials} trials"
    text += f", {duration(status.elapsed_s)} of {duration(60 * status.minutes)}" if status.minutes else ""
    text += f", {status.failed} failed" if status.failed else ""
    return f"{text}, {status.cancelled} cancelled" if status.cancelled else text


def shape(values: Sequence[int]) -> str:
    """Return a shape in words: 64x32x32."""
    return "x".join(map(str, values))


def csv_text(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV, one line below the head for each of `lines`; a tuple is written as a shape."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([shape(cell) if isinstance(cell, tuple) else cell for cell in line] for line in lines)
    return file.getvalue()


def change(mine: float, theirs: float) -> str:
    """Return the relative change in percent, signed; "same" when there is none."""
    if mine == theirs:
        return "same"
    if not theirs:
        return "new"
    percent = 100 * (mine - theirs) / theirs
    return f"{percent:+.1f} %" if abs(percent) >= 0.05 else "below 0.1 %"
