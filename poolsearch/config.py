"""A sweep's config: TOML in, one frozen record out; an unknown key is refused with the nearest known one.

pydantic does the checking (types, ranges, unknown keys); its findings are said in our words.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from poolsearch.errors import ConfigError, unknown
from poolsearch.kinds import KINDS

Objective = Literal["accuracy", "loss", "latency_ms"]
TRIALS_MOST = 100_000  # of one study
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Whole = Annotated[int, Field(ge=1, le=64)]
Wholes = Annotated[tuple[Whole, ...], BeforeValidator(_several), Field(min_length=1)]
Kinds = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SiteSpace(_Section):
    """What may stand at one site; what it leaves out is taken from [space]."""

    kinds: Kinds | None = None
    kernel: Wholes | None = None
    stride: Wholes | None = None

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for kind in kinds or ():
            if kind not in KINDS:
                raise ValueError(unknown("pooling", kind, KINDS))
        return kinds


class Space(SiteSpace):
    """What may stand at every site, and where one site differs."""

    kinds: Kinds = ("max", "avg", "lp", "max-blur", "conv")
    kernel: Wholes = (2, 3)
    stride: Wholes = (1, 2)
    sites: dict[str, SiteSpace] = {}

    @model_validator(mode="before")
    @classmethod
    def _tables_are_sites(cls, data: Any) -> Any:
        """Take every table inside [space] as a site; anything else is a key of [space]."""
        if not isinstance(data, dict) or "sites" in data:
            return data
        plain = {key: value for key, value in data.items() if not isinstance(value, dict)}
        return {**plain, "sites": {key: value for key, value in data.items() if isinstance(value, dict)}}


class Training(_Section):
    """How each trial is trained: OneCycle SGD with label smoothing and clipped gradients."""

    epochs: int = Field(3, ge=1, le=1000)
    batch: int = Field(128, ge=2, le=8192)
    rate: float = Field(0.2, gt=0, le=10)  # peak learning rate
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0, le=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    clip: float = Field(1.0, gt=0, le=1e6)  # largest norm of all gradients together
    precision: Literal["float32", "bfloat16"] = "float32"


class Latency(_Section):
    """How each trial is timed: forward passes in inference, round robin among the candidates."""

    batch: int = Field(32, ge=1, le=4096)
    calls: int = Field(40, ge=5, le=10000)


class Limits(_Section):
    """When a trial counts as hung, and when the disk as full. May differ between two runs of a study."""

    trial_s: float = Field(3600, gt=0)  # from its start to its figures, in seconds at work
    silent_s: float = Field(1800, gt=0)  # without a finished epoch
    free_mb: int = Field(500, ge=0)  # less on the disk pauses the sweep


class Clutter(_Section):
    """The knobs of cluttered digits."""

    images: int = Field(5000, ge=100, le=200_000)  # for training; validation takes 2/5, test 4/5 of that on top
    canvas: int = Field(20, ge=10, le=128)  # pixels, square
    fragments: int = Field(4, ge=0, le=40)
    salt: float = Field(0.03, ge=0, le=0.5)  # share of pixels set to white


class SweepConfig(_Section):
    """A search over Plans: a backbone, the data, the space, and how trials are trained and timed."""

    study: str
    backbone: str
    data: str = "cluttered-digits"
    trials: int = Field(24, ge=1, le=TRIALS_MOST)
    minutes: float | None = Field(None, gt=0, le=100_000)  # whichever comes first; time asleep does not count
    seed: int = Field(0, ge=0)
    objectives: tuple[Objective, ...] = ("accuracy", "latency_ms")
    space: Space = Space()
    training: Training = Training()
    latency: Latency = Latency()
    limits: Limits = Limits()
    clutter: Clutter = Clutter()

    @field_validator("study")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME.fullmatch(name) or name.endswith((".", " ")):
            raise ValueError(
                f"The study name {name[:40]!r} is not possible. Take 1 to 64 letters, digits, spaces, dots, "
                "underscores and hyphens, a letter or digit first and no dot or space last."
            )
        return name

    @field_validator("objectives")
    @classmethod
    def _two(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        if sorted(o == "latency_ms" for o in objectives) != [False, True]:
            raise ValueError(
                f"Objectives are one of accuracy or loss, and latency_ms; got {', '.join(objectives) or 'none'}."
            )
        return objectives


def parse(text: str, overrides: tuple[str, ...] = ()) -> SweepConfig:
    """Return the config of a TOML text, with `key=value` overrides (dots go into sections).

    Raises ConfigError with the key, what was got and what is possible.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The config is not TOML: {error}.") from None
    for override in overrides:
        _override(data, override)
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        location = tuple(str(part) for part in _first(error)["loc"] if part != "sites" and not isinstance(part, int))
        line = _line(text, location)
        raise ConfigError(_sentence(error) + (f" (line {line})" if line else "")) from None


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> SweepConfig:
    """Return the config in a TOML file; `configs/x.toml` is also found in experiments/. Raises ConfigError."""
    path = Path(path)
    beside = Path(__file__).parents[1] / "experiments" / path
    path = beside if not path.exists() and beside.exists() else path
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"Can't read the config '{path}': {reason}.") from None
    return parse(text, overrides)


def extended(config: SweepConfig, trials: int = 0, minutes: int = 0) -> SweepConfig:
    """Return a config with that much more budget.

    Raises ConfigError where that is more than a sweep may have, or where it has no budget of minutes.
    """
    if minutes and config.minutes is None:
        raise ConfigError(f"The budget of '{config.study}' is trials, not minutes. Give it more trials.")
    more = {"trials": config.trials + trials, "minutes": config.minutes and config.minutes + minutes}
    try:
        return SweepConfig.model_validate(config.model_dump() | more)
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from None


def to_toml(config: SweepConfig) -> str:
    """Return the config as TOML that `parse` reads back to the same config.

    Defaults are written out: a stored study keeps its recipe when a default changes in the code.
    """
    data = config.model_dump(exclude_none=True)
    space = data.get("space", {})
    space |= space.pop("sites", {})
    lines, tables = _lines({key: value for key, value in data.items() if not isinstance(value, dict)}), []
    for name, section in data.items():
        if isinstance(section, dict):
            tables += _table(name, section)
    return "\n".join([*lines, *tables]) + "\n"


def _table(name: str, section: dict[str, Any]) -> list[str]:
    plain = {key: value for key, value in section.items() if not isinstance(value, dict) and value is not None}
    lines = ["", f"[{name}]", *_lines(plain)]
    for key, value in section.items():
        if isinstance(value, dict):
            lines += _table(f"{name}.{key}", value)
    return lines


def _lines(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's escapes are TOML's too
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"'--set {override}' is no setting. Write it as in '--set training.epochs=5'.")
    *sections, last = key.strip().split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError(f"'{section}' in '--set {override}' is no section of the config.")
    try:
        data[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        data[last] = value.strip()  # a bare word is a string


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are possible beside the last one of a location."""
    model: type[BaseModel] = SweepConfig
    for part in location[:-1]:
        if part == "sites" or isinstance(part, int):
            continue
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else SiteSpace
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else SiteSpace
    return [name for name in model.model_fields if name != "sites"]


def _line(text: str, location: tuple[str, ...]) -> int | None:
    """Return the line of the text, from 1, that sets a key, or None where it is not found (tomllib does not say)."""
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        heading = re.fullmatch(r"\s*\[([^]]+)\]\s*(#.*)?", line)
        if heading:
            section = [part.strip().strip("\"'") for part in heading[1].split(".")]
        elif (*section, line.partition("=")[0].strip().strip("\"'")) == location:
            return number
    return None


def _first(error: ValidationError) -> Any:
    """Return the finding to tell: a misspelt key before the missing one that it was meant to be."""
    return min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")


def _sentence(error: ValidationError) -> str:
    first = _first(error)
    location = tuple(part for part in first["loc"] if part != "sites")
    key, section = str(location[-1]) if location else "", ".".join(map(str, location[:-1]))
    place = f"[{section}]" if section else "the config"
    if first["type"] == "extra_forbidden":
        return unknown("key", key, _fields(first["loc"]), where=place)
    if first["type"] == "missing":
        return f"The key '{key}' is missing in {place}."
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    name = ".".join(str(part) for part in location if not isinstance(part, int))
    return f"{name} in the config: {first['msg'].lower()}, got {first['input']!r}."
