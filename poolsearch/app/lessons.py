"""Eight lessons: links that open a page in an exact state, with the controls hidden that the lesson does not need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode


@dataclass(frozen=True)
class Lesson:
    """One lesson: what is set, what is hidden, and the three sentences beside the stage."""

    title: str
    page: str  # its address; "" is Pooling by hand
    state: Mapping[str, str | int | bool] = field(default_factory=dict)  # control -> its value, as the control has it
    hide: tuple[str, ...] = ()
    sentences: tuple[str, str, str] = ("", "", "")
    cell: str = ""  # of the output that is open at first, row-column; "" is the first one

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """Return the value of every control of its page, as the control has it."""
        usual = IMAGE if self.page == "image" else BY_HAND
        return {**{key: value for key, value in usual.items() if value is not None}, **self.state}


# Every control that a lesson may hide, and what it is set to where the lesson says nothing; None: it sets itself.
Setting = str | int | bool | None
BY_HAND: dict[str, Setting] = {
    "image": "Temple", "move": 0, "own": None, "pooling": "Max", "kernel": 2, "across": "same", "stride": 2,
    "padding": "0", "border": "usual", "dilation": 1, "ceil": False, "counted": True, "view": "Forward",
    "predict": False, "sum": False, "options": None,
}  # fmt: skip
IMAGE: dict[str, Setting] = {
    "photo": "Temple", "own": None, "left": "Max", "right": "Max-blur", "window": 3, "step": 4, "shift": 0, "salt": 0,
    "show": "Output",
}  # fmt: skip


def _but(controls: Mapping[str, Setting], *shown: str) -> tuple[str, ...]:
    """Return the controls to hide so that only these are shown."""
    return tuple(name for name in controls if name not in shown)


LESSONS: dict[str, Lesson] = {
    "average": Lesson(
        "What average pooling is",
        "",
        {"image": "Digit", "pooling": "Average"},
        _but(BY_HAND, "predict", "image"),
        (
            "Each output is the mean of a 2 x 2 window, so 64 numbers become 16.",
            "The mean keeps how much ink there is and forgets where in the window it was.",
            "Switch on Predict first, and say each number before it shows.",
        ),
        cell="1-2",  # the first window of the digit holds four zeros
    ),
    "salt": Lesson(
        "Max against average on salt",
        "image",
        {"left": "Max", "right": "Average", "window": 4, "step": 4, "salt": 5},
        _but(IMAGE, "salt"),
        (
            "Salt sets single pixels to white, 5 in 100 of them here.",
            "A maximum keeps each of them and spreads it over its window; an average dilutes it to a sixteenth.",
            "Move the slider and watch which side goes white: where noise is bright, max is the wrong choice.",
        ),
    ),
    "blur": Lesson(
        "Why blur exists",
        "image",
        {"left": "Max", "right": "Max-blur", "step": 4, "shift": 1},
        _but(IMAGE, "shift", "show"),
        (
            "The picture moves by one pixel, and a pooling with stride 4 should hardly notice.",
            "A plain maximum notices: detail finer than its stride folds over into new, false detail.",
            "A blur before the stride removes that detail first, and the curve below falls.",
        ),
    ),
    "edge": Lesson(
        "The edge: three frameworks, one layer",
        "",
        {"image": "Ones", "pooling": "Average", "kernel": 3, "padding": "1", "view": "Frameworks"},
        _but(BY_HAND, "image", "kernel", "padding"),
        (
            "Every input is 1, so every difference comes from the border.",
            "PyTorch counts the padding's zeros and gets 4/9 in the corner; the others leave them out and get 1.",
            "Change the image: TensorFlow also starts its windows one pixel later, so cells inside differ, too.",
        ),
    ),
    "overlap": Lesson(
        "Overlap and stride",
        "",
        {"image": "Digit", "pooling": "Max", "kernel": 3, "stride": 1, "padding": "same-upper"},
        _but(BY_HAND, "kernel", "stride"),
        (
            "The kernel says how much a window sees, the stride how far it moves.",
            "With stride 1 the windows overlap: point at an input cell, and see how many outputs read it.",
            "With this padding only the stride throws numbers away; a larger kernel makes the neighbours alike.",
        ),
        cell="2-3",
    ),
    "gradient": Lesson(
        "Where the gradient goes",
        "",
        {"image": "Temple", "pooling": "Max", "view": "Backward", "beta": 8},
        _but(BY_HAND, "pooling", "sum"),
        (
            "In training the gradient of each output goes back to the pixels that made it.",
            "A maximum gives all of it to the winner: switch on All outputs, and three of four pixels get nothing. "
            "An average shares equally.",
            "Choose Soft: a pixel far below the rest gets a negative share, in the other colour.",
        ),
    ),
    "global": Lesson(
        "Global average pooling, and what it forgets",
        "",
        {"image": "Digit", "pooling": "Global average, head"},
        _but(BY_HAND, "image", "move", "pooling"),
        (
            "At the head of most networks each map becomes one number, its mean.",
            "Move the digit: its mean stays the same. Such heads take any input size, and forget place.",
            "Global max keeps only the strongest response; a spatial pyramid changes when the digit moves.",
        ),
    ),
    "sensor": Lesson(
        "The sensor in one dimension",
        "",
        {"image": "Sensor trace", "pooling": "Max", "kernel": 4, "stride": 4},
        _but(BY_HAND, "pooling", "kernel", "stride"),
        (
            "A sensor gives one number a moment, and pooling works along time in the same way.",
            "The maximum keeps the short knock of one sample and its height; the average dilutes it to a quarter.",
            "For a rare event take the maximum, for a level the average.",
        ),
    ),
}  # fmt: skip


def query(name: str) -> dict[str, str]:
    """Return the query of a lesson's address."""
    lesson = LESSONS[name]
    state = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in lesson.state.items()}
    opened = {"cell": lesson.cell} if lesson.cell else {}
    return {**state, **opened, "hide": ",".join(lesson.hide), "lesson": name}


def link(name: str, base: str = "/") -> str:
    """Return the address of a lesson, relative to where the app is served."""
    return f"{base}{LESSONS[name].page}?{urlencode(query(name))}"
