"""Plan: the one small immutable value that goes all the way round, and its text.

    resnet18/3x64x64: stem=max-blur k3 s2 p1; layer2=avg k2 s2

`str(plan)` and `Plan.parse(text)` are inverse. Whether a backbone has a site is not known here (see
poolsearch.surgery). PoolSpec, what stands at a site, is in poolsearch.plan.spec and also importable from here.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

from poolsearch.errors import PlanError, kind_of, shortened
from poolsearch.plan.spec import PoolSpec

_LETTERS_MOST = 50_000  # of a Plan's text; a pooling at each of 200 sites takes a fifth of that


@dataclass(frozen=True)
class Plan:
    """A backbone, an input size (channels, height, width), and the PoolSpec at each site that was changed."""

    backbone: str  # its name: ours, torchvision's, or timm.NAME
    size: tuple[int, int, int]  # channels, height and width in pixels
    sites: tuple[tuple[str, PoolSpec], ...] = ()  # what stands at each site that was changed

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.backbone):
            raise PlanError(
                f"'{shortened(self.backbone)}' can't be the name of a backbone. Write it as in 'resnet18/3x64x64'."
            )
        if len(self.size) != 3 or any(n < 1 or n > 4096 for n in self.size):
            raise PlanError(
                f"Input size {'x'.join(map(str, self.size))} is not possible. "
                "Write channels x height x width, each from 1 to 4096, as in '3x64x64'."
            )
        names = [name for name, _ in self.sites]
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise PlanError(f"Site '{shortened(twice)}' stands twice in the Plan. Give each site one pooling.")

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Return the Plan of a text. Strict: raises PlanError with what is possible."""
        head, colon, rest = text.strip().partition(":")
        name, slash, size = head.partition("/")
        match = re.fullmatch(r"(\d{1,9})x(\d{1,9})x(\d{1,9})", size.strip())
        if len(text) > _LETTERS_MOST:
            raise PlanError(f"A Plan has {_LETTERS_MOST:,} letters at most, got {len(text):,}.")
        if re.fullmatch(r"\d{1,9}(x\d{1,9}){3}", size.strip()):
            raise PlanError(f"'{shortened(head)}' has an input of four numbers: 3d is not supported. Write CxHxW.")
        if not slash or not match:
            raise PlanError(
                f"'{shortened(head)}' is no backbone with an input size. Write it as in 'resnet18/3x64x64'."
            )
        if colon and not rest.strip():
            raise PlanError(
                f"Nothing stands behind the colon in '{shortened(text)}'. Write a change as 'stem=avg k2 s2'."
            )
        sites = [_parse_site(" ".join(part.split())) for part in rest.split(";")] if rest.strip() else []
        c, h, w = (int(group) for group in match.groups())
        return cls(name.strip(), (c, h, w), tuple(sites))

    def spec(self, site: str) -> PoolSpec | None:
        """Return what this Plan puts at a site, or None where the published network stays."""
        return dict(self.sites).get(site)

    def put(self, site: str, spec: PoolSpec | None) -> Plan:
        """Return the Plan with another spec at a site; None brings the published one back."""
        kept = [(name, old) for name, old in self.sites if name != site or spec is not None]
        if spec is None:
            return replace(self, sites=tuple(kept))
        if self.spec(site) is None:
            return replace(self, sites=(*kept, (site, spec)))
        return replace(self, sites=tuple((name, spec if name == site else old) for name, old in kept))

    @property
    def published(self) -> Plan:
        """Return the same backbone and input size with no changes."""
        return replace(self, sites=())

    @property
    def hash(self) -> str:
        """Return 12 hexadecimal digits that name this Plan (SHA-256 of its text)."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        head = f"{self.backbone}/{'x'.join(map(str, self.size))}"
        changes = "; ".join(f"{name}={spec}" for name, spec in self.sites)
        return f"{head}: {changes}" if changes else head


def as_plan(given: Plan | str) -> Plan:
    """Return the Plan itself, or that of a text. Raises PlanError for anything else."""
    if isinstance(given, str):
        return Plan.parse(given)
    if isinstance(given, Plan):
        return given
    raise PlanError(f"A Plan or its text is needed, as in 'resnet18/3x64x64: stem=avg k2 s2'; got {kind_of(given)}.")


@lru_cache(maxsize=4096)  # the trials of a sweep say the same few sites again and again
def _parse_site(text: str) -> tuple[str, PoolSpec]:
    name, equals, spec = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9_.#-]+", name.strip()):
        raise PlanError(f"'{shortened(text.strip())}' is no change of a site. Write it as in 'stem=avg k2 s2'.")
    return name.strip(), PoolSpec.parse(spec)
