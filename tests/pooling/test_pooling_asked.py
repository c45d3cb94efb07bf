"""What is asked of the library wrongly is answered in words: what was got, what is possible, what to write."""

import numpy as np
import pytest
import torch

from poolsearch.errors import MapError, PlanError, PoolsearchError, SiteError
from poolsearch.measure.activations import feature_maps
from poolsearch.measure.cost import layer_rows
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.pooling import pool
from poolsearch.surgery import check, find_sites, rebuild, replayed


def whole(*sizes, dtype=torch.int64):
    return torch.arange(torch.Size(sizes).numel(), dtype=dtype).view(sizes)


def test_a_text_is_a_spec_and_a_text_is_a_plan():
    x = whole(1, 1, 4, 4).float()
    assert pool(x, "avg k2 s2").tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    text = "smallnet/1x20x20: stage1=avg k2 s2"
    assert check(text) == check(Plan.parse(text))
    assert list(rebuild(text).state_dict()) == list(rebuild(Plan.parse(text)).state_dict())
    assert layer_rows(text) == layer_rows(Plan.parse(text))
    assert replayed(text) == replayed(Plan.parse(text))
    image = np.zeros((1, 20, 20), np.float32)
    assert feature_maps(text, image, "stage1").shape == (16, 10, 10)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.tensor(1.0), r"needed, got one of shape \(\)"),
        (torch.ones(9), r"got one of shape \(9,\). One signal: x\[None, None\]"),
        (torch.ones(4, 4), r"got one of shape \(4, 4\). One picture of one channel: x\[None, None\]"),
        (torch.ones(1, 1, 1, 1, 4, 4), r"got one of shape \(1, 1, 1, 1, 4, 4\)"),
        (np.ones((1, 1, 4, 4)), r"got an ndarray of shape \(1, 1, 4, 4\). Write torch.from_numpy\(x\)"),
        ([[1.0, 2.0]], r"got a list. Write torch.tensor\(x\)"),
        (torch.ones(3, 32, 32), r"may be one picture \(C, H, W\) or 3 signals .* dims=2 for the picture, dims=1"),
        (torch.ones(64, 7, 7), r"may be one picture \(C, H, W\) or 64 signals"),
        (torch.ones(3, 24, 32), r"may be one picture"),
        (
            whole(1, 1, 4, 4),
            r"'avg' of whole numbers \(torch.int64\) has no whole answer. Write x.float\(\). Sound .*max",
        ),
        (torch.ones(1, 1, 4, 4, dtype=torch.bool), "takes real numbers, got torch.bool"),
        (torch.ones(1, 1, 4, 4, dtype=torch.complex64), "takes real numbers, got torch.complex64"),
    ],
)
def test_what_is_no_map_is_refused_with_what_to_write(x, words):
    with pytest.raises(MapError, match=words):
        pool(x, "avg k2 s2")


def test_a_picture_without_a_batch_is_pooled_over_both_axes_where_dims_says_so():
    x = whole(3, 4, 4).float()
    assert pool(x, "max k2 s2", dims=2).tolist() == pool(x[None], "max k2 s2")[0].tolist()
    assert pool(x, "max k2 s2", dims=2).shape == (3, 2, 2)
    assert pool(x, "max k2 s2", dims=1).shape == (3, 4, 2)
    assert pool(torch.ones(2, 5, 6, 7), "max k2 s2", dims=3).shape == (2, 2, 3, 3)
    assert pool(torch.ones(2, 4, 13), "max k2 s2").shape == (2, 4, 6)
    with pytest.raises(MapError, match=r"dims=3 needs a tensor of 5 axes or one less, got shape \(3, 4, 4\)"):
        pool(x, "max k2 s2", dims=3)
    with pytest.raises(MapError, match="1, 2 or 3, got 4"):
        pool(x, "max k2 s2", dims=4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
def test_whole_numbers_are_pooled_where_that_is_sound(dtype):
    x = whole(1, 1, 4, 4, dtype=dtype)
    for spec, expected in [("max k2 s2", [[5, 7], [13, 15]]), ("min k2 s2", [[0, 2], [8, 10]])]:
        y = pool(x, spec)
        assert y.dtype == dtype and y[0, 0].tolist() == expected
    assert pool(x, "min k3 s2 p1").tolist() == [[[[0, 1], [4, 5]]]]
    median = pool(x, "median k2 s2")
    assert median.dtype == torch.float64  # as numpy's of whole numbers
    assert median[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.integers])
def test_a_kind_that_takes_whole_numbers_gives_those_of_the_same_floats(kind):
    spec = f"{kind} {'k3' if 'kernel' in KINDS[kind].takes else ''} {'s2' if 'stride' in KINDS[kind].takes else ''}"
    x = torch.randint(-999, 999, (2, 4, 9, 9), generator=torch.Generator().manual_seed(0))
    assert torch.equal(pool(x, spec).double(), pool(x.double(), spec))


def test_whole_numbers_beyond_what_a_float_can_hold_are_refused():
    with pytest.raises(MapError, match=r"up to ±2\*\*53, got 9007199254740993"):
        pool(torch.full((1, 1, 2, 2), 2**53 + 1), "max k2 s2")


@pytest.mark.parametrize("given", [None, 3, ["avg k2 s2"], torch.ones(1)], ids=str)
def test_what_is_neither_spec_nor_plan_is_refused(given):
    with pytest.raises(PlanError, match="A PoolSpec or its text is needed, as in 'avg k2 s2'; got an? "):
        pool(torch.ones(1, 1, 4, 4), given)
    for function in (check, rebuild, replayed, lambda plan: feature_maps(plan, np.zeros((1, 20, 20)), "stage1")):
        with pytest.raises(PlanError, match="A Plan or its text is needed, as in 'resnet18/3x64x64: .*; got an? "):
            function(given)


def test_a_wrong_backbone_size_or_image_is_refused():
    with pytest.raises(SiteError, match="A backbone's name is needed, as in 'resnet18'; got a list"):
        find_sites(["smallnet"])
    for size in (20, (20, 20), "1x20x20", (1.0, 20, 20)):
        with pytest.raises(SiteError, match="An input size is three whole numbers"):
            find_sites("smallnet", size)
    with pytest.raises(MapError, match=r"takes an image of shape \(1, 20, 20\); got an ndarray of shape \(20, 20\)"):
        feature_maps("smallnet/1x20x20", np.zeros((20, 20), np.float32), "stage1")
    with pytest.raises(PoolsearchError):
        pool(torch.ones(1, 1, 4, 4), PoolSpec.of("max", 9, 9))
