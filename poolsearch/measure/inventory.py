"""What is in a model file: its poolings, parameters and types, from a backbone's name, a checkpoint or an ONNX graph.

Covers one file, one backbone, or the files of one folder. Files are read in a child process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Literal

from poolsearch.errors import PlanError, PoolsearchError, WeightsError
from poolsearch.measure.cost import REST, layer_rows, totals
from poolsearch.modelfiles import confined, weights
from poolsearch.modelfiles.weights import Contents, differences, hint
from poolsearch.networks.backbones import BACKBONES, backbone, known, published
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.records.modelfiles import FileRow, Inventory, PoolingRow
from poolsearch.records.network import Member, Site
from poolsearch.surgery import check, find_sites, rebuild

GRAPH = ".onnx"
SUFFIXES = (*weights.SUFFIXES, GRAPH)
_MOST_GRAPH = 2 << 30  # bytes: what a protobuf message can hold
_WIDTH = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}  # else 1


def inventory(target: str, network: str = "") -> Inventory | tuple[FileRow, ...]:
    """Return what is in a model file or a backbone, or one row for each model file of a folder.

    `network` is the backbone or Plan that a checkpoint is of. Raises PoolsearchError for what can't be read.
    """
    plan = plan_of(network) if network else None
    path = Path(target)
    try:
        there = path.exists()
    except OSError:  # a Plan's text can be longer than a file's name may be
        there = False
    named = not there and path.suffix not in SUFFIXES and _names_backbone(target.partition("/")[0])
    if target in BACKBONES or named:
        return of_plan(plan_of(target))
    if path.is_dir():
        return of_folder(path, plan)
    if not there:
        guess = "" if path.suffix in SUFFIXES else _guess(target)
        raise WeightsError(f"There is no such file or folder '{target}'.{guess}")
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"'{path.name}' is no model file by its name. Possible: {', '.join(SUFFIXES)}.")
    found = _of_files([path], plan)[0]
    if isinstance(found, PoolsearchError):
        raise found
    return found


def _names_backbone(name: str) -> bool:
    """Return whether `backbone` knows a name, or knows what is missing to open it: timm."""
    return name in known() or name.startswith("timm.")


def _guess(target: str) -> str:
    """Return what `backbone` says of a name that it does not know."""
    try:
        backbone(target)
    except PlanError as error:
        return f" {error}"
    return ""


def plan_of(text: str) -> Plan:
    """Return the checked Plan of a backbone's name or of a Plan's text."""
    return check(Plan.parse(text) if ":" in text else published(text))


def of_folder(folder: Path, plan: Plan | None = None) -> tuple[FileRow, ...]:
    """Return one row for each model file that lies in a folder, by name; what is wrong with it in words."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    except OSError as error:
        raise WeightsError(f"'{folder}' can't be listed: {error.strerror}.") from None
    if not paths:
        raise WeightsError(f"'{folder}' holds no model files. Possible: {', '.join(SUFFIXES)}.")
    rows = []
    for path, found in zip(paths, _of_files(paths, plan), strict=True):
        size = path.stat().st_size
        if isinstance(found, PoolsearchError):
            rows.append(FileRow(path.name, _format(path), None, None, size, str(found)))
            continue
        wrong = f"{len(found.differences)} keys do not fit {found.plan}." if found.differences else ""
        poolings = None if found.poolings is None else len(found.poolings)
        rows.append(FileRow(path.name, found.format, poolings, found.parameters, size, wrong))
    return tuple(rows)


def _format(path: Path) -> Literal["safetensors", "torch", "onnx"]:
    if path.suffix == GRAPH:
        return "onnx"
    return "safetensors" if path.suffix == ".safetensors" else "torch"


def _of_files(paths: Sequence[Path], plan: Plan | None) -> list[Inventory | PoolsearchError]:
    """Return the inventory of each file, or the error that says why there is none."""
    graphs = [path for path in paths if path.suffix == GRAPH]
    others = [path for path in paths if path.suffix != GRAPH]
    found: dict[Path, Inventory | PoolsearchError] = dict(zip(graphs, _of_graphs(graphs), strict=True))
    for path, contents in zip(others, weights.described(others), strict=True):
        found[path] = contents if isinstance(contents, WeightsError) else _of_weights(path, contents, plan)
    return [found[path] for path in paths]


# ------------------------------------------------------------------------------------------ a backbone, or a Plan


def of_plan(plan: Plan, classes: int | None = None) -> Inventory:
    """Return the poolings, parameters and MACs of a network, without weights."""
    usual = backbone(plan.backbone).classes
    classes = classes or usual
    rows = layer_rows(plan)
    sums = totals(rows)
    macs: int | None = sums.macs
    parameters = sums.parameters
    if classes != usual:
        last = [row for row in rows if row.path != REST][
            -1
        ]  # the classifier, the only layer that grows with the classes
        linear = last.shape == (usual,) and last.macs > 0
        macs = sums.macs + last.macs * (classes - usual) // usual if linear else None
        parameters = sum(one.numel() for one in rebuild(plan, classes, device="meta").parameters())
    return Inventory(str(plan), "backbone", str(plan), _poolings(plan), parameters, macs)


def _poolings(plan: Plan) -> tuple[PoolingRow, ...]:
    """Return one row for each member of each site: what the Plan puts there, else what is published."""
    found = []
    out: dict[tuple[int, int], tuple[int, int]] = {}  # published size -> size in this Plan
    for site in find_sites(plan):
        own = plan.spec(site.name)
        before, after = site.before, site.after
        if plan.sites:
            before = out.get(before, before)
            mine = [row for row in layer_rows(plan) if row.site == site.name and not row.beside]
            after = (mine[-1].height, mine[-1].width) if mine else after
            out[site.after] = after
        found += [_pooling(site, member, own, before, after) for member in site.members]
    return tuple(found)


def _pooling(
    site: Site, member: Member, own: PoolSpec | None, before: tuple[int, int], after: tuple[int, int]
) -> PoolingRow:
    name = site.name if member.path == site.name else f"{site.name} ({member.path})"
    spec = own or member.spec
    if spec is None:
        return PoolingRow(name, member.text, (), (), "", "", site.locked, before=before, after=after)
    words = str(spec).split()
    padding = next((word for word in words if word.startswith("same-")), "")
    padding = padding or next((word[1:] for word in words[1:] if word[0] == "p" and word[1:2].isdigit()), "")
    counted = spec.counted if "uncounted" in KINDS[spec.kind].takes else None
    return PoolingRow(
        name, spec.kind, spec.kernel, spec.stride, padding, str(spec), site.locked, spec.ceil, counted, before, after
    )


# ---------------------------------------------------------------------------------------------------- a checkpoint


def _of_weights(path: Path, contents: Contents, plan: Plan | None) -> Inventory | PoolsearchError:
    """Return what a checkpoint says: as the network it is of, where that is known, else by its keys alone."""
    notes = list(contents.notes)
    metadata = dict(contents.metadata)
    try:
        if plan is None and "plan" in metadata:
            plan = plan_of(metadata["plan"])
            notes.append("The Plan is the one kept in the file.")
    except PoolsearchError as error:
        notes.append(f"The Plan kept in the file is not used. {error}")
    sizes = {key: prod(shape) for key, shape in contents.shapes.items()}
    dtypes: dict[str, int] = {}
    for key, dtype in contents.dtypes.items():
        dtypes[dtype] = dtypes.get(dtype, 0) + sizes[key] * _WIDTH.get(dtype, 1)
    keys = list(contents.shapes)
    plain = Inventory(
        path.name,
        _format(path),
        parameters=sum(size for key, size in sizes.items() if not _is_buffer(key)),
        bytes=path.stat().st_size,
        tensors=len(keys),
        dtypes=tuple(sorted(dtypes.items())),
        keys=(keys[0], keys[-1]),
        notes=tuple(notes),
    )
    try:
        return plain if plan is None else _fitted(plain, contents, plan)
    except PoolsearchError as error:
        return error


def _is_buffer(key: str) -> bool:
    """Return whether a key is one of the running statistics of a batch norm, which are no parameters."""
    return key.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")


def _fitted(plain: Inventory, contents: Contents, plan: Plan) -> Inventory:
    """Return the inventory as the network of a Plan, with the differences where the file does not fit it."""
    usual = backbone(plan.backbone).classes
    own, more = _shapes(plan, usual), _shapes(plan, usual + 1)
    key = next((name for name in reversed(own) if own[name] != more[name] and len(own[name]) == 1), "")
    shape = contents.shapes.get(key, ())  # the bias of the classifier says how many classes there are
    classes = shape[0] if len(shape) == 1 and shape[0] > 0 else usual
    network = rebuild(plan, classes, device="meta")
    found = differences(network, contents)
    notes = [*plain.notes] + ([f"{classes} classes, by the shape of {key}."] if classes != usual else [])
    if found:
        notes += [words] if (words := hint(network, contents)) else []
        return replace(plain, plan=str(plan), notes=tuple(notes), differences=found)
    whole = of_plan(plan, classes)
    return replace(
        plain, plan=str(plan), poolings=whole.poolings, parameters=whole.parameters, macs=whole.macs,
        notes=tuple(notes),
    )  # fmt: skip


def _shapes(plan: Plan, classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of everything that the network of a Plan keeps in its state_dict."""
    return {name: tuple(value.shape) for name, value in rebuild(plan, classes, device="meta").state_dict().items()}


# ---------------------------------------------------------------------------------------------------------- a graph


def _of_graphs(paths: Sequence[Path]) -> list[Inventory | PoolsearchError]:
    if not paths:
        return []
    if find_spec("onnx") is None:
        missing = "needs the library onnx to be read: pip install -r requirements-release.txt"
        return [WeightsError(f"'{path.name}' {missing}") for path in paths]
    found: dict[Path, Inventory | PoolsearchError] = {}
    for path in paths:
        if not path.is_file():
            found[path] = WeightsError(f"There is no file '{path}'.")
        elif not 0 < path.stat().st_size <= _MOST_GRAPH:
            size = path.stat().st_size
            found[path] = WeightsError(
                f"'{path.name}' has {size:,} bytes. Possible: 1 to {_MOST_GRAPH:,}, in one file."
            )
    rest = [path for path in paths if path not in found]
    for path, reply in zip(rest, confined.ask("poolsearch.modelfiles.graph", rest), strict=True):
        found[path] = reply if isinstance(reply, WeightsError) else _of_graph(path, reply)
    return [found[path] for path in paths]


def _of_graph(path: Path, reply: dict[str, Any]) -> Inventory:
    poolings = [
        PoolingRow(**{**row, "kernel": tuple(row["kernel"]), "stride": tuple(row["stride"])})
        for row in reply["poolings"]
    ]
    return Inventory(
        path.name, "onnx", poolings=tuple(poolings), parameters=reply["parameters"], bytes=path.stat().st_size,
        tensors=reply["tensors"], dtypes=tuple(sorted(reply["dtypes"].items())), notes=tuple(reply["notes"]),
    )  # fmt: skip
