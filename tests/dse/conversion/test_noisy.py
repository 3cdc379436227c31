"""An ANN trained on with activations that are quantised at random."""

import pytest
import torch
from torch import Tensor

from dse.conversion.convert import Lessons, adjusted, convert
from dse.conversion.graph import trace
from dse.conversion.methods import METHODS
from dse.conversion.noisy import NOISE, Noisy, trained_on
from dse.errors import ConversionFailure, DivergedFailure
from dse.networks.source import SourceNetwork
from dse.neurons.clipped import Qcfs


def test_some_values_are_only_clipped_in_training_and_none_in_evaluation() -> None:
    torch.manual_seed(0)
    values = torch.rand(20_000) * 3 - 1
    activation = Noisy(2, 1.5)
    quantised = Qcfs(2, 1.5)(values)
    noisy = activation(values)
    is_quantised = noisy == quantised
    inside = (values > 0) & (values < 1.5)
    assert float(is_quantised[inside].float().mean()) == pytest.approx(1 - NOISE, abs=0.01)
    assert torch.equal(noisy[~is_quantised], values.clamp(0, 1.5)[~is_quantised])
    assert torch.equal(activation.eval()(values), quantised)


def test_the_gradient_goes_straight_through_where_nothing_is_clipped() -> None:
    values = torch.tensor([-1.0, 0.3, 0.7, 3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(Noisy(2, 1.0)(values).sum(), values)
    assert gradient.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_training_with_noise_makes_a_quantised_network_better(
    source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    plain = trace(source)
    rates = []
    for epochs in (1, 4):
        with torch.no_grad():
            graph = trained_on(plain, images, 1, epochs, 99.9, lessons)
            right = graph.run(torch.tensor(lessons.images)).argmax(1)
        rates.append(float((right == torch.tensor(lessons.labels)).float().mean()))
        assert "trained on with noisy quantisation" in graph.notes[-1]
    assert rates[1] > rates[0]


def test_dual_phase_reports_the_ann_that_it_made(
    source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    found = convert(source, images, METHODS["dual-phase"], 2, lessons=lessons)
    assert all(isinstance(node.module, Noisy) for node in found.graph.activations())
    assert any("noisy quantisation: 1 epoch" in note for note in found.notes)


def test_a_bound_that_training_lost_is_named(
    source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    wild = Lessons(lessons.images, lessons.labels, 50, 1e4, 0)
    method = adjusted(METHODS["dual-phase"], noisy_epochs=1)
    with pytest.raises((ConversionFailure, DivergedFailure), match="lower learning_rate"):
        convert(source, images, method, 2, lessons=wild)
