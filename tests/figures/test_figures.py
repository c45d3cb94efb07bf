"""Figures: what they hold for given rows, and an empty titled figure for none."""

import io

import numpy as np
from PIL import Image

from poolsearch.figures import network as figures
from poolsearch.measure.activations import feature_maps, histograms
from poolsearch.measure.cost import layer_rows
from poolsearch.plan import Plan


def test_the_strip_shows_the_main_path_and_names_its_sites():
    plan = Plan.parse("resnet18/3x64x64: stem=avg k2 s2")
    figure = figures.shape_strip(layer_rows(plan), layer_rows(plan.published))
    outline, bars = figure.data
    assert list(bars.y)[:3] == [32, 16, 16]  # conv1, stem, first block
    assert "layer2.0.downsample.0" not in {row[0] for row in bars.customdata}
    assert [name.replace("<br>", "") for name in figure.layout.xaxis.ticktext] == [
        f"<b>{name}</b>" for name in ("conv1", "stem", "layer2", "layer3", "layer4", "head")
    ]
    assert list(outline.y)[:2] == [32, 16]


def test_a_pooling_put_behind_a_convolution_has_a_bar_and_no_outline():
    plan = Plan.parse("resnet18/3x64x64: layer2=max k3 s2 p1")
    outline, bars = figures.shape_strip(layer_rows(plan), layer_rows(plan.published)).data
    place = [row[0] for row in bars.customdata].index("layer2.0.conv2.pooling")
    assert bars.y[place] == 8
    assert outline.y[place] is None
    assert bars.y[place - 1] == 16  # the convolution in front of it now runs at stride 1


def test_no_rows_give_a_figure_that_says_so():
    for figure in (
        figures.shape_strip([], []),
        figures.histogram_figure([]),
        figures.shift_figure([], 0),
    ):
        assert figure.layout.annotations[0].text
        assert not figure.data


def test_a_mosaic_puts_each_map_in_its_place_on_one_scale():
    maps = np.stack([np.full((4, 4), level, np.float32) for level in (0.0, 0.5, 1.0)])
    image = Image.open(io.BytesIO(figures.mosaic(maps, 0.0, 1.0, columns=2, rows=2, cell=8))).convert("RGBA")
    assert image.size == (2 * 8 + 1, 2 * 8 + 1)  # two tiles of 4 pixels, doubled, one pixel between
    dark, middle, bright, nothing = (image.getpixel(at) for at in ((2, 2), (12, 2), (2, 12), (12, 12)))
    assert dark[:3] == (68, 1, 84)  # the ends of viridis
    assert bright[2] < 50 and bright[0] > 240
    assert middle[1] > 120
    assert nothing[3] == 0


def test_shift_curves_keep_their_order_and_mark_the_chosen_shift():
    a, b = figures.shift_figure([("A", (0.0, 0.3, 0.1)), ("B", (0.0, 0.1, 0.0))], shift=1).data
    assert (a.name, list(a.y)) == ("A", [0.0, 0.3, 0.1])
    assert b.line.dash == "dot"
    assert a.marker.size[1] > a.marker.size[0] == a.marker.size[2]


def test_a_picture_is_enlarged_to_whole_pixels():
    picture = np.array([[[0.0, 1.0]], [[0.0, 0.5]], [[0.0, 2.0]]], np.float32)  # (3, 1, 2); 2 is clipped
    image = Image.open(io.BytesIO(figures.picture_png(picture, 6)))
    assert image.size == (6, 3)
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((5, 2)) == (255, 128, 255)


def test_feature_maps_are_those_of_the_network_and_histograms_share_their_edges():
    published, changed = Plan.parse("resnet18/3x64x64"), Plan.parse("resnet18/3x64x64: stem=avg k3 s2 p1")
    image = np.random.default_rng(0).standard_normal((3, 64, 64)).astype(np.float32)
    a, b = (feature_maps(plan, image, "stem") for plan in (published, changed))
    assert a.shape == b.shape == (64, 16, 16)
    assert (a >= b - 1e-6).all()  # a maximum is never below the mean of the same window
    one, two = histograms([a, b])
    assert np.array_equal(one.edges, two.edges)
    assert one.counts.sum() == two.counts.sum() == a.size
    assert one.mean > two.mean
    assert feature_maps(changed, image, "layer2").shape == (128, 8, 8)
