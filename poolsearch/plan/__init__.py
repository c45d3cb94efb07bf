"""What stands at a site, and a network with what stands at its sites: the two values that all else takes."""

from poolsearch.plan.plan import Plan, as_plan
from poolsearch.plan.spec import BORDERS, PLACEMENTS, SAME, PoolSpec, as_spec

__all__ = ["BORDERS", "PLACEMENTS", "SAME", "Plan", "PoolSpec", "as_plan", "as_spec"]
