"""The private names of torch that Poolsearch leans on are still there; a failure here names the one that is not."""

import inspect

import pytest
import torch
from torch import fx, nn

from poolsearch import torch_private


class Counting(nn.Module):
    """A module with a buffer that is kept, one that is not, one that is empty, and a child that stands there twice."""

    def __init__(self):
        super().__init__()
        self.act = self.again = nn.ReLU()
        self.unused = nn.Linear(2, 2)
        self.register_buffer("kept", torch.ones(3))
        self.register_buffer("left", torch.ones(5), persistent=False)
        self.register_buffer("empty", None)
        self.plain = torch.ones(1)

    def forward(self, x):
        return self.act(x) + self.left[0] + self.plain


@pytest.mark.parametrize(
    "name",
    ["_modules", "_parameters", "_buffers", "_non_persistent_buffers_set", "_forward_hooks", "_forward_pre_hooks"],
)
def test_a_module_keeps_what_it_holds_under_these_names(name):
    assert hasattr(nn.Module(), name)


def test_a_transform_is_seen():
    assert callable(torch._C._are_functorch_transforms_active)
    seen = []
    torch.vmap(lambda x: seen.append(torch_private.transforms_active()) or x)(torch.ones(2))
    assert (torch_private.transforms_active(), seen) == (False, [True])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_views_share_their_memory_and_others_do_not(device):
    x = torch.zeros(4, device=device)
    assert torch_private.storage_id(x) == torch_private.storage_id(x[1:])
    assert torch_private.storage_id(x) != torch_private.storage_id(torch.zeros(4, device=device))


def test_a_state_dict_carries_the_versions_of_its_modules():
    state = nn.BatchNorm2d(3).state_dict()
    assert torch_private.versions_of(state)[""] == {"version": 2}
    assert torch_private.versions_of({}) is None
    del state["num_batches_tracked"]
    torch_private.stamp(state, {"": {"version": 1}})  # from before torch counted batches
    nn.BatchNorm2d(3).load_state_dict(state)


def test_children_are_named_also_where_they_stand_twice():
    assert torch_private.child_names(Counting()) == ["act", "again", "unused"]


def test_buffers_that_a_file_would_hold():
    assert [len(one) for one in torch_private.saved_buffers(Counting())] == [3]


def test_a_convolution_that_mirrors_its_border_pads_nothing_any_more():
    assert "_reversed_padding_repeated_twice" in inspect.getsource(nn.Conv2d._conv_forward)
    conv = nn.Conv2d(1, 1, 1, padding=1, padding_mode="reflect")
    torch_private.pads_nothing(conv)
    assert conv(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 4, 4)


def test_a_traced_module_takes_over_what_it_was_traced_from():
    owner = Counting()
    owner.register_forward_hook(lambda module, inputs, output: output + 1)
    made = fx.GraphModule(owner, fx.Tracer().trace(owner))
    torch_private.take_over(made, owner)
    assert list(dict(made.named_children())) == ["act", "unused"]
    assert list(made.state_dict()) == list(owner.state_dict()) == ["kept", "unused.weight", "unused.bias"]
    assert [name for name, _ in made.named_buffers()] == ["kept", "left"]
    assert made(torch.zeros(1)) == owner(torch.zeros(1)) == 3
