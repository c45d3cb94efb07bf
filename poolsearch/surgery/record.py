"""Record a backbone once: one run on meta tensors under a function mode, with hooks that say which module is at work.

Nothing is computed. Unlike symbolic tracing this sees every functional call, keeps the modules as they are and does
not freeze the training flag. The run is large (at the published input size): at small sizes maps of 1x1 make a
broadcast look like equality. Small inputs are replayed, not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from poolsearch import backbones
from poolsearch.errors import SiteError
from poolsearch.plan import Plan
from poolsearch.surgery.trace import Call, Trace
from poolsearch.windows import Window

RECORDED = 96  # pixels: below this, maps at the end of a backbone shrink to 1x1 and can't be told apart


@cache
def record(name: str, channels: int) -> Trace:
    """Return the trace of a backbone at its published input size (at least 96 pixels)."""
    usual = backbones.backbone(name).size
    size = (channels, max(usual[1], RECORDED), max(usual[2], RECORDED))
    model = backbones.build(Plan(name, size), device="meta").eval()
    return Trace(name, record_calls(model, size))


def record_calls(model: nn.Module, size: tuple[int, int, int]) -> tuple[Call, ...]:
    """Return the calls of one forward pass of a model on meta, for an input of (channels, height, width)."""
    x = torch.empty(1, *size, device="meta")
    recorder = _Recorder(model, x)
    hooks = []
    try:
        for module in recorder.names:
            hooks.append(module.register_forward_pre_hook(recorder.enter, prepend=True))
            hooks.append(module.register_forward_hook(recorder.leave, always_call=True))
        with torch.no_grad(), recorder:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(recorder.calls)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.names: dict[nn.Module, str] = {}
        for name, module in model.named_modules():
            self.names.setdefault(module, name)
        self.stack: list[tuple[nn.Module, int]] = []
        self.visits: dict[nn.Module, int] = {}
        self.counted: set[nn.Module] = set()  # modules whose parameters a call already owns
        self.calls = [Call("input", "", (), tuple(x.shape))]
        self.where = {id(x): 0}
        self.kept: list[Tensor] = [x]  # an id may be used again once its tensor is gone

    def enter(self, module: nn.Module, _: Any) -> None:
        visit = self.visits.get(module, 0)
        self.visits[module] = visit + 1
        self.stack.append((module, visit))

    def leave(self, module: nn.Module, _: Any, __: Any) -> None:
        self.stack.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = tuple(self.where[id(t)] for t in _tensors((args, kwargs)) if id(t) in self.where)
        if isinstance(out, Tensor) and inputs:
            self.note(getattr(func, "__name__", str(func)), args, kwargs or {}, inputs, out)
        return out

    def note(
        self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: tuple[int, ...], out: Tensor
    ) -> None:
        module, visit = self.stack[-1]
        leaf = next(module.children(), None) is None
        first = leaf and module not in self.counted
        self.counted.add(module)
        call = Call(
            op,
            self.names[module],
            inputs,
            tuple(out.shape),
            leaf,
            visit,
            parameters=sum(p.numel() for p in module.parameters(recurse=False)) if first else 0,
            inplace=bool(kwargs.get("inplace")) or getattr(module, "inplace", False) or op.endswith("_"),
            **_attributes(op, args, kwargs, out),
        )
        self.where[id(out)] = len(self.calls)
        self.kept.append(out)
        self.calls.append(call)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [t for item in value for t in _tensors(item)]
    return []


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any = None) -> Any:
    return kwargs.get(name, args[position] if len(args) > position else default)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[-1])) if isinstance(value, tuple | list) else (int(value), int(value))


def _attributes(op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> dict[str, Any]:
    """Return the fields of a Call that say what the function does to sizes."""

    def get(position: int, name: str, default: Any = None) -> Any:
        return _argument(args, kwargs, position, name, default)

    if op == "conv2d":
        weight = get(1, "weight")
        padding = get(4, "padding", 0)
        if isinstance(padding, str):
            raise SiteError(f"A convolution with padding='{padding}' can't be recorded yet.")
        win = _window(weight.shape[-2:], get(3, "stride", 1), padding, get(5, "dilation", 1), False)
        return {"window": win, "weight": tuple(weight.shape), "groups": get(6, "groups", 1)}
    if op in ("max_pool2d", "max_pool2d_with_indices", "boolean_dispatch"):
        kernel = get(1, "kernel_size")
        stride = get(2, "stride") or kernel
        return {
            "window": _window(kernel, stride, get(3, "padding", 0), get(4, "dilation", 1), get(5, "ceil_mode", False))
        }
    if op == "avg_pool2d":
        kernel = get(1, "kernel_size")
        win = _window(kernel, get(2, "stride") or kernel, get(3, "padding", 0), 1, get(4, "ceil_mode", False))
        return {"window": win, "counted": bool(get(5, "count_include_pad", True))}
    if op.startswith("adaptive_"):
        return {"target": tuple(out.shape[-2:])}
    if op in ("mean", "amax"):
        dims = get(1, "dim", kwargs.get("axis", ()))
        dims = tuple(d % 4 for d in (dims if isinstance(dims, tuple | list) else (dims,)))
        whole = {"target": (1, 1)} if dims == (2, 3) else {}
        return {"dims": dims, "keepdim": bool(get(2, "keepdim", False)), **whole}
    if op == "flatten":
        return {"dims": (get(1, "start_dim", 0),)}
    if op in ("cat", "concat"):
        return {"dims": (get(1, "dim", 0) % out.dim(),)}
    if op == "linear":
        return {"weight": tuple(get(1, "weight").shape)}
    return {}


def _window(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any) -> Window:
    pads = tuple((p, p) for p in _pair(padding))
    return Window(_pair(kernel), _pair(stride), pads, _pair(dilation), bool(ceil))
