"""A training depends on its Plan, seed and recipe alone: not on what ran before it, whatever its network draws."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from poolsearch.config import Clutter, Training
from poolsearch.data import datasets
from poolsearch.plan import Plan
from poolsearch.surgery import check, find_sites, possible_kinds, rebuild
from poolsearch.surgery.suggest import suggest
from poolsearch.training import train

SITES = find_sites("smallnet", (1, 16, 16))


def kinds_at_sites():
    """One Plan for each kind that can stand at a site of the smallnet."""
    found = {}
    for site in SITES:
        for kind in possible_kinds(site):
            if kind not in found:
                found[kind] = Plan("smallnet", (1, 16, 16)).put(site.name, suggest(site, kind))
    return found


KINDS_AT_SITES = kinds_at_sites()
DRAWING = {  # networks with dropout (d) or stochastic depth (s), at a size that trains in a second
    "mobilenet_v2": 32,  # d
    "squeezenet1_1": 64,  # d
    "efficientnet_b0": 32,  # d, s
    "convnext_tiny": 32,  # s
    "mnasnet0_5": 32,  # d
}


def few(size, train, test):
    """A data set of some images for training, and of fewer for validation and test."""
    whole = datasets.load("cluttered-digits", size, Clutter(images=100, canvas=16))
    cut = {
        part: replace(images, codes=images.codes[:count], y=images.y[:count])
        for part, images, count in (
            ("train", whole.train, train),
            ("validation", whole.validation, test),
            ("test", whole.test, test),
        )
    }
    return replace(whole, **cut)


def learned(plan, images=(96, 40), seed=3):
    data = few(plan.size, *images)
    model = rebuild(plan, data.classes, seed)
    trained = train(model, data, Training(epochs=1, batch=images[0] // 2), seed)
    return trained.curve, trained.test_loss, {name: value.clone() for name, value in model.state_dict().items()}


def disturb():
    """Move every generator on, as another trial would."""
    torch.rand(7), random.random(), np.random.random(3)


def assert_same(first, again):
    assert first[:2] == again[:2]
    assert all(torch.equal(first[2][name], again[2][name]) for name in first[2])


@pytest.mark.parametrize("kind", KINDS_AT_SITES)
def test_every_kind_at_a_site_trains_to_the_same_bits_whatever_ran_before(kind):
    plan = check(KINDS_AT_SITES[kind])
    first = learned(plan)
    disturb()
    assert_same(first, learned(plan))


@pytest.mark.parametrize("name", DRAWING)
def test_networks_with_dropout_or_stochastic_depth_train_to_the_same_bits(name):
    plan = Plan(name, (3, DRAWING[name], DRAWING[name]))
    first = learned(plan, (16, 4))
    disturb()
    assert_same(first, learned(plan, (16, 4)))


def test_another_seed_draws_otherwise():
    plan, losses = KINDS_AT_SITES["stochastic"], []
    data = few(plan.size, 96, 40)
    for seed in (0, 1):
        model = rebuild(plan, data.classes, 0)
        losses.append(train(model, data, Training(epochs=1, batch=48), seed).test_loss)
    assert losses[0] != losses[1]


def test_a_training_leaves_every_generator_as_it_was():
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    undisturbed = torch.rand(1).item(), random.random(), np.random.random()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    learned(KINDS_AT_SITES["stochastic"])
    assert (torch.rand(1).item(), random.random(), np.random.random()) == undisturbed
    assert not torch.backends.cudnn.deterministic
