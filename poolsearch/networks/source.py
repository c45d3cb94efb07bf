"""Where a network comes from: what is known before it is built, and how it is built."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from poolsearch.networks import backbones


@dataclass(frozen=True)
class Source:
    """A backbone that is known by name. Equal sources build equal networks, so one can stand for the other in a key."""

    name: str

    @property
    def backbone(self) -> backbones.Backbone:
        """Return what is known of the network: its usual input size, its classes, how it is built.

        Raises PlanError for an unknown name, with the nearest known one.
        """
        return backbones.backbone(self.name)

    def build(self, channels: int, classes: int | None = None, seed: int = 0, device: str = "cpu") -> nn.Module:
        """Return the published network, with the random weights of this seed (no weights on 'meta')."""
        return backbones.built(self.backbone, channels, classes, seed, device)
