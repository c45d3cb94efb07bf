"""Poolings that hold a state: learned weights over a window, or a mode of their own in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poolsearch.plan import PoolSpec
from poolsearch.pooling.geometry import Specified, channels_second, gather, on, pad
from poolsearch.pooling.ordered import blend, stochastic_pool
from poolsearch.pooling.windowed import avg_real
from poolsearch.windows import spread

_CONV: tuple[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class StridedConv(Specified):
    """Return W * x at every stride-th place, channels to the same number of channels (Springenberg et al. 2015).

    No bias: in the backbones a normalisation or the next convolution follows. Padding is zeros.
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

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(pad(x, on(self.spec, x).padding))
        return y


class DepthwiseConv(StridedConv):
    """Return w * x for each channel alone, at every stride-th place (Howard et al. 2017)."""

    depthwise = True


class AverageConv(Specified):
    """Return W (mean of each window): the average of real pixels, then a 1x1 convolution (He T. et al. 2019)."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.conv = _CONV[axes - 1](channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(avg_real(x, on(self.spec, x)))
        return y


class MixedLearned(Specified):
    """Return σ(t) · max + (1 − σ(t)) · mean of each window, t learned from 0 (Lee, Gallagher, Tu 2016)."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.t = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return blend(x, self.spec, torch.sigmoid(self.t).to(x.dtype))


class Gated(Specified):
    """Return g · max + (1 − g) · mean of each window, g = σ(w · window), w learned from 0 and shared by all channels.

    Padding is zeros under the mask w (Lee, Gallagher, Tu 2016).
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.mask = nn.Parameter(torch.zeros(spread(spec.kernel, axes, 1)).flatten())

    def forward(self, x: Tensor) -> Tensor:
        numbers = gather(x, on(self.spec, x))
        gate = channels_second(torch.tensordot(self.mask.to(x.dtype), numbers, dims=1))
        return blend(x, self.spec, torch.sigmoid(gate))


class Stochastic(Specified):
    """Return `stochastic_pool` of the module's own mode: a draw in training, its mean in eval."""

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)  # the same signature as every entry

    def forward(self, x: Tensor) -> Tensor:
        return stochastic_pool(x, self.spec, self.training)
