"""Poolings with learned weights over a window: the strided convolution."""

from __future__ import annotations

from torch import Tensor, nn

from poolsearch.plan import PoolSpec
from poolsearch.pooling.geometry import on, pad

_CONV: tuple[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class StridedConv(nn.Module):
    """Return W * x at every stride-th place, channels to the same number of channels (Springenberg et al. 2015).

    No bias: in the backbones a normalisation or the next convolution follows. Padding is zeros.
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__()
        self.spec = spec
        dilation = spec.dilation or (1,)
        self.conv = _CONV[axes - 1](
            channels,
            channels,
            spec.kernel * axes if len(spec.kernel) == 1 else spec.kernel,  # type: ignore[arg-type]
            spec.stride * axes if len(spec.stride) == 1 else spec.stride,  # type: ignore[arg-type]
            dilation=dilation * axes if len(dilation) == 1 else dilation,  # type: ignore[arg-type]
            bias=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(pad(x, on(self.spec, x).padding))
        return y

    def extra_repr(self) -> str:
        return str(self.spec)
