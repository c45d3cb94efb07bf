"""Every pooling under torch's exporters and compiler: the same numbers there, and nothing of theirs left behind here.

No other test uses these map sizes, so that no cache has seen them when an exporter comes first.
"""

import functools
import gc
import io
import warnings

import onnx
import pytest
import torch
from test_pooling import SPECS, numbers
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from poolsearch.errors import PlanError
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.pooling import build

# of each kind the last of its windows: padded where the kind takes a padding
LAST = [[spec for spec in SPECS if spec.kind == kind][-1] for kind in KINDS]
every_kind = pytest.mark.parametrize("spec", LAST, ids=str)
CHANNELS = 6


def symbolic(module: torch.nn.Module, x: Tensor) -> fx.GraphModule:
    return make_fx(module, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x)


def compiled(module, x):
    torch._dynamo.reset()  # the modules of one kind share their code, and torch compiles one function eight times
    return torch.compile(module, backend="eager", fullgraph=True)


# each with map sizes of its own
TRACERS = {
    "export": (lambda module, x: torch.export.export(module, (x,)).module(), (23, 34)),
    "make_fx": (lambda module, x: make_fx(module)(x), (25, 34)),
    "symbolic make_fx": (symbolic, (23, 36)),
    "compile": (compiled, (25, 36)),
}


def cached_tensors() -> list[str]:
    """Return the names of the caches of this package that hold a tensor, as a key or as a value."""
    found = []
    for cache in [thing for thing in gc.get_objects() if type(thing) is functools._lru_cache_wrapper]:
        if not cache.__module__.startswith("poolsearch"):
            continue
        queue, seen = gc.get_referents(cache), set()
        while queue:
            thing = queue.pop()
            if isinstance(thing, Tensor):
                found.append(cache.__qualname__)
                break
            if id(thing) not in seen and isinstance(thing, dict | tuple | list | set):
                seen.add(id(thing))
                queue += gc.get_referents(thing)
    return found


@pytest.mark.filterwarnings(
    "ignore::FutureWarning:torch", "ignore::DeprecationWarning:torch", "ignore:Dynamo detected a call:UserWarning"
)
@pytest.mark.parametrize(
    "tracer", ["export", "make_fx", "compile", pytest.param("symbolic make_fx", marks=pytest.mark.slow)]
)
@every_kind
def test_a_traced_pooling_gives_the_same_numbers_and_the_next_one_is_not_fake(spec, tracer):
    trace, sizes = TRACERS[tracer]
    first, second = build(spec, CHANNELS).eval(), build(spec, CHANNELS).eval()
    second.load_state_dict(first.state_dict())
    x = numbers(2, CHANNELS, *sizes)
    with torch.no_grad():
        traced = trace(first, x)(x)
        eager = second(x)
    assert type(eager) is Tensor
    assert torch.allclose(
        eager, traced, atol=1e-6
    )  # the compiler makes the weights of a resampling with torch, not numpy
    assert cached_tensors() == []


def test_the_blur_of_a_torchscript_onnx_export_is_a_constant_and_fractional_max_is_refused_in_words():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in ("blur k3 s2 p1", "max-blur k3 s2 p1 taps=4", "conv-blur k3 s2 p1", "wavelet k4 s2 p1"):
            file = io.BytesIO()
            torch.onnx.export(build(PoolSpec.parse(text), 4).eval(), (numbers(2, 4, 19, 22),), file, dynamo=False)
            assert "Conv" in {node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node}
        with pytest.raises(PlanError, match="ONNX has no operator for 'fractional-max k2'. Put max or avg there"):
            fractional = build(PoolSpec.parse("fractional-max k2"), 4).eval()
            torch.onnx.export(fractional, (numbers(2, 4, 19, 22),), io.BytesIO(), dynamo=False)
