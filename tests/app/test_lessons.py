"""Each lesson's sentences, held to the numbers that its own screen shows."""

from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch

from poolsearch.app.lessons import LESSONS, link
from poolsearch.app.views.by_hand import PICTURES, labels, moved, small_picture
from poolsearch.app.views.image import salted
from poolsearch.explain.frameworks import compare, legend
from poolsearch.explain.shift import mean_change, shift_changes
from poolsearch.explain.stage import stage
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.pooling import pool


def pooled(text, picture):
    return pool(torch.from_numpy(np.ascontiguousarray(picture))[None, None], PoolSpec.parse(text))[0, 0].numpy()


def spec_of(name, **changed):
    """Return the PoolSpec that a lesson opens with, with some of its controls changed."""
    state = {**dict(parse_qsl(link(name).partition("?")[2])), **changed}
    kind = labels()[state["pooling"]]
    padding = state.get("padding", "0")
    return PoolSpec.of(
        kind,
        (int(state.get("kernel", 2)),) if "kernel" in KINDS[kind].takes else (),
        int(state.get("stride", 2)) if "stride" in KINDS[kind].takes else (),
        (int(padding) if padding.isdigit() else padding) if "padding" in KINDS[kind].takes else 0,
    )


def picture_of(name):
    return small_picture(PICTURES[LESSONS[name].state["image"]])


def test_average_64_numbers_become_16_with_as_much_ink():
    digit = picture_of("average")
    output = pooled(str(spec_of("average")), digit)
    assert (digit.size, output.size) == (64, 16)
    assert output.mean() == pytest.approx(digit.mean())
    turned = digit.reshape(4, 2, 4, 2)[:, ::-1, :, ::-1].reshape(8, 8)  # the pixels of each window change places
    assert not np.array_equal(turned, digit)
    assert pooled("avg k2 s2", turned) == pytest.approx(output)


@pytest.mark.parametrize("name", ["average", "overlap"])
def test_a_lesson_opens_on_a_window_in_which_there_is_something(name):
    shown = stage(picture_of(name), spec_of(name))
    row, column = (int(number) - 1 for number in LESSONS[name].cell.split("-"))
    values = [term.value for term in shown.cells[row * len(shown.output[0]) + column].terms]
    assert len({value for value in values if value}) >= 3
    assert f"cell={LESSONS[name].cell}" in link(name)


def test_salt_is_kept_by_a_maximum_and_diluted_to_a_sixteenth_by_an_average():
    clean, salt = salted("temple", 0.0, None), salted("temple", 0.05, None)
    white = (salt != clean).any(0)
    assert white.mean() == pytest.approx(0.05, abs=0.005)  # 5 in 100
    picture = np.full((4, 4), 0.25, np.float32)
    spot = picture.copy()
    spot[1, 2] = 1.0
    assert pooled("max k4 s4", spot).tolist() == [[1.0]]
    assert pooled("avg k4 s4", spot) - pooled("avg k4 s4", picture) == pytest.approx((1 - 0.25) / 16)
    before, after = (pool(torch.from_numpy(p)[None, ..., :288], PoolSpec.parse("max k4 s4")) for p in (clean, salt))
    assert (after == 1).all(1).float().mean() > 5 * (before == 1).all(1).float().mean()  # that side goes white


def test_blur_notices_a_move_less_than_a_plain_maximum():
    temple = salted("temple", 0.0, None)
    plain, blurred = (shift_changes(temple, PoolSpec.parse(text)) for text in ("max k3 s4", "max-blur k3 s4"))
    assert plain[1] > 1.5 * blurred[1]
    assert mean_change(plain) > 1.5 * mean_change(blurred)


def test_edge_every_difference_on_ones_is_in_the_border_and_inside_cells_differ_on_other_images():
    torch_, onnx, tensorflow = compare(picture_of("edge"), spec_of("edge"))
    assert torch_.values[0][0] == pytest.approx(4 / 9, abs=1e-6)
    assert {onnx.values[0][0], tensorflow.values[0][0]} == {1.0}
    border = {(row, column) for row in range(4) for column in range(4) if 0 in (row, column)}
    assert set(onnx.differs) == set(tensorflow.differs) == border
    for name in ("temple", "flower", "digit"):
        later = compare(small_picture(name), spec_of("edge"))[2]
        inside = {(row, column) for row in (1, 2) for column in (1, 2)}
        assert set(later.differs) & inside, name


def test_edge_shows_the_padding_that_each_framework_reads():
    grids = compare(picture_of("edge"), spec_of("edge"))
    sizes = {one.title: (len(one.input), len(one.input[0])) for one in grids}
    assert sizes == {"PyTorch": (10, 10), "ONNX": (10, 10), "TensorFlow": (9, 9)}  # SAME pads one end only
    assert [one.input[-1][0] for one in grids] == [0.0, None, None]  # PyTorch counts zeros, the others count nothing
    assert [one.windows[0] for one in grids] == [(-1, -1, 3, 3), (-1, -1, 3, 3), (0, 0, 3, 3)]
    assert legend(grids) == "Outlined, with a filled corner: differs from PyTorch."


def test_overlap_only_the_stride_throws_numbers_away_whatever_the_kernel():
    digit = picture_of("overlap")
    kept = {
        (kernel, stride): pooled(str(spec_of("overlap", kernel=str(kernel), stride=str(stride))), digit).size
        for kernel in (2, 3, 4, 5)
        for stride in (1, 2, 3, 4)
    }
    assert {kept[kernel, stride] for kernel in (2, 3, 4, 5) for stride in (1,)} == {64}
    assert all(kept[kernel, stride] == (-(-8 // stride)) ** 2 for kernel, stride in kept)
    shown = stage(digit, spec_of("overlap"))
    readers = sum(any((term.row, term.column) == (4, 4) for term in cell.terms) for cell in shown.cells)
    assert readers == 9  # windows overlap: a pixel inside is in nine of 3 x 3


def test_overlap_a_larger_kernel_makes_the_neighbours_alike():
    digit = picture_of("overlap")
    steps = []
    for kernel in (2, 3, 4, 5):
        output = pooled(str(spec_of("overlap", kernel=str(kernel))), digit)
        steps.append(float(np.abs(np.diff(output, axis=1)).mean()))
    assert steps == sorted(steps, reverse=True)


def received(picture, text):
    """Return what each pixel gets of the gradient of all outputs together, (H, W)."""
    total = np.zeros(picture.shape)
    for cell in stage(picture, PoolSpec.parse(text), backward=True).cells:
        for row, column, share in cell.gradient or ():
            total[row, column] += share
    return total


def test_gradient_three_of_four_pixels_get_nothing_and_an_average_shares_equally():
    temple = picture_of("gradient")
    assert (received(temple, "max k2 s2") == 0).mean() == 0.75
    assert set(received(temple, "avg k2 s2").ravel()) == {0.25}
    soft = received(temple, "soft k2 s2 beta=8")
    assert soft.min() < 0  # a pixel far below the rest
    assert soft.sum() == pytest.approx(16, abs=1e-3)


def test_global_the_mean_stays_when_the_digit_moves_and_a_pyramid_changes():
    digit = picture_of("global")
    places = [moved(digit, pixels) for pixels in range(8)]
    assert len({place.tobytes() for place in places}) == 8
    for text in ("global-avg", "global-max"):
        numbers = [pool(torch.from_numpy(place)[None, None].float(), PoolSpec.parse(text)).item() for place in places]
        assert numbers == pytest.approx([numbers[0]] * 8), text
    pyramids = [
        pool(torch.from_numpy(place.copy())[None, None], PoolSpec.parse("pyramid")).flatten() for place in places
    ]
    assert any(not torch.equal(pyramids[0], other) for other in pyramids[1:])
    larger = np.pad(digit, 4)
    assert pool(torch.from_numpy(larger)[None, None], PoolSpec.parse("global-avg")).shape == (1, 1, 1, 1)  # any size


def test_sensor_the_maximum_keeps_the_knock_and_the_average_dilutes_it_to_a_quarter():
    trace = picture_of("sensor")
    knock = int(trace[0].argmax())
    calm = trace.copy()
    calm[0, knock] = np.median(trace)
    window = knock // 4
    kept, without = (stage(signal, PoolSpec.parse("max k4 s4")).output[0] for signal in (trace, calm))
    assert kept[window] == pytest.approx(float(trace.max()), abs=1e-6)
    assert kept[window] - without[window] > 0.3
    means = [np.array(stage(signal, PoolSpec.parse("avg k4 s4")).output[0]) for signal in (trace, calm)]
    height = float(trace[0, knock] - calm[0, knock])
    assert (means[0] - means[1])[window] == pytest.approx(height / 4, abs=1e-5)
