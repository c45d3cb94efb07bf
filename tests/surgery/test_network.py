"""A Network is opened by a name, a text or a Plan, once, and handed on."""

import pytest

from poolsearch import memory
from poolsearch.errors import PlanError, SiteError
from poolsearch.plan import Plan
from poolsearch.surgery import find_sites, open_network, replayed


def test_a_name_a_text_a_plan_and_its_text_open_the_same_network():
    text = "resnet18/3x224x224: stem=avg k3 s2 p1"
    opened = {open_network(given) for given in ("resnet18", "resnet18/3x224x224", text, Plan.parse(text))}
    assert len(opened) == 1
    network = opened.pop()
    assert (network.source.name, network.size) == ("resnet18", (3, 224, 224))
    assert network.hash == Plan("resnet18", (3, 224, 224)).hash
    assert open_network(network) == network


def test_another_size_is_another_network_with_the_same_recording():
    small, usual = open_network("resnet18", (3, 64, 64)), open_network("resnet18")
    assert small == open_network("resnet18/3x64x64") == open_network(usual, (3, 64, 64))
    assert small.hash != usual.hash
    assert small.trace is usual.trace
    assert small.shapes[-1] == usual.shapes[-1] == (1, 1000)
    assert [site.after for site in small.sites] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    assert find_sites(small) is small.sites


def test_what_is_found_out_about_a_network_is_kept_by_its_source_and_size():
    memory.forget()
    sites = open_network("smallnet").sites
    assert open_network("smallnet").sites is sites
    memory.forget()
    assert open_network("smallnet").sites is not sites


def test_a_replay_hands_on_the_network_and_the_canonical_plan():
    replay = replayed("smallnet/1x20x20: stage2=avg k2 s2; stage1=max k2 s2")
    assert replay.network == open_network("smallnet")
    assert str(replay.plan) == "smallnet/1x20x20: stage2=avg k2 s2"
    assert [edit.site for edit in replay.edits] == ["stage2"]
    assert replay.shapes[0] == (1, 1, 20, 20)


def test_what_can_not_be_opened_is_refused():
    with pytest.raises(PlanError, match="Did you mean 'resnet18'"):
        open_network("resnet81")
    with pytest.raises(PlanError, match="resnet18 takes 3 channels, got 1. Write 'resnet18/3x64x64'"):
        open_network("resnet18", (1, 64, 64))
    with pytest.raises(SiteError, match="An input size is three whole numbers"):
        open_network("resnet18", (64, 64))
    with pytest.raises(SiteError, match="A backbone's name is needed, as in 'resnet18'; got an int"):
        open_network(18)
    with pytest.raises(SiteError, match="The smallest input of alexnet is 3x63x63"):
        _ = open_network("alexnet", (3, 20, 20)).sites
