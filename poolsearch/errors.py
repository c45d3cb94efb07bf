"""What can go wrong on request: one base class, and the sentence that names the nearest legal word.

Every message says what was asked, what was got and what is possible. Bugs of ours are asserts, never these.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

TRACEBACK = "POOLSEARCH_TRACEBACK"  # the variable that shows a bug's traceback; else it is one sentence
_LONGEST = 2000  # letters of a message: what was typed, or stood in a file, may be megabytes


def is_text(text: str) -> bool:
    """Return whether a text holds neither control characters nor bytes that are no UTF-8."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def printable(text: str) -> str:
    """Return a text from outside without what would steer a terminal: each such character becomes a '?'."""
    shown = (letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in text)  # Zs: all widths of space
    return "".join(letter if fine else "?" for letter, fine in zip(text, shown, strict=True))


def shortened(text: str, most: int = 80) -> str:
    """Return a name from outside, fit to stand in a sentence: cut to so many letters, unprintable ones as ?."""
    clean = printable(text[:most])
    return clean if len(text) <= most else f"{clean[: most - 3]}..."


class PoolsearchError(ValueError):
    """The request can't be carried out; the text is one plain sentence (or two) for the person who asked.

    It quotes what was typed or stood in a file, so it is made printable here, for every terminal, log and page.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__("\n".join(map(printable, text[:_LONGEST].split("\n"))))


class PlanError(PoolsearchError):
    """A Plan or PoolSpec that is misspelt or can't exist, whatever the backbone."""


class WindowError(PoolsearchError):
    """A window that doesn't fit the map it stands on."""


class MapError(PoolsearchError):
    """What was given to be pooled is no map of numbers, or one of which it is not clear what its axes are."""


class SiteError(PoolsearchError):
    """A Plan that names a site the backbone doesn't have, or asks of a site what it can't do."""


class ConfigError(PoolsearchError):
    """A sweep config with an unknown key, a wrong type or a value out of range."""


class StudyError(PoolsearchError):
    """A study that is taken, of other objectives, or can't be read."""


class BusyError(PoolsearchError):
    """Another coordinator holds the study (exit code 75)."""


class GoneError(PoolsearchError):
    """The folder of a sweep was removed, moved or replaced while the sweep ran (exit code 1)."""


class EngineError(PoolsearchError):
    """No worker can be had, here or on a cluster."""


class TrialFailed(PoolsearchError):
    """A trial that ended without a usable result; the text is the reason kept with it."""


class PictureError(PoolsearchError):
    """A file that is no picture, or one that is too large, cut short or broken."""


class WeightsError(PoolsearchError):
    """A model file that is broken, holds more than numbers, or does not fit."""


def explained(error: BaseException) -> str:
    """Return any error as a sentence for the person who asked: what the system refused, or what nobody foresaw."""
    if isinstance(error, PoolsearchError):
        return str(error)
    if isinstance(error, OSError):
        where = f" ('{shortened(str(error.filename), 200)}')" if error.filename else ""
        return f"The system refused this: {error.strerror or type(error).__name__}{where}."
    if isinstance(error, RecursionError):
        return "Something that was given is nested too deeply to be read."
    if isinstance(error, MemoryError):
        return "There is not enough memory for this."
    message = shortened(str(error).strip().split("\n")[0], 300)
    return f"This failed in a way that was not foreseen ({type(error).__name__}: {message}). {TRACEBACK}=1 shows where."


def unknown(what: str, got: str, possible: Iterable[str], where: str = "", meant: str = "", most: int = 0) -> str:
    """Return the sentence for an unknown word: what was got, the nearest legal word, all the legal words.

    `meant` is the nearest where it is known better than by its letters. Of more than `most` legal words so many are
    named, the nearest; 0 names all.
    """
    known, got, where = list(possible), shortened(got), shortened(where)
    near = [meant] if meant else difflib.get_close_matches(got.lower(), known, n=1, cutoff=0.5)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    place = f" in '{where}'" if where else ""
    if most and len(known) > most:
        nearest = dict.fromkeys([*near, *difflib.get_close_matches(got.lower(), known, n=most, cutoff=0)])
        return f"Unknown {what} '{got}'{place}.{guess} Nearest of {len(known)}: {', '.join([*nearest][:most])}."
    return f"Unknown {what} '{got}'{place}.{guess} Possible: {', '.join(known) or 'none'}."


def kind_of(thing: object) -> str:
    """Return what a thing is, for a sentence: "a list", "an ndarray of shape (3, 4)"."""
    name = type(thing).__name__
    shape = getattr(thing, "shape", None)
    article = "an" if name.startswith(("a", "e", "i", "o", "u", "ndarray")) else "a"
    return f"{article} {name}" + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")
