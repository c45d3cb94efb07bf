"""Feature maps behind every form of site, published and changed, against the networks' own tensors."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from benchmarks.surgery import TIMM
from poolsearch.errors import SiteError
from poolsearch.measure.activations import feature_maps, histograms, maps_behind
from poolsearch.networks import backbones
from poolsearch.plan import Plan
from poolsearch.surgery import check, find_sites, rebuild, replayed
from poolsearch.surgery.suggest import suggest

SAMPLE = ["smallnet", "mobilenet_v2", "shufflenet_v2_x0_5", "googlenet"]
ZOO = [name for name in backbones.known() if not name.startswith("timm.")]
SOME_TIMM = [f"timm.{name}" for name in TIMM if find_spec("timm") and f"timm.{name}" in backbones.known()]


def image(plan):
    return np.random.default_rng(0).standard_normal(plan.size).astype(np.float32)


@pytest.mark.parametrize(
    "name",
    [*SAMPLE, *(pytest.param(name, marks=pytest.mark.slow) for name in [*ZOO, *SOME_TIMM] if name not in SAMPLE)],
)
def test_the_maps_behind_every_site_have_the_size_that_the_site_says(name):
    size = backbones.backbone(name).size
    plan = check(Plan(name, size))
    model, x = rebuild(plan, device="meta").eval(), torch.empty(size, device="meta")
    sites = [site for site in find_sites(name) if site.role in ("trunk", "head")]
    sites += [site for site in find_sites(name) if site.role == "gate"][:2]
    assert sites or name.startswith("vit")
    for site in sites:
        assert tuple(maps_behind(model, replayed(plan), site, x).shape[-2:]) == site.after, site.name


@pytest.mark.parametrize("name", ["mobilenet_v2", "inception_v3"])
def test_the_maps_of_a_changed_site_have_its_own_size(name):
    plan = Plan(name, (3, 128, 128))
    x = torch.empty(plan.size, device="meta")
    for site in find_sites(name, plan.size):
        if (
            site.locked
            or (site.form != "function" and site.name != "stage1")
            or site.name in ("pool2", "pool3", "pool4")
        ):
            continue
        changed = check(plan.put(site.name, suggest(site, "gem" if site.role == "head" else "avg")))
        model = rebuild(changed, device="meta").eval()
        for looked_at in [site, *find_sites(name, plan.size)[-1:]]:
            if looked_at.role != "aux":
                assert tuple(maps_behind(model, replayed(changed), looked_at, x).shape[-2:]) == looked_at.after, str(
                    changed
                )


def test_behind_a_function_call_stand_its_own_numbers():
    """Each oracle reads the tensor elsewhere: where the next module takes it, or by calling the function itself."""
    plan = check(Plan.parse("inception_v3/3x128x128"))
    model, seen = rebuild(plan).eval(), []
    model.Mixed_5b.branch_pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        model(torch.from_numpy(image(plan))[None])
    maps = feature_maps(plan, image(plan), "pool1")
    assert maps.shape == (192, 13, 13)
    assert np.array_equal(maps, seen[0][0].numpy())

    plan = check(Plan.parse("mobilenet_v2/3x64x64"))
    with torch.inference_mode():
        features = rebuild(plan).eval().features(torch.from_numpy(image(plan))[None])
    head = feature_maps(plan, image(plan), "head")
    assert head.shape == (1280, 1, 1)  # not the 1,000 logits
    assert np.allclose(head[:, 0, 0], features.mean((0, 2, 3)).numpy(), atol=1e-6)
    largest = feature_maps(check(Plan.parse("mobilenet_v2/3x64x64: head=global-max")), image(plan), "head")
    assert np.array_equal(largest[:, 0, 0], features.amax((0, 2, 3)).numpy())


def test_sites_behind_changed_sites_are_still_found():
    plan = check(Plan.parse("inception_v3/3x139x139: Mixed_6a=blur k3 s2 p1; pool4=max k3 s1 p1"))
    for site in ("pool4", "pool5", "Mixed_6a"):
        there = next(one for one in find_sites(plan.backbone, plan.size) if one.name == site)
        assert feature_maps(plan, image(plan), site).shape[1:] == there.after


def test_a_site_that_only_training_runs_is_refused_in_words():
    plan = check(Plan.parse("googlenet/3x96x96"))
    with pytest.raises(SiteError, match="Only training runs site 'aux1' of googlenet: an image leaves no map behind"):
        feature_maps(plan, image(plan), "aux1")
    with pytest.raises(SiteError, match="Unknown site 'stm'"):
        feature_maps(plan, image(plan), "stm")


def test_a_histogram_by_hand():
    one, two = histograms([np.array([0, 0, 1, 3], np.float32), np.array([2, 2, 2, 4], np.float32)], bins=4)
    assert one.edges.tolist() == two.edges.tolist() == [0, 1, 2, 3, 4]  # from the least of both to the most
    assert (one.counts.tolist(), two.counts.tolist()) == ([2, 1, 0, 1], [0, 0, 3, 1])
    assert (one.zeros, one.mean, one.deviation) == (0.5, 1.0, pytest.approx(1.5**0.5))
    assert (two.zeros, two.mean) == (0.0, 2.5)


def test_a_histogram_of_one_value_has_a_bin_for_it():
    (flat,) = histograms([np.full(3, 2, np.float32)], bins=2)
    assert (flat.edges.tolist(), flat.counts.tolist()) == ([2, 2.5, 3], [3, 0])
