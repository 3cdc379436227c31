"""Batch-norm as a factor and an offset: the same function, to rounding."""

import pytest
import torch
from torch import nn

from dse.conversion.folding import by_channel, folded, scaling, worthy
from dse.conversion.graph import trace

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def _norm(kind: type, channels: int, *, affine: bool = True) -> nn.Module:
    norm = kind(channels, affine=affine, eps=1e-3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.3, 3.0)
    if affine:
        nn.init.normal_(norm.weight)  # negative ones, too
        nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"groups": 2},
        {"groups": 4, "stride": 2, "padding": 1},
        {"dilation": 2, "padding": "same"},
        {"kernel_size": (3, 1), "stride": (1, 2), "padding": (1, 0)},
    ],
)
def test_a_convolution_takes_its_norm(options, bias, affine, dtype):
    torch.manual_seed(0)
    options = {"kernel_size": 3, **options}
    model = nn.Sequential(
        nn.Conv2d(4, 8, bias=bias, **options), _norm(nn.BatchNorm2d, 8, affine=affine)
    )
    model = model.to(dtype).eval()
    inputs = torch.randn(3, 4, 9, 9, dtype=dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        found, wanted = folded(*model)(inputs), model(inputs)
    assert found.dtype == dtype
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_takes_its_norm(bias, affine, dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7, bias=bias), _norm(nn.BatchNorm1d, 7, affine=affine))
    model = model.to(dtype).eval()
    inputs, tolerance = torch.randn(4, 5, dtype=dtype), TOLERANCE[dtype]
    with torch.no_grad():
        torch.testing.assert_close(
            folded(*model)(inputs), model(inputs), rtol=tolerance, atol=tolerance
        )


def test_by_a_pencil():
    linear, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0).eval()
    with torch.no_grad():
        linear.weight.fill_(3.0)
        linear.bias.fill_(1.0)
        norm.running_mean.fill_(2.0)
        norm.running_var.fill_(4.0)
        norm.weight.fill_(6.0)
        norm.bias.fill_(0.5)
    # gamma / sigma = 6 / 2 = 3: W = 3 x 3, b = (1 - 2) 3 + 0.5
    made = folded(linear, norm)
    assert made.weight.item() == 9.0
    assert made.bias.item() == -2.5


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_norm_alone_is_a_synapse_of_each_channel(dtype):
    torch.manual_seed(0)
    norm = _norm(nn.BatchNorm2d, 6).to(dtype).eval()
    inputs, tolerance = torch.randn(2, 6, 4, 4, dtype=dtype), TOLERANCE[dtype]
    with torch.no_grad():
        found, wanted = scaling(norm)(inputs), norm(inputs)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_a_norm_is_folded_once_for_each_call_of_a_shared_synapse():
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.same = nn.Conv2d(3, 3, 3, padding=1)
            self.first, self.second = _norm(nn.BatchNorm2d, 3), _norm(nn.BatchNorm2d, 3)
            self.readout = nn.Linear(3 * 16, 2)

        def forward(self, x):
            x = self.first(self.same(x)).relu()
            return self.readout(self.second(self.same(x)).relu().flatten(1))

    model, images = Twice().eval(), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(trace(model).run(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_what_a_spike_is_worth_goes_into_the_weights_that_read_it(groups):
    torch.manual_seed(0)
    synapse = nn.Conv2d(4, 8, 3, groups=groups, bias=False)
    worth, spikes = torch.rand(4), (torch.rand(2, 4, 5, 5) < 0.5).float()
    wanted = synapse(spikes * worth[:, None, None])
    with torch.no_grad():
        synapse.weight.copy_(worthy(synapse, worth))
    torch.testing.assert_close(synapse(spikes), wanted)
    torch.testing.assert_close(by_channel(worth)(spikes), spikes * worth[:, None, None])
