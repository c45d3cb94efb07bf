"""Record a backbone once: one run on meta tensors under a function mode, with hooks that say which module is at work.

Nothing is computed. Unlike symbolic tracing this sees every functional call, keeps the modules as they are and does
not freeze the training flag. The run is at the published input size; any other size is replayed. Where a network
can't run on meta tensors (a branch on values, a stray tensor), one real forward pass is recorded instead.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from poolsearch import memory
from poolsearch.errors import PoolsearchError, SiteError
from poolsearch.networks.source import Source
from poolsearch.plan.windows import Window
from poolsearch.surgery.layout import propagate
from poolsearch.surgery.standins import STANDINS, pair
from poolsearch.surgery.trace import Call, SizedCall, Trace
from poolsearch.torch_private import saved_buffers, storage_id

LARGER = 96  # pixels: enough that no map of a backbone made for small pictures shrinks to 1x1
_SILENT = {"__get__", "__set__", "_assert", "_set_grad_enabled", "_return_self", "__setitem__"}
_REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "std", "var", "logsumexp"}
_POOLINGS = {"max_pool2d", "max_pool2d_with_indices", "boolean_dispatch", "avg_pool2d", "lp_pool2d"}


@memory.kept
def record(source: Source, channels: int, training: bool = False) -> Trace:
    """Return the trace of a network at its published input size; at 96 pixels where that leaves maps of one pixel.

    On such maps a broadcast looks like equality. A network that takes no other size (flattened into a fully connected
    layer) is recorded at its own all the same.
    Raises SiteError when the network can't be run for it, with the network's own reason.
    """
    usual = source.backbone.size
    own, larger = (channels, *usual[1:]), (channels, max(usual[1], LARGER), max(usual[2], LARGER))
    if own == larger:
        return _recorded(source, own, training)
    try:
        trace = _recorded(source, own, training)
    except SiteError:
        return _recorded(source, larger, training)
    if not _has_one_pixel(trace):
        return trace
    try:
        return _recorded(source, larger, training)
    except SiteError:
        return trace


def _has_one_pixel(trace: Trace) -> bool:
    """Return whether a window leaves a single pixel anywhere before the head."""
    return any(call.window is not None and call.map == (1, 1) for call in trace.calls)


def _recorded(source: Source, size: tuple[int, int, int], training: bool) -> Trace:
    """Return the trace of a backbone at this size, on meta tensors, or on real ones where those do not do."""
    try:
        return _traced(source, size, training, "meta")
    except _OwnError as error:
        # where meta tensors do not do (a branch on values, a stray tensor), real ones may
        if not any(word in str(error).lower() for word in ("meta", "device")):
            raise
    with memory.one_network():
        return _traced(source, size, training, "cpu")


class _OwnError(SiteError):
    """A network failed by itself, whatever it raised."""


def _traced(source: Source, size: tuple[int, int, int], training: bool, device: str) -> Trace:
    """Return what was recorded of a network on a device; the network itself is gone then."""
    name = source.name
    model: nn.Module | None = None
    try:
        model = source.build(size[0], device=device).train(training)
        calls, outputs = record_calls(model, size, device)
    except PoolsearchError:
        raise
    except Exception as error:
        if model is not None and (volume := _volume(model)):
            raise SiteError(_no_volumes(name, volume)) from None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _OwnError(f"{name} does not run at {'x'.join(map(str, size))}: {reason}") from None
    for call in calls:  # one that is given a picture takes it for a volume of one channel
        if call.op.endswith("3d") and call.inputs and len(calls[call.inputs[0]].shape) == 4:
            raise SiteError(_no_volumes(name, f"{call.path or 'forward'} calls {call.op}"))
    ran = {call.path for call in calls}
    idle = not training and any(
        path not in ran and next(module.parameters(recurse=False), None) is not None
        for path, module in model.named_modules()
        if next(module.children(), None) is None
    )
    kept = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values()
    buffers = sum(tensor.nbytes for tensor in kept if not isinstance(tensor, nn.Parameter))
    return Trace(
        name,
        calls,
        outputs,
        idle,
        parameters=sum(p.numel() for p in model.parameters()) - sum(call.parameters for call in calls),
        buffer_bytes=buffers - sum(call.buffer_bytes for call in calls),
    )


def _volume(model: nn.Module) -> str:
    """Return the first module of a network that wants volumes, in words; "" where none does."""
    found = (f"{path} is a {type(one).__name__}" for path, one in model.named_modules() if "3d" in type(one).__name__)
    return next(found, "")


def _no_volumes(name: str, reason: str) -> str:
    return f"{name} is a 3d network ({reason}), and 3d is not supported. Possible: networks that take one picture."


def record_calls(
    model: nn.Module, size: tuple[int, int, int], device: str = "meta", standins: bool = True
) -> tuple[tuple[SizedCall, ...], tuple[int, ...]]:
    """Return the calls of one forward pass for an input of (channels, height, width), and which are the outputs."""
    x = torch.empty(1, *size, device=device) if device == "meta" else torch.rand(1, *size)
    recorder = _Recorder(model, x, standins and device == "meta")
    hooks = []
    try:
        for module in recorder.names:
            hooks.append(module.register_forward_pre_hook(recorder.enter, prepend=True))
            hooks.append(module.register_forward_hook(recorder.leave, always_call=True))
        with torch.no_grad(), recorder:
            out = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    outputs = tuple(recorder.where[id(t)] for t in tensors_in(out) if id(t) in recorder.where)
    calls = [replace(call, freed=recorder.freed.get(index, 0)) for index, call in enumerate(recorder.calls)]
    return propagate(calls), outputs


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module, x: Tensor, standins: bool) -> None:
        super().__init__()
        self.standins = STANDINS if standins else {}
        self.names: dict[nn.Module, str] = {}
        for name, module in model.named_modules():
            self.names.setdefault(module, name)
        self.stack: list[tuple[nn.Module, int, dict[str, int]]] = [(model, 0, {})]
        self.visits: dict[nn.Module, int] = {}
        self.counted: set[nn.Module] = set()  # modules whose parameters and buffers a call already owns
        self.owned: set[int] = set()  # ids of those parameters
        self.calls = [Call("input", "", (), tuple(x.shape))]
        self.where: dict[int, int] = {}
        self.memory: dict[int, list[int]] = {}  # of each storage: the call that made it, and how many tensors lie in it
        self.freed: dict[int, int] = {}  # how many calls there were when the memory of a call was free again
        self.watched: list[weakref.ref[Tensor]] = []
        self.watch(x, 0)

    def watch(self, tensor: Tensor, index: int) -> bool:
        """Note a call's result until it is gone (its id may be used again); return whether its memory is another's."""
        known, key = id(tensor) in self.where, storage_id(tensor)
        self.where[id(tensor)] = index
        shares = key in self.memory
        if known:
            return True
        place = self.memory.setdefault(key, [index, 0])
        place[1] += 1

        def gone(_: Any, number: int = id(tensor)) -> None:
            self.where.pop(number, None)
            place[1] -= 1
            if not place[1]:
                self.freed[place[0]] = len(self.calls)
                self.memory.pop(key, None)

        self.watched.append(weakref.ref(tensor, gone))
        return shares

    def enter(self, module: nn.Module, _: Any) -> None:
        visit = self.visits.get(module, 0)
        self.visits[module] = visit + 1
        self.stack.append((module, visit, {}))

    def leave(self, module: nn.Module, _: Any, __: Any) -> None:
        self.stack.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        op = getattr(func, "__name__", str(func))
        out = self.stand_in(op, args, kwargs)
        if out is None:
            out = func(*args, **kwargs)
        results = tensors_in(out)
        if op in _SILENT or not results:
            return out
        mentioned = tensors_in((args, kwargs))
        inputs = tuple(self.where[id(t)] for t in mentioned if id(t) in self.where)
        if inputs:
            outside = tuple(tuple(t.shape) for t in mentioned if id(t) not in self.where)
            self.note(op, args, kwargs, inputs, results, outside, mentioned)
        return out

    def stand_in(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """Return an empty result of the right shape, or None where torch's own kernel has to say."""
        standin = self.standins.get(op)
        try:
            return standin(*args, **kwargs) if standin else None
        except (TypeError, AttributeError):  # called in another way than usual
            return None

    def note(
        self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: tuple[int, ...], results: list[Tensor],
        outside: tuple[tuple[int, ...], ...], mentioned: list[Tensor],
    ) -> None:  # fmt: skip
        module, visit, seen = self.stack[-1]
        ordinal = seen[op] = seen.get(op, -1) + 1
        leaf = next(module.children(), None) is None
        own, buffers = self.owns(module, mentioned)
        for number, out in enumerate(results):
            call = Call(
                op, self.names[module], inputs, tuple(out.shape), leaf, visit, ordinal, type(module).__name__,
                parameters=0 if number else own,
                buffer_bytes=0 if number else buffers,
                inplace=_writes_over(op, kwargs) or getattr(module, "inplace", False) is True,
                outside=outside,
                **_attributes(op, args, kwargs, out, next(module.parameters(recurse=False), None) is not None),
            )  # fmt: skip
            shares = self.watch(out, len(self.calls))
            self.calls.append(replace(call, shares=True) if shares else call)

    def owns(self, module: nn.Module, mentioned: list[Tensor]) -> tuple[int, int]:
        """Return how many parameters, and how many bytes of buffers on disk, no call before this one accounted for.

        Those of the module itself, and what it takes of another that never runs by itself: attention does so.
        """
        parameters = [p for p in mentioned if isinstance(p, nn.Parameter)]
        buffers = 0
        if module not in self.counted:
            self.counted.add(module)
            parameters += module.parameters(recurse=False)
            buffers = sum(buffer.nbytes for buffer in saved_buffers(module))
        new = {id(p): p for p in parameters if id(p) not in self.owned}
        self.owned |= set(new)
        return sum(p.numel() for p in new.values()), buffers


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in what a module takes or returns: itself, or those in its tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [t for item in value for t in tensors_in(item)]
    return []


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any = None) -> Any:
    return kwargs.get(name, args[position] if len(args) > position else default)


def _writes_over(op: str, kwargs: dict[str, Any]) -> bool:
    """Return whether a function writes over its first argument: relu_, +=, inplace=True."""
    operator = op.startswith("__i") if op.endswith("__") else op.endswith("_")
    return bool(kwargs.get("inplace")) or operator


def _attributes(op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor, owns: bool) -> dict[str, Any]:
    """Return the fields of a Call that say what the function does to sizes; `owns`: its module has parameters."""

    def get(position: int, name: str, default: Any = None) -> Any:
        return _argument(args, kwargs, position, name, default)

    if op == "conv2d":
        weight, dilation = get(1, "weight"), pair(get(5, "dilation", 1))
        padding = get(4, "padding", 0)
        if isinstance(padding, str):
            reach = [d * (k - 1) for k, d in zip(weight.shape[-2:], dilation, strict=True)]
            padding = tuple(n // 2 for n in reach) if padding == "same" else 0
        win = _window(weight.shape[-2:], get(3, "stride", 1), padding, dilation, False)
        learned = owns or isinstance(weight, nn.Parameter)  # also a weight that is standardised first
        return {"window": win, "weight": tuple(weight.shape), "groups": get(6, "groups", 1), "learned": learned}
    if op in _POOLINGS:
        return _pooling(op, get)
    if op.startswith(("adaptive_", "fractional_")):
        return {"target": tuple(out.shape[-2:])}
    if op in _REDUCTIONS:
        dims = get(1, "dim", kwargs.get("axis"))
        if dims is None or isinstance(dims, Tensor):
            return {}
        dims = tuple(dims) if isinstance(dims, tuple | list) else (dims,)
        return {"dims": dims, "keepdim": bool(get(2, "keepdim", False))}
    if op in ("permute", "transpose", "swapaxes", "movedim"):
        rest = args[1:] or tuple(kwargs.values())
        return {"dims": tuple(rest[0]) if rest and isinstance(rest[0], tuple | list) else tuple(rest)}
    if op == "pad":
        amounts = [*get(1, "pad", []), 0, 0, 0, 0][:4]
        return {"grow": ((amounts[2], amounts[3]), (amounts[0], amounts[1]))}
    if op == "__getitem__":
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        return {"dims": tuple(i.step for i in index if isinstance(i, slice) and isinstance(i.step, int))}
    if op == "linear":
        return {"weight": tuple(get(1, "weight").shape)}
    return {}


def _pooling(op: str, get: Callable[..., Any]) -> dict[str, Any]:
    shift = int(op == "lp_pool2d")  # its second argument is the exponent
    kernel = get(1 + shift, "kernel_size")
    stride = get(2 + shift, "stride") or kernel
    if op == "lp_pool2d":
        return {"window": _window(kernel, stride, 0, 1, get(4, "ceil_mode", False))}
    if op == "avg_pool2d":
        win = _window(kernel, stride, get(3, "padding", 0), 1, get(4, "ceil_mode", False))
        return {"window": win, "counted": bool(get(5, "count_include_pad", True))}
    return {"window": _window(kernel, stride, get(3, "padding", 0), get(4, "dilation", 1), get(5, "ceil_mode", False))}


def _window(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any) -> Window:
    pads = tuple((p, p) for p in pair(padding))
    return Window(pair(kernel), pair(stride), pads, pair(dilation), bool(ceil))
