"""Counting leaves a model as it found it, also when the model raises."""

import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module

from dse.counting.count import count
from dse.errors import TracingError


class Stateful(nn.Module):
    """Keeps a membrane potential, a history and a counter between calls, as many libraries do."""

    def __init__(self, raises=False):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("nothing", None)
        self.v = torch.zeros(1, 2)
        self.history = []
        self.step = 0
        self.raises = raises

    def forward(self, x):
        self.calls += 1
        self.v = self.v + self.norm(self.layer(x))
        self.history.append(self.v)
        self.step += 1
        self.cache = x
        torch.rand(1)
        if self.raises:
            raise ValueError("in the middle")
        return self.v


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_everything_is_put_back(raises, training):
    torch.manual_seed(0)
    model = Stateful(raises).train(training)
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    v, history, random = model.v, model.history, torch.get_rng_state()
    hooks = len(torch_module._global_forward_hooks), len(torch_module._global_forward_pre_hooks)
    if raises:
        with pytest.raises(TracingError, match=r"raised ValueError.*in the middle"):
            count(model, torch.randn(3, 2, generator=torch.Generator().manual_seed(0)))
    else:
        count(model, torch.randn(3, 2, generator=torch.Generator().manual_seed(0)))
    assert model.training is training
    assert model.norm.training is False
    assert model.v is v
    assert model.history == history == []
    assert model.step == 0
    assert not hasattr(model, "cache")
    assert model.nothing is None
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert hooks == (
        len(torch_module._global_forward_hooks),
        len(torch_module._global_forward_pre_hooks),
    )
