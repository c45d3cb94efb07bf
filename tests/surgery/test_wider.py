"""The fully connected layer behind a head takes the width that the head leaves, wherever a Plan goes."""

import copy

import pytest
import torch

from poolsearch.config import parse
from poolsearch.errors import SiteError
from poolsearch.measure.advice import advice
from poolsearch.measure.cost import layer_rows, totals
from poolsearch.measure.inventory import of_plan
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import adaptive, heads, wide
from poolsearch.surgery import check, find_sites, possible_kinds, rebuild, replayed
from poolsearch.surgery.checking import untrainable
from poolsearch.surgery.proving import prove
from poolsearch.surgery.record import record_calls
from poolsearch.surgery.suggest import suggest
from poolsearch.sweep.search.space import space_of


def head_of(name, size):
    return next(site for site in find_sites(name, size) if site.role == "head")


def image(plan):
    return torch.randn(2, *plan.size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("text", "parameters", "words"),
    [
        (
            "vgg11_bn/3x64x64: head=global-avg",
            132_868_840 - 4096 * 512 * 48,
            "classifier.0 takes 512 numbers instead of 25,088: its weights are summed over its 49 pixels, as if what "
            "the head leaves stood at each of them.",
        ),
        (
            "alexnet/3x96x96: head=gem",
            61_100_840 - 4096 * 256 * 35 + 1,
            "classifier.1 takes 256 numbers instead of 9,216: its weights are summed over its 36 pixels, as if what "
            "the head leaves stood at each of them.",
        ),
        (
            "resnet18/3x64x64: head=statistics",
            11_689_512 + 512 * 1000,
            "fc takes 1,024 numbers instead of 512: its weights are tiled 2 times, each tile divided by 2.",
        ),
        (
            "mobilenet_v2/3x64x64: head=pyramid levels=2",
            3_504_872 + 4 * 1280 * 1000,
            "classifier.1 takes 6,400 numbers instead of 1,280: its weights are tiled 5 times, each tile divided by 5.",
        ),
    ],
)
def test_what_changes_behind_a_head_is_counted_and_in_words(text, parameters, words):
    plan = check(Plan.parse(text))
    assert totals(layer_rows(plan)).parameters == of_plan(plan).parameters == parameters
    assert replayed(plan).consequences == (words,)
    assert words in advice(plan)


@pytest.mark.parametrize(
    "name",
    [
        "smallnet",
        "vgg11_bn",
        "mobilenet_v2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "googlenet", "swin_t")),
    ],
)
def test_every_head_that_is_offered_runs_as_it_is_replayed(name):
    size = (1, 20, 20) if name == "smallnet" else (3, 224, 224) if name == "swin_t" else (3, 96, 96)
    site = head_of(name, size)
    assert set(possible_kinds(site)) == {*heads(), *adaptive(), *(() if name == "vgg11_bn" else wide())}
    for kind in possible_kinds(site):
        plan = check(Plan(name, size).put("head", suggest(site, kind)))
        model = rebuild(plan, device="meta").eval()
        calls, outputs = record_calls(model, size)
        trace, shapes = replayed(plan).trace, replayed(plan).shapes
        assert calls[outputs[0]].shape == shapes[trace.outputs[0]]
        assert {c.path: c.shape for c in calls if c.op == "linear"} == {
            c.path: s for c, s in zip(trace.calls, shapes) if c.op == "linear"
        }
        assert totals(layer_rows(plan)).parameters == sum(p.numel() for p in model.parameters())
        assert rebuild(plan, classes=7, device="meta").train()(torch.empty(2, *size, device="meta"))[0].shape[-1] == 7


def test_a_mean_behaves_as_if_it_stood_at_every_pixel():
    plan = check(Plan.parse("alexnet/3x96x96: head=global-avg"))
    published, changed = rebuild(plan.published, classes=10).eval(), rebuild(plan, classes=10).eval()
    with torch.no_grad():
        mean = published.features(image(plan)).mean((2, 3), keepdim=True)
        expected = published.classifier(mean.expand(2, 256, 6, 6).flatten(1))
        assert torch.allclose(changed(image(plan)), expected, atol=1e-5)
    assert changed.classifier[1].in_features == 256


@pytest.mark.parametrize("kind", [*wide(), "adaptive-avg", "adaptive-max size=3"])
def test_numbers_that_are_equal_give_the_published_answer(kind):
    """A map of one value: its mean, its maximum and every bin are that value; its deviation is nearly zero."""
    plan = check(Plan.parse(f"smallnet/1x20x20: head={kind}"))
    published, changed = rebuild(plan.published), rebuild(plan)
    maps = torch.randn(2, 64, 1, 1).expand(2, 64, 2, 2)
    with torch.no_grad():
        wanted = published.classifier(maps.mean((2, 3)))
        if kind == "statistics":
            wanted = (wanted + published.classifier.bias) / 2  # half of the weights meet a zero
        assert torch.allclose(changed.classifier(changed.head(maps).flatten(1)), wanted, atol=1e-5)


@pytest.mark.parametrize("text", ["smallnet/1x20x20: head=avg-max-cat", "shufflenet_v2_x0_5/3x64x64: head=statistics"])
def test_it_learns_is_proved_and_keeps_its_weights(text):
    plan = check(Plan.parse(text))
    prove(plan)
    state = rebuild(plan.published, seed=3).state_dict()
    loaded = rebuild(plan, published=state)  # published weights are loaded, then widened
    linear = "classifier" if "smallnet" in text else "fc"
    wide, narrow = loaded.state_dict()[f"{linear}.weight"], state[f"{linear}.weight"]
    assert torch.allclose(wide, torch.cat([narrow, narrow], 1) / 2)
    again = rebuild(plan, seed=1, weights=loaded.state_dict()).eval()
    assert torch.equal(again(image(plan)), copy.deepcopy(loaded).eval()(image(plan)))
    with pytest.raises(SiteError, match=rf"1 of another shape \({linear}.weight ...\)"):
        rebuild(plan.published, weights=loaded.state_dict())
    loaded.train()(image(plan)).square().mean().backward()
    assert all(weight.grad is not None for weight in loaded.parameters())


def test_an_auxiliary_head_does_not_stop_it_from_training():
    assert untrainable(check(Plan.parse("googlenet/3x224x224: maxpool1=blur k3 s2 p1; head=statistics"))) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("vgg11_bn/3x64x64: head=statistics", "leaves as many numbers as classifier.0, not the last layer, takes, so"),
        (
            "mobilenet_v3_small/3x64x64: head=pyramid",
            "leaves as many numbers as classifier.0, not the last layer, takes",
        ),
        (
            "squeezenet1_1/3x64x64: head=avg-max-cat",
            "leaves as many numbers as what stands behind it takes, so 'avg",
        ),
        ("vgg11_bn/3x64x64: head=adaptive-avg size=2", "expect 7x7, got size=2. Nearest: 'adaptive-avg size=7'"),
        ("resnet18/3x64x64: head=max k2 s2", "turns the whole map into one number, so 'max' can't stand there"),
    ],
)
def test_where_more_than_the_last_layer_would_change_it_is_refused(text, reason):
    with pytest.raises(SiteError, match=reason):
        check(Plan.parse(text))


def test_a_sweep_may_choose_among_them():
    config = parse(
        'study = "s"\nbackbone = "smallnet/1x20x20"\n[space.head]\nkinds = ["global-avg", "statistics", "pyramid"]\n'
    )
    specs = next(specs for name, _, specs in space_of(config).sites if name == "head")
    assert specs == (PoolSpec("global-avg"), PoolSpec("statistics"), PoolSpec("pyramid"))
