"""What is said of a config that can't be: pydantic's findings as one sentence, the line, and the words of others.

Whoever comes from torch, Optuna or a paper writes `lr`, `batch_size` or `n_trials`: such a key is refused with ours.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import BaseModel, ValidationError

from poolsearch.errors import shortened, unknown
from poolsearch.objectives import OBJECTIVES

_TOP = "the config"
_KEYS = {  # what others call a key -> what it is called here
    "lr": "rate", "learning_rate": "rate", "max_lr": "rate", "base_lr": "rate", "eta": "rate",
    "batch_size": "batch", "bs": "batch", "batchsize": "batch", "mini_batch": "batch",
    "num_epochs": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "steps": "epochs",
    "n_trials": "trials", "num_trials": "trials", "max_trials": "trials", "num_samples": "trials", "runs": "trials",
    "timeout": "minutes", "time": "minutes", "budget": "minutes", "hours": "minutes", "seconds": "minutes",
    "wd": "weight_decay", "decay": "weight_decay", "l2": "weight_decay", "beta1": "momentum",
    "smoothing": "label_smoothing", "max_norm": "clip", "grad_clip": "clip", "clip_grad": "clip",
    "clip_grad_norm": "clip", "gradient_clip_val": "clip", "dtype": "precision", "amp": "precision",
    "random_state": "seed", "random_seed": "seed", "manual_seed": "seed", "rng": "seed",
    "name": "study", "study_name": "study", "experiment": "study", "title": "study",
    "model": "backbone", "network": "backbone", "net": "backbone", "arch": "backbone", "architecture": "backbone",
    "dataset": "data", "data_set": "data", "metrics": "objectives", "metric": "objectives", "objective": "objectives",
    "directions": "objectives", "goals": "objectives", "kernel_size": "kernel", "kernel_sizes": "kernel",
    "kernels": "kernel", "ksize": "kernel", "window": "kernel", "strides": "stride", "step": "stride",
    "kind": "kinds", "pool": "kinds", "pools": "kinds", "pooling": "kinds", "poolings": "kinds", "layers": "kinds",
    "types": "kinds", "search_space": "space", "train": "training", "timing": "latency", "samples": "images",
    "n_images": "images", "noise": "salt", "size": "canvas", "iterations": "calls", "repeats": "calls",
}  # fmt: skip
_VALUES = {  # what others call a value that is one of a few words
    **{synonym: name for name, objective in OBJECTIVES.items() for synonym in objective.synonyms},
    "fp32": "float32", "float": "float32", "full": "float32", "bf16": "bfloat16", "half": "bfloat16",
    "fp16": "bfloat16", "float16": "bfloat16", "mixed": "bfloat16", "amp": "bfloat16",
}  # fmt: skip
_EXAMPLES = {  # how a key is written whose value had the wrong form
    "kernel": "kernel = [2, 3]", "stride": "stride = [1, 2]", "kinds": 'kinds = ["max", "avg"]',
    "objectives": 'objectives = ["accuracy", "latency_ms"]',
}  # fmt: skip
_FORM = ("int_type", "float_type", "string_type", "tuple_type", "bool_type", "int_from_float", "literal_error")


def sentence(error: ValidationError, text: str, model: type[BaseModel], site: type[BaseModel]) -> str:
    """Return what is wrong with a config in one sentence, with the line of its text where that is found."""
    first = _first(error)
    location = tuple(str(part) for part in first["loc"] if part != "sites" and not isinstance(part, int))
    number = _line(text, location)
    return _words(first, location, model, site) + (f" (line {number})" if number else "")


def _first(error: ValidationError) -> Any:
    """Return the finding to tell: a misspelt key before the missing one that it was meant to be."""
    return min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")


def _words(first: Any, location: tuple[str, ...], model: type[BaseModel], site: type[BaseModel]) -> str:
    key, section = location[-1] if location else "", ".".join(location[:-1])
    if first["type"] == "extra_forbidden":
        return _unknown_key(key, section, _homes(model), site)
    if first["type"] == "missing":
        return f"The key '{key}' is missing in {f'[{section}]' if section else _TOP}."
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    got = shown(first["input"])
    if first["type"] == "model_type":
        return f"[{'.'.join(location)}] in the config is a section with keys of its own, got {got}."
    words = f"{'.'.join(location)} in the config: {first['msg'].lower()}, got {got}."
    return words + _hint(first, key)


def _hint(first: Any, key: str) -> str:
    """Return how a value of the wrong form is written, and which word was meant."""
    value = first["input"]
    if first["type"] not in _FORM:
        return ""
    if isinstance(value, str) and first["type"] == "literal_error":
        known = re.findall(r"'([^']+)'", first["msg"])
        near = [
            _VALUES.get(value.lower(), ""),
            *difflib.get_close_matches(shortened(value).lower(), known, n=1, cutoff=0.5),
        ]
        meant = next((word for word in near if word in known), "")
        return f" Did you mean '{meant}'?" if meant else ""
    if isinstance(value, dict) and {*value} == {"low", "high"} and all(isinstance(it, int) for it in value.values()):
        values = [*range(value["low"], value["high"] + 1)][:8] if value["high"] - value["low"] < 64 else []
        return f" There are no ranges: write the values, as in {key} = {values}." if values else ""
    return f" Write it as in {_EXAMPLES[key]}." if key in _EXAMPLES else ""


def _homes(model: type[BaseModel]) -> dict[str, list[str]]:
    """Return where each key of a config stands: "" is the top, "training" its section."""
    homes: dict[str, list[str]] = {}
    for name, field in model.model_fields.items():
        homes.setdefault(name, []).append("")
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for key in inner.model_fields:
                homes.setdefault(key, []).append(name)
    return homes


def _unknown_key(key: str, section: str, homes: dict[str, list[str]], site: type[BaseModel]) -> str:
    """Return the sentence for a key that a section does not have: who means another's word, or another section."""
    place = f"[{shortened(section)}]" if section else _TOP
    inside = section.startswith("space.")  # a site
    possible = [*site.model_fields] if inside else [name for name, there in homes.items() if section in there]
    possible = [name for name in possible if name != "sites"]
    plain = key.strip().lower().replace("-", "_").replace(" ", "_")
    meant = key if key in homes else _KEYS.get(plain, plain if plain in homes else "")
    if meant in possible:
        return f"Unknown key '{shortened(key)}' in '{place}'. Here it is '{meant}'. Possible: {', '.join(possible)}."
    near = difflib.get_close_matches(shortened(plain), possible, n=1, cutoff=0.8)
    if meant and not near:
        there = " or ".join(
            f"[{home}]" if home else "the top of the config, above all sections" for home in homes[meant]
        )
        called = "" if meant == key else f" called '{meant}' here, and"
        where = f"in {place}" if section else "at the top of the config"
        return f"'{shortened(key)}' can't stand {where}: it is{called} a key of {there}."
    return unknown("key", key, possible, where=place)


def shown(value: Any) -> str:
    """Return a value from a config for a sentence: short, also where Python can't write it."""
    try:
        return shortened(repr(value), 60)
    except (ValueError, RecursionError):  # a number of more than 4,300 digits; a list of 5,000 lists
        return "a number of thousands of digits" if isinstance(value, int) else "one that is nested too deeply"


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
