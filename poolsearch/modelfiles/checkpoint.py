"""Trained weights on disk: safetensors with the Plan's text in its metadata, so that a file says what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor, nn

from poolsearch import files
from poolsearch.errors import PoolsearchError
from poolsearch.plan import Plan
from poolsearch.surgery import rebuild


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one trained Plan."""

    plan: Plan
    classes: int
    weights: dict[str, Tensor]

    def network(self) -> nn.Module:
        """Return the trained network, in eval mode."""
        return rebuild(self.plan, self.classes, weights=self.weights).eval()


def save(model: nn.Module, plan: Plan, classes: int, path: Path) -> None:
    """Write a model's weights; a reader sees the whole file or none.

    The file's folder is made when missing, but none above it: a sweep's that was removed does not come back.
    """
    path.parent.mkdir(exist_ok=True)
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    files.replace(path, serialized(state, metadata={"plan": str(plan), "classes": str(classes)}))


def load(path: Path) -> Checkpoint:
    """Return the checkpoint in a file. Raises PoolsearchError when it is not one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}
        return Checkpoint(Plan.parse(metadata["plan"]), int(metadata["classes"]), weights)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise PoolsearchError(f"'{path.name}' is no checkpoint of Poolsearch: {error}.") from None
