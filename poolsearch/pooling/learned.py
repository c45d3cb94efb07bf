"""Poolings that hold a state: learned weights over a window, or a mode of their own in training."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from poolsearch.errors import PlanError
from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import spread
from poolsearch.pooling.antialiased import blurred
from poolsearch.pooling.geometry import Specified, channels_second, framed, gather, memory_format
from poolsearch.pooling.ordered import blend, fractional_max, power_mean, stochastic_pool
from poolsearch.pooling.rearranged import blocks
from poolsearch.pooling.windowed import avg_real, weighted

_CONV: tuple[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class StridedConv(Specified):
    """Return W * x at every stride-th place, channels to the same number of channels (Springenberg et al. 2015).

    No bias: in the backbones a normalisation or the next convolution follows. Padding is zeros unless the spec says it.
    """

    depthwise = False

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.conv = _CONV[axes - 1](
            channels,
            channels,
            spread(spec.kernel, axes, 1),  # type: ignore[arg-type]
            spread(spec.stride, axes, 1),  # type: ignore[arg-type]
            dilation=spread(spec.dilation, axes, 1),  # type: ignore[arg-type]
            groups=channels if self.depthwise else 1,
            bias=False,
        )

    def pooled(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(framed(x, self.spec)[0])
        return y


class DepthwiseConv(StridedConv):
    """Return w * x for each channel alone, at every stride-th place (Howard et al. 2017)."""

    depthwise = True


class ConvBlur(Specified):
    """Return the blurred relu(W * x), W at stride 1, at every stride-th place (Zhang 2019)."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        kernel = spread(spec.kernel, axes, 1)
        self.conv = _CONV[axes - 1](channels, channels, kernel, bias=False)  # type: ignore[arg-type]

    def pooled(self, x: Tensor) -> Tensor:
        return blurred(self.conv(framed(x, self.spec)[0]).relu(), self.spec)


class SpaceToDepth(Specified):
    """Return W times all pixels of each stride x stride block, channels to the same number (Sunkara, Luo 2022).

    Zeros fill the last block where the stride does not divide the map.
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.stride = spread(spec.stride, axes, 1)
        self.conv = _CONV[axes - 1](channels * prod(self.stride), channels, 1, bias=False)

    def pooled(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(blocks(x, self.stride, "zeros").flatten(1, 2))
        return y


class AverageConv(Specified):
    """Return W (mean of each window): the average of real pixels, then a 1x1 convolution (He T. et al. 2019)."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.conv = _CONV[axes - 1](channels, channels, 1, bias=False)

    def pooled(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(avg_real(*framed(x, self.spec)))
        return y


class MixedLearned(Specified):
    """Return σ(t) · max + (1 − σ(t)) · mean of each window, t learned from 0 (Lee, Gallagher, Tu 2016)."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.t = nn.Parameter(torch.zeros(1))

    def pooled(self, x: Tensor) -> Tensor:
        return blend(x, self.spec, torch.sigmoid(self.t).to(x.dtype))


class Gated(Specified):
    """Return g · max + (1 − g) · mean of each window, g = σ(w · window), w learned from 0 and shared by all channels.

    Padding is zeros under the mask w (Lee, Gallagher, Tu 2016).
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.mask = nn.Parameter(torch.zeros(spread(spec.kernel, axes, 1)).flatten())

    def pooled(self, x: Tensor) -> Tensor:
        framed_x, win = framed(x, self.spec)
        gate = torch.tensordot(self.mask.to(x.dtype), gather(framed_x, win), dims=1)
        return blend(x, self.spec, torch.sigmoid(channels_second(gate, framed_x)))


class LIP(Specified):
    """Return Σ softmax(logits) x of each window, logits = 12 σ(γ · norm(W x) + b) learned (Gao, Wang, Wu 2019).

    γ starts at 0, so that it starts as the average. The paper's exp(12 σ) overflows in float16; a softmax that
    subtracts each window's largest logit does not.
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.conv = _CONV[axes - 1](channels, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def pooled(self, x: Tensor) -> Tensor:
        x, win = framed(x, self.spec)
        found = self.conv(x)
        maps = tuple(range(2, x.dim()))
        wide = found.float() if x.dtype in (torch.float16, torch.bfloat16) else found
        centred = wide - wide.mean(maps, keepdim=True)
        norm = centred * (centred.square().mean(maps, keepdim=True) + 1e-5).rsqrt()  # var() warns of an empty batch
        shape = (1, -1, *(1 for _ in maps))
        logits = 12 * torch.sigmoid(self.gain.view(shape) * norm + self.bias.view(shape))
        logits = logits.to(x.dtype).contiguous(memory_format=memory_format(x))  # laid out as the numbers they weigh
        return weighted(gather(x, win), gather(logits, win), x, win)


class PowerMean(Specified):
    """Return (mean max(x, ε)^p)^(1/p) of each window, p learned and shared by all channels (Radenović et al. 2019).

    Computed as exp((logsumexp(p log x) - log n) / p): x^p itself is infinite in float16 at x = 50, p = 3.
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.p = nn.Parameter(torch.tensor([spec.option("p")]))

    def pooled(self, x: Tensor) -> Tensor:
        return power_mean(x, self.spec, self.p)


class FractionalMax(Specified):
    """Return the maximum of windows of uneven distance (Graham 2014): drawn in training, evenly spread in eval."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)  # the same signature as every entry

    def pooled(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            raise PlanError(f"ONNX has no operator for '{self.spec}'. Put max or avg there before the export.")
        return fractional_max(x, self.spec, self.training)


class Stochastic(Specified):
    """Return `stochastic_pool` of the module's own mode: a draw in training, its mean in eval."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)  # the same signature as every entry

    def pooled(self, x: Tensor) -> Tensor:
        return stochastic_pool(x, self.spec, self.training)
