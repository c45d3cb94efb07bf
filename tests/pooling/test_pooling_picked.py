"""Median and stochastic pick one pixel of each window, without a sort."""

import pytest
import torch

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import window
from poolsearch.pooling import build, pool
from poolsearch.pooling.picked import median_by_exchanges, middle_of, pick, places


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", range(1, 28))
def test_the_middle_is_found_without_a_sort(count):
    numbers = normal(count, 200).round(decimals=1)  # with equal ones
    ordered = numbers.sort(0).values
    middle = sorted(value.tolist() for value in middle_of(list(numbers)))
    wanted = sorted(ordered[i].tolist() for i in {(count - 1) // 2, count // 2})
    if len(wanted) == 1:
        assert middle == wanted
    else:  # the two middle ones come in any order
        assert torch.equal(torch.tensor(middle).sort(0).values, torch.tensor(wanted).sort(0).values)


def test_a_place_counts_row_by_row_in_both_layouts():
    x = torch.arange(16.0).view(1, 1, 4, 4).repeat(1, 2, 1, 1)
    win = window(PoolSpec.parse("max k2 s2"), (4, 4))
    assert [view[0, 0].tolist() for view in places(x, win)][1] == [[1, 3], [9, 11]]
    place = torch.tensor([[0, 1], [2, 3]]).expand(1, 2, 2, 2)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert pick(x.contiguous(memory_format=layout), place, win)[0, 1].tolist() == [[0, 3], [12, 15]]


@pytest.mark.parametrize(
    "text", ["k2 s2", "k3 s1", "k3 s2 p1", "k3 s2 p1 ceil", "k3 s2 same-upper", "k5 s2 p2 reflect"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_median_in_a_window_needs_no_sort(text, dtype, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "sort", None)
    x = normal(2, 3, 13, 13).to(dtype)
    y = pool(x, PoolSpec.parse(f"median {text}"))
    assert y.dtype == dtype
    assert torch.isfinite(y).all()


def test_what_does_not_take_part_in_an_exchange_is_sorted():
    x, spec = normal(1, 1, 9, 9), PoolSpec.parse("median k3 s2")
    assert median_by_exchanges(x, window(spec, (9, 9))) is not None
    x[0, 0, 4, 4] = torch.nan
    assert median_by_exchanges(x, window(spec, (9, 9))) is None
    assert median_by_exchanges(normal(1, 1, 9, 9), window(PoolSpec.parse("median k7 s1"), (9, 9))) is None
    infinite = torch.tensor([[[[-torch.inf, 1.0, 2.0], [torch.inf, torch.inf, 3.0], [4.0, -torch.inf, 5.0]]]])
    assert pool(infinite, spec).item() == 3


def test_equal_pixels_share_the_gradient_of_a_median():
    x = torch.tensor([[[[7.0, 2.0], [2.0, 0.0]]]], requires_grad=True)
    pool(x, PoolSpec.parse("median k2 s2")).sum().backward()
    assert x.grad.tolist() == [[[[0, 0.5], [0.5, 0]]]]
    ones = torch.ones(1, 1, 3, 3, requires_grad=True)
    pool(ones, PoolSpec.parse("median k3 s3")).sum().backward()
    assert ones.grad.sum() == 1
    assert ones.grad.count_nonzero() == 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("text", ["k2 s2", "k3 s2 p1", "k3 s1 same-upper ceil"])
def test_a_drawn_pixel_is_one_of_its_window(text, layout):
    x = torch.arange(1.0, 2 * 3 * 49 + 1).view(2, 3, 7, 7).contiguous(memory_format=layout)
    torch.manual_seed(0)
    drawn = build(PoolSpec.parse(f"stochastic {text}"), 3).train()(x)
    largest, smallest = (pool(x, PoolSpec.parse(f"{kind} {text}")) for kind in ("max", "min"))
    assert ((smallest <= drawn) & (drawn <= largest)).all()
    assert (drawn % 1 == 0).all()
    assert not torch.equal(drawn, largest)
