"""The child that opens a file of weights: started by poolsearch.modelfiles.weights only.

It accepts dense, finite tensors of plain real types under names, no more numbers than the file can hold.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from poolsearch.errors import WeightsError, shortened
from poolsearch.modelfiles.confined import serve
from poolsearch.torch_private import versions_of

NESTINGS = ("state_dict", "model_state_dict", "model")  # what training scripts wrap the weights in
_NESTINGS_SAID = 3  # of a file that nests on and on
PREFIXES = {"module.": "DataParallel", "_orig_mod.": "torch.compile"}
TYPES = {
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
}  # fmt: skip


def opened(path: Path, into: Path | None) -> dict[str, Any]:
    """Return what is in a file of weights (and write it as safetensors into a folder). Raises WeightsError."""
    size = path.stat().st_size
    given, metadata = _safetensors(path) if path.suffix == ".safetensors" else (_pickled(path, size), {})
    tensors, notes, versions = _unwrapped(given)
    own, aliases = _checked(tensors, size)
    if into is not None:
        save_file({key: tensor.contiguous() for key, tensor in _apart(own).items()}, into / "weights.safetensors")
    return {
        "tensors": {key: [_name(tensors[key].dtype), list(tensors[key].shape)] for key in tensors},
        "aliases": aliases,
        "notes": notes,
        "metadata": metadata,
        "versions": versions,
    }


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"is no safetensors file, or is cut short: {error}.") from None


def _pickled(path: Path, size: int) -> Any:
    """Return what torch.save wrote, read without running anything."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\3\4":
        _check_zip(path, size)
    elif start[:1] != b"\x80":  # of a pickle, in which torch before 1.6 wrote, and which may be anything
        raise WeightsError("is no file that torch.save wrote: its first bytes are those of something else.")
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            asks = f"asks for the Python object '{found[1]}', which could run code"
            raise WeightsError(f"{asks}. Save the state_dict alone: tensors under names.") from None
        raise WeightsError("is no file that torch.save wrote, or is broken inside.") from None


def _check_zip(path: Path, size: int) -> None:
    """Refuse a zip that grows when it is read (torch stores its numbers as they are), and one with flipped bits."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.filename.endswith("/constants.pkl") for entry in entries):
                raise WeightsError("is a TorchScript program, which is code. Save the state_dict alone.")
            full = sum(entry.file_size for entry in entries)
            if full > size:
                raise WeightsError(f"has {size:,} bytes and would grow to {full:,} when it is read.")
            # torch.serialization.set_crc32_options(False) leaves every checksum 0: then there is nothing to hold to
            broken = archive.testzip() if any(entry.CRC for entry in entries) else None
    except zipfile.BadZipFile:
        raise WeightsError("is cut short or broken: the directory at its end can't be read.") from None
    if broken:
        where = f"'{shortened(broken)}' does not have the checksum that was written with it"
        raise WeightsError(f"is damaged: {where}. Copy or download it again.")


def _unwrapped(given: Any) -> tuple[dict[str, Tensor], list[str], dict[str, int]]:
    """Return the tensors under their names, what was taken off, in words, and the versions of their modules."""
    given, notes = _innermost(given)
    if isinstance(given, Tensor) or not isinstance(given, Mapping):
        raise WeightsError(f"holds one {_kind(given)}. A state_dict is needed: tensors under names.")
    if not given:
        raise WeightsError("holds no tensors.")
    for key, value in given.items():
        if not isinstance(key, str):
            raise WeightsError(f"has a key of type {_kind(key)}. Keys must be names, as in a state_dict.")
        if not isinstance(value, Tensor):
            raise WeightsError(f"holds one {_kind(value)} under '{shortened(key)}', where a tensor must be.")
    tensors, versions = dict(given), _versions(given)
    if "n_averaged" in tensors and all(key.startswith("module.") for key in tensors if key != "n_averaged"):
        del tensors["n_averaged"]
        notes.append("'n_averaged' left aside (AveragedModel counts its averages there).")
    while prefix := next((p for p in PREFIXES if tensors and all(key.startswith(p) for key in tensors)), None):
        notes.append(f"'{prefix}' taken off every key ({PREFIXES[prefix]} puts it there).")
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
        versions = {
            f"{path}.".removeprefix(prefix).removesuffix("."): number
            for path, number in versions.items()
            if f"{path}.".startswith(prefix)
        }
    return tensors, notes, versions


def _innermost(given: Any) -> tuple[Any, list[str]]:
    """Return what lies in all nestings of training scripts, and their names in words."""
    notes: list[str] = []
    seen: set[int] = set()
    while isinstance(given, Mapping) and (inner := next((n for n in NESTINGS if _nests(given, n)), None)):
        if id(given) in seen:
            raise WeightsError(f"holds a '{inner}' that lies in itself.")
        seen.add(id(given))
        others = len(given) - 1
        notes.append(f"Taken from '{inner}'" + (f"; left aside: {others} other." if others else "."))
        given = given[inner]
    rest = len(notes) - _NESTINGS_SAID
    return given, notes if rest <= 0 else [*notes[:_NESTINGS_SAID], f"And from {rest} more nestings."]


def _versions(given: Mapping[Any, Any]) -> dict[str, int]:
    """Return the versions that torch keeps beside a state_dict, by the path of the module."""
    kept = versions_of(given)
    pairs = kept.items() if isinstance(kept, Mapping) else ()
    found = {path: one.get("version") for path, one in pairs if isinstance(path, str) and isinstance(one, Mapping)}
    return {path: number for path, number in found.items() if type(number) is int and 0 <= number < 1 << 31}


def _nests(given: Mapping[Any, Any], name: str) -> bool:
    return isinstance(given.get(name), Mapping)


def _checked(tensors: dict[str, Tensor], size: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors, each once, and the keys that are another's tensor (tied weights)."""
    own: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    room = size
    for key, value in tensors.items():
        place = (_place(key, value), value.dtype, value.shape, value.stride())
        if place in seen:
            aliases[key] = seen[place]
            continue
        room -= value.nbytes
        if room < 0:
            raise WeightsError(f"has {size:,} bytes, fewer than its tensors claim up to '{shortened(key)}'.")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"has NaN or infinity in '{shortened(key)}'.")
        seen[place] = key
        own[key] = value.detach()
    return own, aliases


def _place(key: str, value: Tensor) -> int:
    """Return the address of a tensor's numbers. Raises WeightsError where it is not plain numbers in memory."""
    where = f"'{shortened(key)}'"
    if type(value) not in (Tensor, torch.nn.Parameter, torch.nn.Buffer) or value.is_nested:
        raise WeightsError(f"holds one {_kind(value)} in {where}, where a plain tensor must be.")
    if value.layout != torch.strided:
        raise WeightsError(f"has a sparse tensor in {where} ({_name(value.layout)}). Only dense ones are read.")
    if value.device.type != "cpu":
        raise WeightsError(f"has no numbers in {where}, only a shape (device {value.device}).")
    if value.is_quantized or value.dtype not in TYPES:
        possible = ", ".join(sorted(map(_name, TYPES)))
        raise WeightsError(f"has type {_name(value.dtype)} in {where}. Possible: {possible}.")
    held = value.untyped_storage().nbytes() // value.element_size()
    if value.numel() > held:
        raise WeightsError(f"claims {value.numel():,} numbers in {where} and holds {held:,} for it.")
    return value.data_ptr() if value.numel() else id(value)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with a storage of its own for each: slices of one storage can't be written otherwise."""
    counts: dict[int, int] = {}
    for tensor in tensors.values():
        pointer = tensor.untyped_storage().data_ptr()
        counts[pointer] = counts.get(pointer, 0) + 1
    return {
        key: tensor if counts[tensor.untyped_storage().data_ptr()] == 1 else tensor.clone()
        for key, tensor in tensors.items()
    }


def _kind(value: Any) -> str:
    return shortened(type(value).__name__)


def _name(value: object) -> str:
    return str(value).removeprefix("torch.")


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(opened)
