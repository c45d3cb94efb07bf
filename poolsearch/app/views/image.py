"""The sidebar, the pictures and the words of "Real image"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st

from poolsearch import memory
from poolsearch.app.controls import upload
from poolsearch.app.controls.controls import choose, hidden, select, slide
from poolsearch.data import datasets
from poolsearch.data.pictures import Pixels, fitted
from poolsearch.errors import PoolsearchError
from poolsearch.explain import shift as moves, spectrum as spectra
from poolsearch.figures import network as figures, rasters
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS, Kind
from poolsearch.records.network import Array

RINGS = "rings"
PICTURES = {"Temple": "temple", "Flower": "flower", "Rings": RINGS}
YOURS = "Yours"
SHOWN = ("Output", "Change", "Spectrum")
_HEIGHT, _WIDTH = 192, 288  # pixels: about what a column of a 1280-pixel screen shows; both divide by 8
_ENLARGED = 576  # pixels that an output is enlarged to, at least


def keeps_a_picture(kind: Kind) -> bool:
    """Return whether a picture stays a picture under it: same channels, a smaller map, nothing drawn at random.

    A kind with one learned exponent is shown as it is before training.
    """
    untrained = not kind.learned or (kind.options and not kind.multiplies)
    return kind.reduces in ("window", "ratio") and kind.channels == "same" and bool(untrained)


def kinds_shown() -> tuple[str, ...]:
    """Return the kinds that the page offers, in display order."""
    return tuple(name for name, kind in KINDS.items() if keeps_a_picture(kind))


@dataclass(frozen=True, eq=False)
class Scene:
    """The picture that is pooled, and what is done to it first."""

    name: str  # in the cache: one of PICTURES, or own- and a checksum
    pixels: Pixels | None  # of the visitor's own picture
    shift: int = 0  # pixels
    salt: float = 0.0  # share of the pixels that are set to white

    @property
    def key(self) -> tuple[str, float]:
        """Return what names the picture before it is moved."""
        return self.name, self.salt


@dataclass(frozen=True)
class Side:
    """One of the two poolings on the page."""

    letter: str
    colour: Literal["blue", "orange"]
    kind: str
    kernel: int
    stride: int

    @property
    def label(self) -> str:
        """Return the name of the pooling."""
        return KINDS[self.kind].label

    def spec(self) -> PoolSpec:
        """Return the spec: the nearest kernel that the kind has, 1/stride where it takes a ratio. Raises PlanError."""
        kind = KINDS[self.kind]
        kernel = min(kind.kernels or (self.kernel,), key=lambda size: abs(size - self.kernel))
        return PoolSpec.of(
            self.kind,
            kernel if "kernel" in kind.takes else (),
            self.stride if "stride" in kind.takes else (),
            options={"ratio": 1 / self.stride} if kind.option("ratio") else None,
        )


@dataclass(frozen=True, eq=False)
class Look:
    """What the page shows of one side."""

    picture: bytes  # enlarged, a change or a spectrum: what the view asks for
    output: bytes  # at its true size
    width: int  # pixels of the output
    caption: str
    file: str  # name for a download
    curve: tuple[float, ...]
    spectrum: spectra.Spectrum | None = None


# -------------------------------------------------------------------------------------------------------- controls


def picker() -> tuple[Scene, list[Side]]:
    """Return the picture with its shift and salt, and both poolings."""
    options = [*PICTURES, *([YOURS] if upload.kept_picture() else [])]
    picture = select("Image", options, "photo")
    shift = slide("Shift, pixels", 0, moves.SHIFTS[-1], "shift")
    salt = slide("Salt noise, % of pixels", 0, 20, "salt")
    kinds = {KINDS[kind].label: kind for kind in kinds_shown()}
    first, second = (
        kinds[select(letter, list(kinds), key, default, f"pooling {letter}")]
        for letter, key, default in (("A", "left", "Max"), ("B", "right", "Max-blur"))
    )
    kernel = choose("Kernel of both", [2, 3, 4, 5], "window", 3)
    stride = choose("Stride of both", [2, 4, 8], "step", 4)
    own = upload.own_picture()  # last: it is needed once, all others while the class looks on
    yours = own is not None and picture == YOURS
    name = f"own-{own.sha}" if own and yours else PICTURES.get(picture, "temple")
    scene = Scene(name, own.pixels if own and yours else None, shift, salt / 100)
    return scene, [Side("A", "blue", first, kernel, stride), Side("B", "orange", second, kernel, stride)]


def shown() -> str:
    """Return which of the views is chosen, by a row of buttons above the pictures."""
    return choose("View", SHOWN, "show", where=st.container(width="content"), label_visibility="collapsed")


def take_along(looks: list[Look | PoolsearchError], sides: list[Side]) -> None:
    """Draw the downloads: the outputs as PNG, the shift curves as CSV."""
    with st.popover("Export", icon=":material/download:"):
        for side, look in zip(sides, looks, strict=True):
            if isinstance(look, Look):
                st.download_button(
                    f"Output of {side.letter}, PNG", look.output, f"{look.file}.png", "image/png",
                    key=f"take-{side.letter}", on_click="ignore", width="stretch",
                )  # fmt: skip
        table = curve_csv([(look.file, look.curve) for look in looks if isinstance(look, Look)])
        st.download_button(
            "Change over shift, CSV", table, "shift.csv", "text/csv", key="take-curve", on_click="ignore",
            width="stretch",
        )  # fmt: skip


def curve_csv(named: list[tuple[str, tuple[float, ...]]]) -> str:
    """Return a table of the shift in pixels and each side's change in deviations."""
    lines = [",".join(["shift_pixels", *(name for name, _ in named)])]
    lines += [",".join([str(n), *(f"{curve[n]:.6g}" for _, curve in named)]) for n in moves.SHIFTS]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------- cached calls


@memory.kept
def salted(name: str, salt: float, _pixels: Pixels | None) -> Array:
    """Return a picture with a share of its pixels set to white, (3, H, W + 8), the same ones at every shift."""
    size = _HEIGHT, _WIDTH + moves.SHIFTS[-1]
    if _pixels is not None:
        picture = fitted(_pixels, *size)
    else:
        picture = spectra.zone_plate(*size) if name == RINGS else datasets.photograph(name, *size)
    noise = np.random.default_rng(0).random(picture.shape[1:]) < salt
    result: Array = np.where(noise, np.float32(1), picture)
    return result


@memory.kept
def output(name: str, salt: float, shift: int, spec: str, _pixels: Pixels | None) -> Array:
    """Return the pooled picture, (3, H', W'), scaled so that white stays white."""
    wanted = PoolSpec.parse(spec)
    result: Array = moves.pooled(moves.moved(salted(name, salt, _pixels), shift), wanted) / moves.gain(wanted)
    return result


@memory.kept
def curve(name: str, salt: float, spec: str, _pixels: Pixels | None) -> tuple[float, ...]:
    """Return how much the output changes at shifts of 0 to 8 pixels, in its own deviations."""
    return moves.shift_changes(salted(name, salt, _pixels), PoolSpec.parse(spec))


@memory.kept
def enlarged(name: str, salt: float, shift: int, spec: str, _pixels: Pixels | None) -> bytes:
    """Return the pooled picture as a PNG, each pixel enlarged; the input itself without a spec."""
    if not spec:
        return figures.picture_png(moves.moved(salted(name, salt, _pixels), shift), _ENLARGED)
    return figures.picture_png(output(name, salt, shift, spec, _pixels), _ENLARGED)


@memory.kept
def change(name: str, salt: float, shift: int, spec: str, _pixels: Pixels | None) -> bytes:
    """Return where the output differs from the moved output of the unmoved picture, as a PNG, enlarged."""
    first, now = (output(name, salt, by, spec, _pixels) for by in (0, shift))
    return rasters.change_png(moves.change_picture(first, now, shift / moves.step(PoolSpec.parse(spec))), _ENLARGED)


@memory.kept
def spectrum(
    name: str, salt: float, spec: str, kept: float, _pixels: Pixels | None
) -> tuple[bytes, spectra.Spectrum] | None:
    """Return the spectrum of the grey dense output as a PNG and along the width; of the input without a spec.

    None when the kind has no dense output. `kept` is the highest frequency that the rectangle holds.
    """
    grey = moves.moved(salted(name, salt, _pixels), 0).mean(0, keepdims=True)
    wanted = PoolSpec.parse(spec) if spec else None
    every = spectra.dense(grey, wanted) if wanted else grey
    if every is None:
        return None
    every = every / moves.gain(wanted) if wanted else every
    picture = spectra.picture_spectrum(every, (_HEIGHT, _WIDTH))
    return rasters.spectrum_png(picture, (kept, kept)), spectra.spectrum(every)


# --------------------------------------------------------------------------------------------------- looks and words


def look(scene: Scene, side: Side, view: str) -> Look | PoolsearchError:
    """Return what a view shows of one side, or why it can't."""
    try:
        spec = side.spec()
        text, pixels = str(spec), scene.pixels
        pooled = output(*scene.key, scene.shift, text, pixels)
        changes = curve(*scene.key, text, pixels)
        found = spectrum(*scene.key, text, 0.5 / side.stride, pixels) if view == "Spectrum" else None
    except PoolsearchError as error:
        return error
    lines = [f"`{text}`", f"{pooled.shape[1]} × {pooled.shape[2]}, {percent(_share(pooled))} kept"]
    lines += [_folded(found[1] if found else None, side.stride)] if view == "Spectrum" else _moved(side, changes, scene)
    if scene.salt:
        clean = output(scene.name, 0.0, scene.shift, text, pixels)
        lines.append(f"The salt changes it by {percent(moves.distance(pooled, clean))}")
    if view == "Change":
        picture = change(*scene.key, scene.shift, text, pixels)
    else:
        picture = found[0] if found else enlarged(*scene.key, scene.shift, text, pixels)
    file = f"{side.letter}-{text}".replace(" ", "-").replace("=", "-")
    line, text = found[1] if found else None, "  \n".join(lines)
    return Look(picture, figures.picture_png(pooled, 1), pooled.shape[2], text, file, changes, line)


def input_look(scene: Scene, sides: list[Side], view: str) -> tuple[bytes, spectra.Spectrum | None, str]:
    """Return the picture of the input column, its spectrum in that view, and the words below it."""
    stride, lines = sides[0].stride, [f"{_HEIGHT} × {_WIDTH} pixels"]
    lines[0] += f", moved by {scene.shift}" if scene.shift and view != "Spectrum" else ""
    lines[0] += f", salt on {percent(scene.salt, 0)}" if scene.salt else ""
    if view != "Spectrum":
        return enlarged(*scene.key, scene.shift, "", scene.pixels), None, "  \n".join([*lines, _look_for(view, scene)])
    found = spectrum(*scene.key, "", 0.5 / stride, scene.pixels)
    assert found, "an input has a spectrum"
    share = percent(found[1].share_above(0.5 / stride))
    lines += [
        f"Stride {stride} keeps the rectangle. Outside it lie {share} of the variance along the width: what a pooling "
        "leaves there folds back."
    ]
    return *found, "  \n".join(lines)


def _look_for(view: str, scene: Scene) -> str:
    meant = "Changes are in percent of the output's standard deviation."
    if view == "Output":
        asked = (
            "" if hidden("shift") or scene.shift else "Move the picture by one pixel: a good pooling hardly notices. "
        )
        return f"{asked}{meant}"
    if not scene.shift:
        return "Nothing has moved yet: the slider Shift moves the picture."
    return (
        f"Black: it only moved along, or is border. White: it changed by {rasters.WHITE:g} of full brightness or more."
    )


def percent(share: float, places: int = 1) -> str:
    """Return a share in percent, which no line break parts; the first digit of one that would be rounded to 0."""
    value = 100 * share
    digits = f"{value:.1g}" if 1e-4 < value < 0.05 else f"{value:.{places}f}"
    return f"{digits}\u00a0%"


def figure(
    sides: list[Side], looks: list[Look | PoolsearchError], shift: int, before: spectra.Spectrum | None, dark: bool
) -> object:
    """Return the figure below the pictures: change over shift, or with the input's spectrum the spectra."""
    done = [(side.letter, look) for side, look in zip(sides, looks, strict=True) if isinstance(look, Look)]
    if before is None:
        curves = {letter: look.curve for letter, look in done}
        means = {letter: f"{letter}: mean {percent(moves.mean_change(curve))}" for letter, curve in curves.items()}
        named = [(means.get(side.letter, side.letter), curves.get(side.letter)) for side in sides]
        return figures.shift_figure(named, shift, dark)
    edge, loudest = 0.5 / sides[0].stride, float(before.power.max())
    lines = [("Input", before)]
    lines += [
        (f"{letter}: {percent(look.spectrum.share_above(edge))} folds back", look.spectrum)
        for letter, look in done
        if look.spectrum
    ]
    drawn = [(name, line.frequencies[1:], spectra.decibels(line.power[1:] / loudest)) for name, line in lines]
    return figures.spectrum_figure(drawn, edge, dark)


def _share(pooled: Array) -> float:
    return float(pooled.shape[1] * pooled.shape[2] / (_HEIGHT * _WIDTH))


def _moved(side: Side, changes: tuple[float, ...], scene: Scene) -> list[str]:
    lines = [f"Mean change over 1 to {moves.SHIFTS[-1]} pixels: **{percent(moves.mean_change(changes))}**"]
    if scene.shift:
        lines.append(f"Moved by {scene.shift}: {percent(changes[scene.shift])}")
    return [*lines, *filter(None, [KINDS[side.kind].shift_note])]


def _folded(found: spectra.Spectrum | None, stride: int) -> str:
    if found is None:
        return "No fixed stride, so no folding frequency: the output is shown"
    return f"Folded back: **{percent(found.share_above(0.5 / stride))}** of what is left"
