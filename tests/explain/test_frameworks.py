"""The same layer in three frameworks: numbers by hand, and the words for what one of them has not."""

import numpy as np
import pytest

from poolsearch.errors import PlanError
from poolsearch.explain.frameworks import FRAMEWORKS, compare
from poolsearch.plan import PoolSpec

ONES = np.ones((8, 8), np.float32)
RAMP = np.arange(64, dtype=np.float32).reshape(8, 8)


def rows(text, picture=ONES):
    return {one.title: one for one in compare(picture, PoolSpec.parse(text))}


def test_average_k3_s2_on_ones_differs_in_the_corner_and_along_two_edges():
    found = rows("avg k3 s2 p1")
    assert list(found) == list(FRAMEWORKS)
    torch_ = np.array(found["PyTorch"].values)
    assert torch_[0, 0] == pytest.approx(4 / 9, abs=1e-6)
    assert torch_[0, 1] == pytest.approx(6 / 9, abs=1e-6)
    assert torch_[1:, 1:].tolist() == np.ones((3, 3)).tolist()
    assert np.array(found["ONNX"].values).tolist() == np.ones((4, 4)).tolist()
    assert found["PyTorch"].differs == ()
    assert found["ONNX"].differs == ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0))
    assert "counts the padding's zeros" in found["PyTorch"].rule


def test_tensorflow_starts_its_windows_a_pixel_later():
    # of 8 pixels k3 s2: PyTorch's first window is -1, 0, 1; SAME pads 0 before and 1 behind, so it is 0, 1, 2
    found = rows("max k3 s2 p1", RAMP)
    assert found["PyTorch"].values[0][0] == 9
    assert found["TensorFlow"].values[0][0] == 18
    assert len(found["TensorFlow"].differs) == 15  # all but the last corner, 63 in both
    assert "It pads 0 before and 1 behind and never wins" in found["TensorFlow"].rule
    assert found["ONNX"].differs == ()


def test_an_average_never_counts_the_padding_of_same():
    found = rows("avg k3 s2 p1")
    assert np.array(found["TensorFlow"].values).tolist() == np.ones((4, 4)).tolist()  # counted, the last row were 2/3
    assert "is never counted" in found["TensorFlow"].rule


def test_without_padding_all_three_agree():
    assert all(one.differs == () for one in rows("avg k2 s2", RAMP).values())


@pytest.mark.parametrize(
    ("text", "title", "words"),
    [
        ("max k3 s2 same-upper", "PyTorch", "PyTorch pads both ends alike."),
        ("max k3 s2 p1 reflect", "ONNX", "ONNX's poolings have no such border. Put a Pad node before them."),
        ("max k2 s2 d2", "TensorFlow", "tf.nn's poolings take neither a dilation nor a border of their own."),
        ("avg k2 s2 divisor=3", "ONNX", "ONNX AveragePool takes no divisor of its own."),
        ("lp k2 s2", "TensorFlow", "TensorFlow has no Lp pooling."),
    ],
)
def test_what_a_framework_has_not_is_said(text, title, words):
    one = rows(text)[title]
    assert one.values is None
    assert words in one.refused
    assert one.differs == ()


def test_a_smaller_first_output_marks_what_lies_beyond_it():
    found = rows("avg k3 s3 p1", np.ones((7, 7), np.float32))  # 3 of PyTorch, ceil(7 / 3) = 3 of TensorFlow
    assert len(found["PyTorch"].values) == len(found["TensorFlow"].values) == 3
    found = rows("max k2 s3", RAMP)  # VALID: the same
    assert found["TensorFlow"].differs == ()


def test_a_kind_that_they_do_not_have_is_refused():
    with pytest.raises(PlanError, match="do not all have 'soft'. Possible: max, avg, lp, global-avg, global-max."):
        compare(ONES, PoolSpec.parse("soft k2 s2"))
