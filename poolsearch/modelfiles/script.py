"""A Plan as one Python file: its network on torch and the backbone's own library, without Poolsearch.

No operator is written a second time. What a Plan uses is cut out of the modules that compute it, each piece behind the
pieces it stands on, so that the file can't drift from them; only what a spec reads from (PoolSpec, KINDS, the errors)
gets a small stand-in. What a module of torch.nn says exactly is written as that module.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import lru_cache
from importlib import metadata

import torch
from torch import nn

from poolsearch import pooling
from poolsearch.errors import PoolsearchError, SiteError
from poolsearch.networks.declared import Declared
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.surgery.checking import Replay, replayed
from poolsearch.surgery.edits import Attach, Edit, Restride, Rewrite, Swap
from poolsearch.surgery.network import Network
from poolsearch.surgery.rebuild import CHILD, PoolAfter, PoolBefore, rebuild
from poolsearch.surgery.rewriting import Pooled, rewrite
from poolsearch.surgery.wider import Widen
from poolsearch.torch_private import child_names

# Fields and defaults as in poolsearch.plan.spec; a spec in a file gives every option of its kind a value
_SPEC = '''\
@dataclass(frozen=True)
class PoolSpec:
    """What a pooling is told. A tuple of one number counts for every axis; an empty one is the default."""

    kind: str
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: str | tuple[tuple[int, int], ...] = ()  # (begin, end) of each axis
    dilation: tuple[int, ...] = ()
    ceil: bool = False
    counted: bool = True  # an average counts the padding's zeros
    border: str = ""  # what stands in the padding; "" is the kind's own
    options: tuple[tuple[str, float], ...] = ()

    def option(self, name: str) -> float:
        return dict(self.options)[name]'''

_LIBRARY = """\
try:
    import LIBRARY
except RuntimeError:  # beside a CPU-only torch: "operator torchvision::nms does not exist", which no network here needs
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import LIBRARY"""

_KINDS = "KINDS = {}"  # its place; what it holds is known last

_MAIN = """

if __name__ == "__main__":
    torch.manual_seed(0)
    image = torch.rand(1, SIZE)
    with torch.no_grad():
        print(tuple(build().eval()(image).shape))
"""


def as_python(plan: Plan, classes: int | None = None) -> str:
    """Return the Python file that builds the network of a Plan with torch and the backbone's own library alone.

    Its `build()` has the state-dict keys of `rebuild(plan, classes)`, in that order, and computes the same. Raises
    PlanError or SiteError when the Plan can't run, or when the file can't say one of its edits.
    """
    replay = replayed(plan)
    plan, network = replay.plan, replay.network
    pieces = _Pieces()
    body = ["", "", "def build() -> torch.nn.Module:", '    """Return the network, with random weights."""']
    body.append(f"    model = {_published(network, classes, pieces)}")
    rewrites = any(isinstance(edit, Rewrite) for edit in replay.edits)
    body += ["    calls = {}  # module: {(function, how often it was called before): what takes its place}"] * rewrites
    lines: list[tuple[str, int, int]] = []  # site, first line in body from 0, last
    for site, changes in _changes(replay, pieces):
        lines.append((site, len(body), len(body) + len(changes) - 1))
        body += [f"    {change}" for change in changes]
    if rewrites:
        body.append("    for path in sorted(calls, key=len, reverse=True):  # from the inside out")
        body.append(f"        model = {pieces.use_object(rewrite)}(model, path, calls[path])")
    body.append("    return model")
    front = pieces.front(_library(network)).splitlines()
    above = len(_head(replay, lines, 0)) + len(front) + 1
    tail = _MAIN.replace("SIZE", ", ".join(map(str, plan.size)))
    return "\n".join([*_head(replay, lines, above), *front, *body, tail])


def _head(replay: Replay, lines: list[tuple[str, int, int]], above: int) -> list[str]:
    """Return the comment on top: the Plan, and which lines of the file change what."""
    plan, network = replay.plan, replay.network
    library, build = _library(network).partition(".")[0], network.source.backbone.build
    made = f"torch {torch.__version__}"
    if library:
        made += f" and {build.package if isinstance(build, Declared) else f'{library} {metadata.version(library)}'}"
    published = {site.name: site.main.text for site in network.sites}
    return [
        f"# Made by Poolsearch from the Plan '{plan}'",
        f"# beside {made}. Poolsearch is not needed to run it; weights of this Plan fit as they are.",
        *[
            f"# Lines {above + first} to {above + last} change {site}: {plan.spec(site)} (published: {published[site]})"
            for site, first, last in lines
        ],
        "#" if lines else "# Nothing is changed: this is the published network.",
    ]


def _library(network: Network) -> str:
    """Return the library that a backbone comes from; none for one of Poolsearch's own."""
    build = network.source.backbone.build
    if isinstance(build, Declared):
        return build.module
    if inspect.isclass(build):
        return ""
    return "timm" if network.source.name.startswith("timm.") else "torchvision.models"


def _published(network: Network, classes: int | None, pieces: _Pieces) -> str:
    """Return the expression that builds the published network."""
    record, name, channels = network.source.backbone, network.source.name, network.size[0]
    classes = classes or record.classes
    if isinstance(record.build, Declared):
        return record.build.expression(classes)
    if inspect.isclass(record.build):
        return f"{pieces.use_object(record.build)}({channels}, {classes})"
    if _library(network) == "timm":
        option = f", in_chans={channels}" if channels != 3 else ""
        return f'timm.create_model("{name.removeprefix("timm.")}", num_classes={classes}{option})'
    return f'torchvision.models.get_model("{name}", weights=None, num_classes={classes})'


def _changes(replay: Replay, pieces: _Pieces) -> Iterator[tuple[str, list[str]]]:
    """Yield each changed site with the lines that change it, the first of them a comment."""
    plan, changes = replay.plan, replay.edits
    model = replay.network.source.build(plan.size[0], device="meta")
    told: PoolSpec | None = None  # what the variable `spec` holds
    for site in dict.fromkeys(change.site for change in changes):
        lines = [f"# {site}: {plan.spec(site)}"]
        for change in changes:
            if change.site == site:
                spec = None if isinstance(change, Restride | Widen) else getattr(change, "spec", None)
                if spec and spec != told and not _native(spec):
                    told = spec
                    lines.append(f"spec = {_spec(spec, pieces)}")
                lines += _lines(model, plan, change, pieces)
        yield site, lines


def _lines(model: nn.Module, plan: Plan, edit: Edit, pieces: _Pieces) -> list[str]:
    """Return the lines that apply one edit, as `rebuild` applies it."""
    if isinstance(edit, Swap):
        parent, _, name = edit.path.rpartition(".")
        place, made = _place(model, edit.path), _module(edit.spec, edit.channels, pieces)
        last = ", True" if edit.channels_last else ""
        made = (
            f"{pieces.use_object(Pooled)}({made}, {edit.flattened}{last})"
            if edit.flattened or edit.channels_last
            else made
        )
        if "get_submodule" in place:  # no name of Python's
            return [f'setattr({_place(model, parent)}, "{name}", {made})']
        return [f"{place} = {made}"]
    if isinstance(edit, Rewrite):
        last = ", True" if edit.channels_last else ""
        made = f"{pieces.use_object(Pooled)}({_module(edit.spec, edit.channels, pieces)}, {edit.flattened}{last})"
        return [f'calls.setdefault("{edit.path}", {{}})["{edit.function}", {edit.ordinal}] = {made}']
    if isinstance(edit, Restride):
        conv = _place(model, edit.path)
        pointwise = pieces.use(rebuild.__module__, "_make_pointwise") if edit.pointwise else ""
        return [f"{conv}.stride = {edit.stride}", *([f"{pointwise}({conv})"] if pointwise else [])]
    if isinstance(edit, Attach):
        place, made = _place(model, edit.path), _module(edit.spec, edit.channels, pieces)
        hook, method = (PoolAfter, "forward_hook") if edit.side == "after" else (PoolBefore, "forward_pre_hook")
        register = f"{place}.register_{method}({pieces.use_object(hook)}())"
        return [f'{place}.add_module("{CHILD}", {made})', register]
    if isinstance(edit, Widen):
        call = f"({_place(model, edit.path)}, {edit.channels}, {edit.blocks})"
        return [f"# {edit.sentence()}", pieces.use(rebuild.__module__, "_make_wider") + call]
    # a new kind of edit gets its lines above, its functions and classes cut out by pieces.use_object
    raise SiteError(
        f"Site '{edit.site}' of {plan.backbone} is changed by a {type(edit).__name__}, which can't be written as "
        "Python yet. Possible: another pooling, another stride, a pooling attached to a layer."
    )


def _place(model: nn.Module, path: str) -> str:
    """Return the expression of a module: `model.layer2[0].conv1`."""
    words, module = "model", model
    for name in path.split(".") if path else []:
        inside = module.get_submodule(name)
        listed = isinstance(module, nn.Sequential | nn.ModuleList) and child_names(module).index(name)
        words += (
            f"[{name}]" if str(listed) == name else f".{name}" if name.isidentifier() else f'.get_submodule("{name}")'
        )
        module = inside
    return words


# ------------------------------------------------------------------------------------------------------ the poolings


def _native(spec: PoolSpec) -> str | None:
    """Return the module of torch.nn that says exactly this spec on a picture, as Python; None when there is none."""
    kind = KINDS[spec.kind]
    if kind.reduces == "map":
        return f"nn.{kind.module}(1)" if kind.module else None
    uneven = isinstance(spec.padding, str) or any(begin != end for begin, end in spec.padding)
    if not kind.module or uneven or spec.border or spec.options:
        return None
    begins = tuple(pair[0] for pair in spec.padding if not isinstance(pair, str))
    words = [_number(values) for values in (spec.kernel, spec.stride, begins) if values]
    words += [f"dilation={_number(spec.dilation)}"] * bool(spec.dilation) + ["ceil_mode=True"] * spec.ceil
    words += ["count_include_pad=False"] * (not spec.counted)
    return f"nn.{kind.module}({', '.join(words)})"


def _number(values: tuple[int, ...]) -> str:
    return str(values[0] if len(values) == 1 else values)


def _module(spec: PoolSpec, channels: int, pieces: _Pieces) -> str:
    """Return the expression that makes a pooling; where torch.nn has none, its spec is in the variable `spec`."""
    if text := _native(spec):
        pieces.imports["nn"] = ("torch", "nn")
        return text
    with torch.device("meta"):
        made = pooling.build(spec, channels)
    if isinstance(made, pooling.Pooling):
        return f"{pieces.use_object(pooling.Pooling)}({pieces.use_object(made.function)}, spec)"
    return f"{pieces.use_object(type(made))}(spec, {channels})"


def _spec(spec: PoolSpec, pieces: _Pieces) -> str:
    """Return the expression of a spec, of the stand-in's fields those that are not the default."""
    pieces.kinds.add(spec.kind)
    names = ("kernel", "stride", "padding", "dilation", "ceil", "counted", "border")
    defaults = {field.name: field.default for field in fields(PoolSpec)}
    given = [(name, getattr(spec, name)) for name in names if getattr(spec, name) != defaults[name]]
    options = tuple((option.name, float(spec.option(option.name))) for option in KINDS[spec.kind].options)
    given += [("options", options)] if options else []
    return (
        f'{pieces.use_object(PoolSpec)}("{spec.kind}"{"".join(f", {name}={_python(value)}" for name, value in given)})'
    )


# -------------------------------------------------------------------------------------------------------- the pieces


class _Pieces:
    """The definitions that a file needs, cut out of this package, each behind those that it uses."""

    def __init__(self) -> None:
        self.imports: dict[str, tuple[str, str]] = {"torch": ("torch", "")}  # name -> module, name there
        self.kinds: set[str] = set()
        self._names: dict[tuple[str, str], str] = {}  # (module, name there) -> name in the file
        self._texts: list[str] = []

    def use_object(self, thing: type | Callable[..., object]) -> str:
        """Return the name of a class or function in the file."""
        return self.use(thing.__module__, thing.__name__)

    def use(self, module: str, name: str) -> str:
        """Return the name in the file of what a module calls by this name; it is cut out when it is new."""
        node = _definitions(module).get(name)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return self._import(node, name)
        if node is None or (module, name) in self._names:  # a local variable, or a builtin
            return self._names.get((module, name), name)
        taken = name in self._names.values() or name in self.imports
        self._names[module, name] = f"{name}_{module.rpartition('.')[2]}" if taken else name
        text = self._stand_in(module, name) or _text(module, node)
        names = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)} | {name}
        for other in sorted(names):
            theirs = self.use(module, other)
            if theirs != other:  # two modules have one name for two things
                text = re.sub(rf"(?<![\w.]){other}\b", theirs, text)
        self._texts.append(text)
        return self._names[module, name]

    def _import(self, node: ast.Import | ast.ImportFrom, name: str) -> str:
        alias = next(alias for alias in node.names if name in (alias.asname, alias.name))
        if isinstance(node, ast.Import):
            self.imports[name] = (alias.name, "")
        elif (node.module or "").startswith("poolsearch"):
            return self.use(node.module or "", alias.name)
        else:
            self.imports[name] = (node.module or "", alias.name)
        return name

    def _stand_in(self, module: str, name: str) -> str:
        """Return what stands in for a record that must not be dragged in; nothing for all else."""
        thing = getattr(sys.modules[module], name)
        if thing is PoolSpec:
            return _SPEC
        if thing is KINDS:
            self.imports["SimpleNamespace"] = ("types", "SimpleNamespace")
            return _KINDS
        if inspect.isclass(thing) and issubclass(thing, PoolsearchError):
            return f'class {name}(ValueError):\n    """{thing.__doc__}"""'
        return ""

    def front(self, library: str) -> str:
        """Return the imports, a library behind all others, and the definitions."""
        whole = "\n".join(self._texts)
        facts = sorted(set(re.findall(r"KINDS\[spec\.kind\]\.(\w+)", whole)))
        texts = [_kinds(sorted(self.kinds), facts) if text == _KINDS else text for text in self._texts]
        standard = _import_lines(self.imports, lambda module: module.split(".")[0] in sys.stdlib_module_names)
        others = _import_lines(self.imports, lambda module: module.split(".")[0] not in sys.stdlib_module_names)
        blocks = ["from __future__ import annotations", standard, others]
        blocks += [_LIBRARY.replace("LIBRARY", library)] if library else []
        imports = "\n\n".join(block for block in blocks if block)
        return "\n\n\n".join([imports, *texts])


def _import_lines(imports: dict[str, tuple[str, str]], wanted: Callable[[str], bool]) -> str:
    """Return the import statements of the wanted modules, `import` before `from`."""
    whole, parts = [], dict[str, list[str]]()
    for name, (module, there) in sorted(imports.items()):
        if wanted(module) and there:
            parts.setdefault(module, []).append(there if there == name else f"{there} as {name}")
        elif wanted(module):
            whole.append(f"import {module}" if module == name else f"import {module} as {name}")
    return "\n".join(sorted(whole) + [f"from {module} import {', '.join(parts[module])}" for module in sorted(parts)])


def _kinds(kinds: list[str], facts: list[str]) -> str:
    """Return the stand-in for the records of the kinds: what the operators in the file ask about them."""
    lines = []
    for kind in kinds:
        values = ", ".join(f"{fact}={_python(getattr(KINDS[kind], fact))}" for fact in facts)
        lines += [f'    "{kind}": SimpleNamespace({values}),']
    return "\n".join(["KINDS = {  # what the operators ask about a kind", *lines, "}"])


def _python(value: object) -> str:
    return repr(value).replace("'", '"')


@lru_cache(maxsize=64)
def _definitions(module: str) -> dict[str, ast.stmt]:
    """Return what the source of a module of this package defines or imports at its top level; nothing for others."""
    if not module.startswith("poolsearch"):
        return {}
    found: dict[str, ast.stmt] = {}
    statements = ast.parse(inspect.getsource(sys.modules[module])).body
    inside = [(top.body if isinstance(top, ast.If) else [top]) for top in statements]  # if TYPE_CHECKING
    for node in [node for nodes in inside for node in nodes]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update((alias.asname or alias.name, node) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update((target.id, node) for target in targets if isinstance(target, ast.Name))
    return found


def _text(module: str, node: ast.stmt) -> str:
    """Return the source of a definition, with the comment above it and without notes to type checkers."""
    lines = inspect.getsource(sys.modules[module]).splitlines()
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    while lines[first - 1].startswith("# ") and "----" not in lines[first - 1]:
        first -= 1
    return re.sub(r"  # type: ignore.*", "", "\n".join(lines[first : node.end_lineno]))
