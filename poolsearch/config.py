"""A sweep's config: TOML in, one frozen record out; an unknown key is refused with the nearest known one.

pydantic does the checking (types, ranges, unknown keys); its findings are said in our words.
"""

from __future__ import annotations

import codecs
import glob
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from poolsearch import study_name
from poolsearch.config_words import sentence
from poolsearch.errors import ConfigError, shortened, unknown
from poolsearch.objectives import OBJECTIVES, possible
from poolsearch.plan.kinds import KINDS, same_as

if TYPE_CHECKING:
    Objective = str
else:
    Objective = Literal[*OBJECTIVES]
TRIALS_MOST = 100_000  # of one study
_BYTES_MOST = 1_000_000  # of a config's text
_TEXTS = ("study", "backbone", "data")  # keys whose value is a text, whatever it looks like


def _several(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Whole = Annotated[int, Field(ge=1, le=64)]
Wholes = Annotated[tuple[Whole, ...], BeforeValidator(_several), Field(min_length=1)]
Kinds = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


class SiteSpace(_Section):
    """What may stand at one site; what it leaves out is taken from [space]."""

    kinds: Kinds | None = None
    kernel: Wholes | None = None
    stride: Wholes | None = None

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for kind in kinds or ():
            if "," in kind:
                listed = ", ".join(f'"{shortened(word.strip())}"' for word in kind.split(",")[:8])
                raise ValueError(
                    f"'{shortened(kind)}' is several poolings in one text. Write a list: kinds = [{listed}]."
                )
            if kind not in KINDS:
                raise ValueError(unknown("pooling", kind, KINDS, meant=same_as(kind), most=3))
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
        """Take every table inside [space] as a site, but what is called as a key of [space]."""
        if not isinstance(data, dict) or "sites" in data:
            return data
        sites = {key for key, value in data.items() if key not in SiteSpace.model_fields and _is_table(value)}
        plain = {key: value for key, value in data.items() if key not in sites}
        return {**plain, "sites": {key: data[key] for key in data if key in sites}}


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

    trial_s: float = Field(3600, gt=0, le=1e9)  # from its start to its figures, in seconds at work
    silent_s: float = Field(1800, gt=0, le=1e9)  # without a finished epoch
    free_mb: int = Field(500, ge=0, le=10**9)  # less on the disk pauses the sweep


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
    seed: int = Field(0, ge=0, lt=2**32)  # what numpy's generators take, and Optuna's sampler is one; torch takes more
    objectives: Annotated[tuple[Objective, ...], BeforeValidator(_several)] = ("accuracy", "latency_ms")
    space: Space = Space()
    training: Training = Training()
    latency: Latency = Latency()
    limits: Limits = Limits()
    clutter: Clutter = Clutter()

    @field_validator("study")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        name = study_name.normal(name)
        if not study_name.is_possible(name):
            raise ValueError(f"The study name {name[:40]!r} is not possible. T{study_name.POSSIBLE[1:]}.")
        return name

    @field_validator("backbone")
    @classmethod
    def _published(cls, backbone: str) -> str:
        head, colon, _ = backbone.partition(":")
        if colon:
            raise ValueError(
                f"The backbone '{shortened(backbone)}' is a Plan with changes; a sweep starts from the published "
                f'network. Write backbone = "{shortened(head)}", and what may stand at a site in [space.SITE].'
            )
        return backbone

    @field_validator("objectives")
    @classmethod
    def _can_be_traded(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        if not possible(objectives):
            trained = " or ".join(name for name, one in OBJECTIVES.items() if one.trained)
            costs = [name for name, one in OBJECTIVES.items() if not one.trained]
            of_them = costs[0] if len(costs) == 1 else f"one or two of {', '.join(costs)}"
            raise ValueError(
                f"Objectives are one of {trained}, and {of_them}; got {', '.join(objectives) or 'none'}. "
                'Write it as in objectives = ["accuracy", "latency_ms"].'
            )
        return objectives


def parse(text: str, overrides: tuple[str, ...] = ()) -> SweepConfig:
    """Return the config of a TOML text, with `key=value` overrides (dots go into sections).

    Raises ConfigError with the key, what was got and what is possible.
    """
    text = text.removeprefix("\ufeff")  # the mark that some editors of Windows put before a text
    data = _toml(text)
    for override in overrides:
        _override(data, override)
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(sentence(error, text, SweepConfig, SiteSpace)) from None
    except RecursionError:
        raise ConfigError(_DEEP) from None


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> SweepConfig:
    """Return the config in a TOML file. Raises ConfigError; one that lies a folder deeper is named."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MOST + 1)
    except OSError as error:
        deeper = [] if path.is_absolute() or path.exists() else sorted(Path().glob(f"*/{glob.escape(str(path))}"))
        guess = f" Did you mean '{deeper[0].as_posix()}'?" if deeper else ""
        raise ConfigError(f"Can't read the config '{path}': {error.strerror}.{guess}") from None
    if len(content) > _BYTES_MOST:
        raise ConfigError(f"Can't read the config '{path}': a config has {_BYTES_MOST // 1000:,} kB at most.")
    try:
        return parse(content.decode(), overrides)
    except UnicodeDecodeError:
        wide = " It is UTF-16." if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else ""
        raise ConfigError(f"Can't read the config '{path}': not a text in UTF-8.{wide} Save it as UTF-8.") from None


def _toml(text: str) -> dict[str, Any]:
    """Return what a TOML text holds. Raises ConfigError; tomllib raises other errors than its own, too."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The config is not TOML: {shortened(str(error), 200)}.") from None
    except RecursionError:
        raise ConfigError(_DEEP) from None
    except ValueError:  # what int() raises
        raise ConfigError("The config is not TOML: a number in it has more than 4,300 digits.") from None


_DEEP = "The config is nested too deeply: it has sections in [space], and lists of words and numbers."


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
        raise ConfigError(sentence(error, "", SweepConfig, SiteSpace)) from None


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
        raise ConfigError(f"'--set {shortened(override)}' is no setting. Write it as in '--set training.epochs=5'.")
    *sections, last = key.strip().split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError(f"'{shortened(section)}' in '--set {shortened(override)}' is no section of the config.")
    data[last] = value.strip()  # a bare word is a string ...
    if not sections and last in _TEXTS and value.strip()[:1] not in ("'", '"'):
        return  # ... and a study may be called 2024, or true
    try:
        data[last] = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        pass
