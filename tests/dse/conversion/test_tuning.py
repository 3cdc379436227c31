"""A converted network learns on, through the gradients of its spikes."""

import pytest
import torch
from torch import Tensor

from dse.conversion import tuning
from dse.conversion.convert import Lessons, adjusted, convert
from dse.conversion.methods import METHODS
from dse.conversion.network import Neurons
from dse.conversion.tuning import ALPHA, BETA, SpikeTime
from dse.errors import ConversionFailure, DivergedFailure
from dse.networks.source import SourceNetwork
from dse.training.evaluation import accuracy


@pytest.mark.parametrize(("kind", "steps"), [("surrogate", 2), ("spike-time", 2)])
def test_tuning_raises_the_accuracy_on_training_data(
    kind: str, steps: int, source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    method = adjusted(METHODS["opi"], tuning=kind, tuning_epochs=2)
    before = convert(source, images, METHODS["opi"], steps).network
    found = convert(source, images, method, steps, lessons=lessons)
    rates = [accuracy(one, lessons.images, lessons.labels) for one in (before, found.network)]
    assert rates[1] > rates[0]
    told = f"trained on with {kind} gradients: 2 epochs, accuracy on 500 training images from "
    assert found.notes[-1] == f"{told}{rates[0]:.4f} to {rates[1]:.4f}"
    assert not found.network.training


@pytest.mark.parametrize("kind", ["surrogate", "spike-time"])
def test_every_weight_is_changed_and_nothing_else(
    kind: str, source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    network = convert(source, images, METHODS["opi"], 4).network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tuning.tune(network, kind, 1, lessons)
    parameters = dict(network.named_parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in parameters), name


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 3, 4, 2, 2)])
def test_spike_time_neurons_spike_as_the_others_do(reset: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    drive = torch.rand(4).reshape(-1, *(1 for _ in shape[3:])) / 10
    neurons = Neurons(torch.rand(4) + 0.5, torch.tensor(0.25), drive, reset=reset)  # type: ignore[arg-type]
    currents = torch.randn(shape) + 0.3
    assert torch.equal(SpikeTime(neurons)(currents), neurons(currents))


def test_the_gradient_of_a_spike_falls_with_the_steps_since_the_last_one() -> None:
    neurons = Neurons(torch.tensor(1.0), torch.tensor(0.0))
    # spikes at steps 0 and 2
    currents = torch.tensor([1.0, 0.5, 0.5, 0.1]).reshape(4, 1, 1).requires_grad_()
    spikes = SpikeTime(neurons)(currents)
    assert spikes.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
    since = torch.tensor([1000.0, 1.0, 2.0, 1.0])
    slopes = ALPHA * torch.exp(-BETA * since)
    (gradient,) = torch.autograd.grad(spikes.sum(), currents)
    # a current stays in the potential of all later steps: resets are held constant
    assert gradient.flatten().tolist() == pytest.approx(slopes.flip(0).cumsum(0).flip(0).tolist())


@pytest.mark.parametrize("shape", [(3, 2, 4), (3, 2, 4, 2, 2)])
def test_neurons_pass_the_gradient_of_the_plain_steps(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    threshold = torch.rand(4) + 0.5
    neurons = Neurons(threshold, torch.tensor(0.25))
    currents = torch.randn(shape, requires_grad=True)
    outward = torch.randn(shape)
    (found,) = torch.autograd.grad((neurons(currents) * outward).sum(), currents)
    # d s[t] / d current[t'] = triangle(u[t] / threshold) / threshold for all t' <= t
    scale = threshold.reshape(-1, *(1 for _ in shape[3:]))
    kept, slopes = 0.25 / scale, []
    for current in currents.detach():
        potential = kept + current / scale
        slopes.append((1 - (potential - 1).abs()).clamp(min=0))
        kept = potential - (potential >= 1).float()
    wanted = (torch.stack(slopes) * outward).flip(0).cumsum(0).flip(0) / scale
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_training_that_diverges_is_named(
    source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    wild = Lessons(lessons.images, lessons.labels, 50, 1e38, 0)
    with pytest.raises(DivergedFailure, match=r"must be finite|no longer finite"):
        convert(source, images, METHODS["distribution-aware"], 2, lessons=wild)


def test_another_tuning_is_refused(source: SourceNetwork, images: Tensor, lessons: Lessons) -> None:
    network = convert(source, images, METHODS["opi"], 2).network
    with pytest.raises(ConversionFailure, match='tuning "dream": must be surrogate or spike-time'):
        tuning.tune(network, "dream", 1, lessons)
