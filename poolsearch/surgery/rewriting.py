"""Put poolings in the place of function calls, by rewriting only the module whose forward makes them.

The module is traced by torch.fx with its children as leaves, so that none of them changes. Where its forward can't be
traced so (it branches on shapes, or reads its training flag, which a trace would freeze), hooks open a function mode
around that forward alone; such a module runs, copies, pickles and trains, but does not compile into one graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from poolsearch.torch_private import take_over

Patches = dict[tuple[str, int], nn.Module]  # (function, how often it was called before in this forward) -> pooling


class Pooled(nn.Module):
    """Return the pooled map as the call in whose place it stands left it: a vector (N, C), or the channels last.

    `channels_last` says that the map which enters is (N, H, W, C).
    """

    def __init__(self, pooling: nn.Module, flattened: bool, channels_last: bool = False) -> None:
        super().__init__()
        self.pooling, self.flattened, self.channels_last = pooling, flattened, channels_last

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pooling(x.permute(0, 3, 1, 2) if self.channels_last else x)
        if self.flattened:
            return y.flatten(1)
        return y.permute(0, 2, 3, 1) if self.channels_last else y


def rewrite(model: nn.Module, path: str, patches: Patches) -> nn.Module:
    """Return the model with poolings in the place of calls that the module at `path` makes ("": the model itself)."""
    owner = model.get_submodule(path)
    for number, pooling in enumerate(patches.values()):
        owner.add_module(child_name(number), pooling)
    if "training" in type(owner).forward.__code__.co_names:
        return _by_hooks(model, owner, patches)
    try:
        graph = _graph(owner, patches)
    except (fx.proxy.TraceError, TypeError, RuntimeError):
        return _by_hooks(model, owner, patches)
    return _placed(model, path, _module(owner, graph))


def child_name(number: int) -> str:
    """Return under which name the n-th pooling of a rewritten forward is a child of its module."""
    return "pooling" if number == 0 else f"pooling{number + 1}"


class _Leaves(fx.Tracer):
    """Traces one module: every child is a leaf."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _graph(owner: nn.Module, patches: Patches) -> fx.Graph:
    graph = _Leaves().trace(owner)
    counts: dict[str, int] = {}
    found: list[tuple[fx.Node, int]] = []
    keys = list(patches)
    for node in graph.nodes:
        if node.op not in ("call_function", "call_method"):
            continue
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        ordinal = counts[name] = counts.get(name, -1) + 1
        if (name, ordinal) in keys:
            found.append((node, keys.index((name, ordinal))))
    if len(found) != len(patches):
        raise TypeError("A recorded call is not in the traced forward.")  # the hooks count calls as they run
    for node, number in found:
        with graph.inserting_after(node):
            new = graph.call_module(child_name(number), (node.all_input_nodes[0],))
        node.replace_all_uses_with(new)
        graph.erase_node(node)
    return graph


def _module(owner: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """Return the traced module with every child, parameter and buffer of its original, in the same order."""
    made = fx.GraphModule(owner, graph)
    take_over(made, owner)
    made.training = owner.training
    return made


def _placed(model: nn.Module, path: str, module: nn.Module) -> nn.Module:
    if not path:
        return module
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
    return model


# ------------------------------------------------------------------------------------------------------- by hooks


class _Substituting(TorchFunctionMode):
    """Calls a pooling instead of the functions named, in the owner's own forward and not in its children's."""

    def __init__(self, owner: nn.Module, names: dict[tuple[str, int], str]) -> None:
        super().__init__()
        self.owner, self.names, self.counts, self.depth = owner, names, dict[str, int](), 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.depth == 0:
            function = getattr(func, "__name__", "")
            ordinal = self.counts[function] = self.counts.get(function, -1) + 1
            child = self.names.get((function, ordinal))
            if child is not None:
                return self.owner.get_submodule(child)(args[0] if args else (kwargs or {})["input"])
        return func(*args, **(kwargs or {}))


class Enter:
    """Forward pre-hook of the owner: opens the mode. A class, as the others here, so that models pickle."""

    def __init__(self, names: dict[tuple[str, int], str]) -> None:
        self.names = names

    def __call__(self, module: nn.Module, _: Any) -> None:
        mode = module.__dict__["_substituting"] = _Substituting(module, self.names)
        mode.__enter__()  # type: ignore[no-untyped-call]


class Leave:
    """Forward hook of the owner, also after an error: closes the mode."""

    def __call__(self, module: nn.Module, _: Any, __: Any) -> None:
        mode = module.__dict__.pop("_substituting", None)
        if mode is not None:
            mode.__exit__(None, None, None)


class Down:
    """Forward pre-hook of a child: what it calls is its own."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner = [owner]  # in a list, so that it is no submodule

    def __call__(self, _: nn.Module, __: Any) -> None:
        mode = self.owner[0].__dict__.get("_substituting")
        if mode is not None:
            mode.depth += 1


class Up(Down):
    """Forward hook of a child: back in its owner's forward."""

    def __call__(self, _: nn.Module, __: Any, ___: Any = None) -> None:
        mode = self.owner[0].__dict__.get("_substituting")
        if mode is not None:
            mode.depth -= 1


def _by_hooks(model: nn.Module, owner: nn.Module, patches: Patches) -> nn.Module:
    for child in owner.children():
        child.register_forward_pre_hook(Down(owner), prepend=True)
        child.register_forward_hook(Up(owner), always_call=True)
    names = {key: child_name(number) for number, key in enumerate(patches)}
    owner.register_forward_pre_hook(Enter(names))
    owner.register_forward_hook(Leave(), always_call=True)
    return model
