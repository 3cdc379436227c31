"""A trained network becomes a spiking one whose outputs approach its own."""

import pytest
import torch
from torch import nn

from dse.conversion.convert import convert
from dse.conversion.graph import trace
from dse.conversion.methods import METHODS
from dse.errors import ConversionFailure
from dse.neurons.clipped import Qcfs


def _model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.ReLU(),
        nn.Linear(16, 5),
    )
    model.train()(torch.rand(64, 1, 8, 8))  # running statistics that are not those of the start
    return model.eval()


@pytest.mark.parametrize("method", ["normalise-percentile", "opi", "icsnn-1", "icsnn-2", "icsnn"])
def test_many_steps_come_close_to_the_logits_of_the_source(method: str) -> None:
    model, images = _model(), torch.rand(64, 1, 8, 8)
    few, many = (convert(model, images, METHODS[method], steps).network for steps in (4, 256))
    with torch.no_grad():
        wanted = model(images)
        errors = [float((network(images) - wanted).abs().mean()) for network in (few, many)]
    assert errors[1] < 0.05 * float(wanted.std()) + 0.01
    assert errors[1] < errors[0]


def test_no_steps_are_refused() -> None:
    with pytest.raises(ConversionFailure, match="time_steps 0: must be at least 1"):
        convert(_model(), torch.rand(4, 1, 8, 8), METHODS["opi"], 0)


def test_a_quantised_source_is_recognised_though_rounding_moves_its_levels() -> None:
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(64)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64, bias=False), norm, Qcfs(4, 1.0), nn.Linear(64, 5)
    )
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(64))
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        norm.weight.uniform_(0.5, 2.0)
        model.eval()
        # 4 z + 1/2 = 2, up to the last bit: the second level or the first
        edge = (0.375 * (norm.running_var + norm.eps).sqrt() / norm.weight) + norm.running_mean
        images = edge.reshape(1, 1, 8, 8).expand(64, -1, -1, -1)
        assert float((model(images) - trace(model).run(images)).abs().max()) > 0.01
    convert(model, images, METHODS["qcfs"], 4)
