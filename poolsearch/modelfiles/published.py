"""The weights that a network was published with: torchvision's by their name, anyone's from a file."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

from torch import Tensor

from poolsearch.errors import PoolsearchError, WeightsError, unknown
from poolsearch.modelfiles import weights
from poolsearch.networks import vision
from poolsearch.networks.backbones import backbone
from poolsearch.networks.declared import declared
from poolsearch.plan import Plan


def published_weights(plan: Plan, source: str) -> dict[str, Tensor]:
    """Return published weights of a Plan's backbone: `DEFAULT` or another name of torchvision's, or a file's.

    A file is .safetensors, .pt or .pth, read in a process of its own. Raises PoolsearchError with the names there are,
    and with the reason when there is no network to fetch them over.
    """
    if Path(source).suffix in (".safetensors", ".pt", ".pth"):
        return weights.read(Path(source))
    if backbone(plan.backbone).source in ("timm", "Poolsearch") or plan.backbone in declared():
        raise PoolsearchError(f"The weights of {plan.backbone} are read from a file: .safetensors, .pt or .pth.")
    known = vision.models().get_model_weights(plan.backbone)
    if source not in known.__members__:
        raise PoolsearchError(unknown("weights", source, list(known.__members__), where=plan.backbone))
    chosen = known[source]
    try:
        found: dict[str, Tensor] = chosen.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError) as error:
        raise WeightsError(
            f"'{source}' of {plan.backbone} could not be fetched from {chosen.url} ({error}). "
            "Fetch the file on a machine with network and give its path instead."
        ) from None
    return found
