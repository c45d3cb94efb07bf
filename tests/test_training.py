"""Data, training and timing on real images: what is promised about seeds, splits and clocks."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from poolsearch.config import Clutter, Training
from poolsearch.data import datasets
from poolsearch.errors import PoolsearchError, TrialFailed
from poolsearch.measure import latency
from poolsearch.measure.latency import latencies
from poolsearch.plan import Plan, PoolSpec
from poolsearch.surgery import rebuild
from poolsearch.training import _optimizer, evaluate, train

ROOT = Path(__file__).parents[1]
SMALL = Clutter(images=300, canvas=16, fragments=1, salt=0.0)
PLAN = Plan.parse("smallnet/1x16x16")


# ------------------------------------------------------------------------------------------------------------- data


def test_train_validation_and_test_images_come_from_different_scans():
    train_part, validation, test = datasets._parts(0)
    assert len(train_part) + len(validation) + len(test) == 1797
    assert not set(train_part.tolist()) & (set(validation.tolist()) | set(test.tolist()))


def test_the_same_settings_and_seed_give_the_same_images():
    first = datasets.load("cluttered-digits", (1, 16, 16), SMALL, seed=1)
    datasets._kept.cache_clear()
    again = datasets.load("cluttered-digits", (1, 16, 16), SMALL, seed=1)
    other = datasets.load("cluttered-digits", (1, 16, 16), SMALL, seed=2)
    assert torch.equal(first.train.codes, again.train.codes)
    assert not torch.equal(first.train.codes, other.train.codes)
    x, labels = first.train.batch(slice(None))
    assert x.shape == (300, 1, 16, 16)
    assert (len(labels), len(first.validation), len(first.test)) == (300, 120, 240)
    assert abs(x.mean().item()) < 1e-4
    assert x.std().item() == pytest.approx(1, abs=1e-3)


def test_the_embedded_images_are_those_that_scikit_learn_loads():
    from PIL import Image
    from sklearn.datasets import load_digits, load_sample_image

    images, labels = datasets.scans()
    assert np.array_equal(images.numpy() * 16, load_digits().images)
    assert np.array_equal(labels.numpy(), load_digits().target)
    whole = np.asarray(Image.fromarray(load_sample_image("china.jpg")), dtype=np.float32) / 255
    assert np.array_equal(datasets.photograph("temple", 427, 640), whole.transpose(2, 0, 1))


def test_a_canvas_without_clutter_holds_its_digit_and_nothing_else():
    images, labels = datasets.scans()
    codes, drawn = datasets.draw_cluttered(torch.tensor([7]), 5, Clutter(images=100, fragments=0, salt=0.0), seed=0)
    assert (drawn == labels[7]).all()
    assert torch.equal(codes.sum((1, 2, 3)) / 16, images[7].sum().expand(5))


def test_salt_whitens_about_the_share_it_says():
    codes, _ = datasets.draw_cluttered(torch.tensor([7]), 200, Clutter(images=100, fragments=0, salt=0.3), seed=0)
    assert (codes == 16).float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_images_fit_any_input_size():
    data = datasets.load("digits", (3, 24, 32))
    x, _ = data.train.batch(slice(0, 5))
    assert x.shape == (5, 3, 24, 32)
    assert torch.equal(x[:, 0], x[:, 2])


def of_the_whole_set(size, seed=0):
    """The cluttered digits as they were made until version 0.1: all at once, in float32, drawn here by themselves."""
    table = np.loadtxt(datasets._embedded("data/digits.csv.gz"), delimiter=",", dtype=np.float32)
    images, labels = torch.from_numpy(table[:, :64] / 16).reshape(-1, 8, 8), torch.from_numpy(table[:, 64]).long()
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(seed))
    parts = order[:1078], order[1078:1437], order[1437:]
    drawn = [canvases(images, labels, *each, seed * 3 + n) for n, each in enumerate(zip(parts, (5000, 2000, 4000)))]
    mean, deviation = drawn[0][0].mean(), drawn[0][0].std()
    for canvas, y in drawn:
        x = (canvas - mean) / deviation
        if x.shape[-2:] != size[1:]:
            x = F.interpolate(x, size[1:], mode="bilinear", antialias=True, align_corners=False)
        yield x.expand(-1, size[0], -1, -1), y


def canvases(images, labels, part, count, seed):
    random, canvas = torch.Generator().manual_seed(seed), torch.zeros(count, 20, 20)

    def draw(high, *shape):
        return torch.randint(high, shape, generator=random)

    def place(patches, side):
        for one, patch, top, left in zip(canvas, patches, *draw(20 - side + 1, 2, count).tolist()):
            spot = one[top : top + side, left : left + side]
            spot.copy_(torch.maximum(spot, patch))

    for _ in range(4):
        corners = zip(*draw(6, 2, count).tolist())
        place([images[i][t : t + 3, x : x + 3] for i, (t, x) in zip(part[draw(len(part), count)], corners)], 3)
    chosen = part[draw(len(part), count)]
    place(images[chosen], 8)
    canvas[torch.rand(canvas.shape, generator=random) < 0.03] = 1.0
    return canvas[:, None], labels[chosen]


@pytest.mark.parametrize("size", [(1, 20, 20), (1, 40, 40), (3, 64, 64)])
def test_batches_are_bit_for_bit_those_of_a_set_that_is_scaled_and_enlarged_at_once(size):
    data = datasets.load("cluttered-digits", size)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(1))
    for ours, (x, y) in zip((data.train, data.validation, data.test), of_the_whole_set(size), strict=True):
        assert torch.equal(ours.y, y)
        for chosen in (order[:128], order[-7:], slice(0, 250), slice(1750, 2000)):
            batch, labels = ours.batch(chosen)
            assert torch.equal(batch, x[chosen])
            assert torch.equal(labels, y[chosen])
            assert batch.is_contiguous(memory_format=torch.channels_last)


def test_a_set_is_kept_once_at_a_byte_a_pixel_whatever_size_a_network_takes():
    small, large = (datasets.load("cluttered-digits", (3, side, side)) for side in (32, 224))
    assert small.train.codes is large.train.codes
    kept = [part.codes for part in (large.train, large.validation, large.test)]
    assert sum(codes.nbytes for codes in kept) == 11_000 * 20 * 20  # 6.6 GB as they were at 3x224x224


def test_one_picture_is_drawn_alone(monkeypatch):
    datasets.load("cluttered-digits", (1, 20, 20))
    enlarged = []
    native = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda x, *rest, **how: enlarged.append(len(x)) or native(x, *rest, **how))
    assert datasets.picture("digit", (3, 224, 224)).shape == (3, 224, 224)
    assert enlarged == [1]


def test_data_that_memory_cannot_hold_are_refused_before_they_are_made(monkeypatch):
    from poolsearch import memory

    monkeypatch.setattr(memory, "free_bytes", lambda: 500_000_000)
    monkeypatch.setattr(torch, "zeros", None)  # nothing is drawn
    large = Clutter(images=100_000, canvas=64)
    # 220,000 images of 4,096 bytes and an 8-byte label
    sentence = (
        "The data 'cluttered-digits' take 0.9 GB: 220,000 images of 64 x 64 pixels. 0.5 GB of memory are free. "
        "Take fewer images (clutter.images) or a smaller canvas (clutter.canvas)."
    )
    for asked in (
        lambda: datasets.load("cluttered-digits", (1, 64, 64), large),
        lambda: datasets.fingerprint("cluttered-digits", large),
    ):
        with pytest.raises(PoolsearchError, match=re.escape(sentence)):
            asked()
    with pytest.raises(PoolsearchError, match=r"take 0.1 GB, 8 times \(a copy for each worker\).* or fewer workers\."):
        datasets.check_room("cluttered-digits", Clutter(images=100_000, canvas=17), copies=8)
    datasets.check_room("cluttered-digits", Clutter(images=50_000, canvas=64))


def test_an_unknown_data_set_names_those_there_are():
    with pytest.raises(PoolsearchError, match=r"Unknown data set 'mnist'. Possible: cluttered-digits, digits."):
        datasets.load("mnist", (1, 8, 8))


@pytest.mark.parametrize("name", datasets.PHOTOGRAPHS)
def test_photographs_are_scaled_by_area_from_0_to_1(name):
    small, large = datasets.photograph(name, 8, 8), datasets.photograph(name, 32, 32)
    assert small.shape == (3, 8, 8)
    assert small.dtype == np.float32
    assert 0 <= small.min() < small.max() <= 1
    # each small pixel is the mean of the 4x4 pixels over it, up to the 8-bit rounding of both
    assert np.allclose(small, large.reshape(3, 8, 4, 8, 4).mean((2, 4)), atol=0.02)


# --------------------------------------------------------------------------------------------------------- training


def test_training_learns_and_is_repeatable():
    data = datasets.load("digits", (1, 16, 16))
    recipe = Training(epochs=3, batch=32)
    first = train(rebuild(PLAN, seed=3), data, recipe, seed=3)
    again = train(rebuild(PLAN, seed=3), data, recipe, seed=3)
    assert first.curve == again.curve
    assert [row.epoch for row in first.curve] == [1, 2, 3]
    assert first.curve[-1].accuracy > 0.8  # ten classes: chance is 0.1
    assert first.curve[-1].loss < first.curve[0].loss
    assert first.cpu_seconds > 0


def test_a_loss_that_is_no_number_ends_the_trial_with_its_epoch():
    data = datasets.load("digits", (1, 16, 16))
    with pytest.raises(TrialFailed, match=r"The (training|validation) loss was (nan|inf) .*epoch 1 of 2"):
        model = rebuild(PLAN)
        torch.nn.init.constant_(model.classifier.weight, math.inf)
        train(model, data, Training(epochs=2, batch=64), seed=0)


def test_evaluating_counts_right_answers_and_puts_the_mode_back():
    data = datasets.load("digits", (1, 16, 16))

    class Always(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.one_hot(torch.full((len(x),), 4), 10).float()

    model = Always().train()
    accuracy, loss = evaluate(model, data.test)
    share = (data.test.y == 4).float().mean().item()
    assert accuracy == pytest.approx(share)
    # cross-entropy of one-hot logits: log(e + 9) - 1 where right, log(e + 9) where wrong
    assert loss == pytest.approx(math.log(math.e + 9) - share, rel=1e-5)
    assert model.training


# ----------------------------------------------------------------------------------------------------------- timing


def test_latency_keeps_both_clocks_and_tells_slow_from_fast():
    slow = PLAN.put("stage1", PoolSpec.parse("max k3 s1 p1"))
    fast_row, slow_row = latencies((PLAN, slow), batch=16, calls=15)
    assert (fast_row.plan, slow_row.plan) == (str(PLAN), str(slow))
    assert slow_row.ms > 1.3 * fast_row.ms  # four times the pixels from stage 2 on
    for row in (fast_row, slow_row):
        assert 0 < row.low_ms <= row.ms <= row.high_ms
        assert row.wall_ms >= 0.9 * row.cpu_ms
        assert (row.batch, row.calls, row.device) == (16, 15, "cpu")


def test_the_first_calls_of_each_network_warm_up_and_are_not_timed(monkeypatch):
    ran = []
    network = torch.nn.Identity().eval()
    network.register_forward_hook(lambda *_: ran.append(1))
    monkeypatch.setattr(latency, "_ready", lambda *_: network)
    (row,) = latencies((PLAN,), batch=1, calls=3)
    assert (row.calls, len(ran)) == (3, latency._WARM_UP + 3)


def test_the_interval_of_a_median_by_hand():
    """Of 49 calls the percentiles 50 ± 98 / √49: from the 36th to the 64th; of four calls, all of them."""
    taken = np.stack([np.arange(49.0), 100 + np.arange(49.0)], axis=1)
    row = latency._row(PLAN, 1, "cpu", taken)
    assert (row.cpu_ms, row.wall_ms) == (24, 124)
    assert (row.low_ms, row.high_ms) == (pytest.approx(0.36 * 48), pytest.approx(0.64 * 48))
    on_gpu = latency._row(PLAN, 1, "cuda", taken)
    assert (on_gpu.low_ms, on_gpu.high_ms) == (pytest.approx(100 + 0.36 * 48), pytest.approx(100 + 0.64 * 48))
    few = latency._row(PLAN, 1, "cpu", taken[:4])
    assert (few.low_ms, few.high_ms, few.wall_p95_ms) == (pytest.approx(0.01 * 3), pytest.approx(0.99 * 3), 102.85)


def test_timing_puts_the_number_of_threads_back():
    torch.set_num_threads(2)
    try:
        latencies((PLAN,), batch=1, calls=5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


LEAN = """
import sys
from poolsearch.sweep.engines import worker
from poolsearch.sweep.engines.jobs import TrialJob
from tests.conftest import TINY
worker._import_all()
worker.run_trial(TrialJob(id=0, attempt=1, config=TINY, plan="smallnet/1x12x12", seed=0))
print({"torch._dynamo", "sympy", "sklearn", "scipy", "pandas"} & sys.modules.keys())
"""


def test_a_worker_imports_neither_the_compiler_nor_scikit_learn():
    """They would take 2.5 s of each worker's start, and 200 MB."""
    done = subprocess.run([sys.executable, "-c", LEAN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_step_of_training_is_a_step_of_sgd_bit_for_bit():
    ours, theirs = (torch.nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer, schedule = _optimizer(ours, Training(), 8)
    groups = [{**group, "params": [p]} for group, p in zip(optimizer.param_groups, theirs.parameters(), strict=True)]
    peer = torch.optim.SGD(groups)
    for _ in range(4):
        for model, used in ((ours, optimizer), (theirs, peer)):
            model.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            used.step()
        schedule.step()
        for mine, other in zip(optimizer.param_groups, peer.param_groups, strict=True):
            other["lr"] = mine["lr"]
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
